//! Many people who create instances at once, through the API server and its webhooks. Stores nothing: they are dry runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use kube::{Api, api::PostParams};
use redis_operator::api::v1::RedisInstance;
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinHandle};

use super::cluster::{Place, grows, instance};

/// Creations a second.
const PACE: u32 = 200;

/// People who create instances all the time, and count what is refused for want of an answer.
pub(crate) struct Crowd {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    work: JoinHandle<Vec<String>>,
}

impl Crowd {
    pub(crate) fn begin(place: &Place) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&answered));
        let api: Api<RedisInstance> = place.api();
        let work = tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_secs(1) / PACE);
            let room = Arc::new(Semaphore::new(64));
            let mut asked = tokio::task::JoinSet::new();
            let mut failures = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                beat.tick().await;
                let (api, counted, place) =
                    (api.clone(), Arc::clone(&counted), Arc::clone(&room).acquire_owned().await.unwrap());
                asked.spawn(async move {
                    let dry = PostParams { dry_run: true, ..PostParams::default() };
                    let answer = api.create(&dry, &instance("crowd", json!({}))).await;
                    counted.fetch_add(1, Ordering::Relaxed);
                    drop(place);
                    answer.err().map(|error| error.to_string())
                });
                while let Some(failure) = asked.try_join_next() {
                    failures.extend(failure.unwrap());
                }
            }
            while let Some(failure) = asked.join_next().await {
                failures.extend(failure.unwrap());
            }
            failures
        });
        Self { stop, answered, work }
    }

    /// Waits until so many more were answered.
    pub(crate) async fn goes_on(&self, more: u64) {
        grows("admissions", &self.answered, more).await;
    }

    pub(crate) async fn end(self, what: &str) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.work.await.unwrap();
        eprintln!("{what}: {} admissions, {} failed", self.answered.load(Ordering::Relaxed), failures.len());
        failures
    }
}
