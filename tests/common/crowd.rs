//! Clients that create instances through the API server and its webhooks: many at once, or one that retries. They store
//! nothing: each request is a dry run.

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

/// Clients that create instances all the time, and count the requests that fail because the webhook did not answer.
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

/// A client that creates instances one after another, and retries a second after a request failed.
pub(crate) struct Patient {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    work: JoinHandle<Vec<String>>,
}

impl Patient {
    pub(crate) fn begin(place: &Place) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&answered));
        let api: Api<RedisInstance> = place.api();
        let work = tokio::spawn(async move {
            let (mut failures, mut again) = (Vec::new(), tokio::time::interval(Duration::from_secs(1)));
            while !stopped.load(Ordering::Relaxed) {
                let dry = PostParams { dry_run: true, ..PostParams::default() };
                match api.create(&dry, &instance("patient", json!({}))).await {
                    Ok(_) => drop(counted.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => {
                        failures.push(error.to_string());
                        again.reset();
                        again.tick().await;
                    }
                }
            }
            failures
        });
        Self { stop, answered, work }
    }

    /// Waits until so many more were answered.
    pub(crate) async fn goes_on(&self, more: u64) {
        grows("creations by one client", &self.answered, more).await;
    }

    /// It met one failure at most, of the kind that is worth another try.
    pub(crate) async fn met_at_most_one_failure(self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.work.await.unwrap();
        eprintln!("{what}: {} creations by one client, {failures:?}", self.answered.load(Ordering::Relaxed));
        assert!(failures.len() <= 1, "{what}: {failures:?}");
        assert!(failures.iter().all(|failure| failure.contains("failed calling webhook")), "{what}: {failures:?}");
    }
}
