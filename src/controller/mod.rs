//! The reconcile loop: what is watched, what a change triggers, and how many instances are worked on at once.
//! Knows nothing of admission; what one reconcile does is in `reconcile`.

mod apply;
mod context;
mod error;
mod events;
mod expand;
mod live_config;
mod measure;
mod observe;
mod ownership;
pub mod permissions;
mod queue;
mod reconcile;
mod recreate;
mod restart;
mod retention;
mod secret;
mod status;
mod watches;

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use kube::{
    Client,
    core::DeserializeGuard,
    runtime::{
        Controller, controller,
        reflector::{ObjectRef, Store},
    },
};
use tokio_util::sync::CancellationToken;

pub use self::watches::WATCHED;
use self::{context::Context, error::Error, queue::Queue, watches::Opening};
use crate::{
    api::v1::{Phase, RedisInstance},
    domain::defaults::Defaults,
    health::Health,
    metrics::ControllerMetrics,
};

/// Instances worked on at once: enough that one slow API call holds nobody up, few enough to be a polite client.
const CONCURRENCY: u16 = 16;
/// How often the loop shows that it lives; far below the limit of `health`.
const BEAT: Duration = Duration::from_secs(5);

/// An instance as it is watched: one that cannot be read is an error of that instance, not of the watch.
type Stored = DeserializeGuard<RedisInstance>;

/// Runs the loop until `shutdown`; then finishes the reconciles under way and returns.
///
/// Failures of the cluster are retried with backoff and never end the loop.
pub async fn run(
    client: Client,
    defaults: Defaults,
    health: Health,
    metrics: ControllerMetrics,
    shutdown: CancellationToken,
) {
    let queue = Queue::default();
    let (instances, stores, streams) = watches::open(&Opening { client: &client, metrics: &metrics, queue: &queue });
    let (counted, waiting) = (instances.clone(), queue.clone());
    metrics.observe(move || phases(&counted), move || waiting.depth());
    let context = Arc::new(Context::new(client, defaults, instances.clone(), stores, metrics, queue.clone()));
    let controller = Controller::for_stream(streams.instances, instances)
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .reconcile_on(streams.children)
        .graceful_shutdown_on(shutdown.cancelled_owned());
    let work = drive(controller.run(measure::reconcile, error::policy, Arc::clone(&context)), &queue, &health);
    let synced = async {
        if context.stores.wait_until_synced().await {
            health.watches_synced();
            tracing::info!("watches are synced; reconciling");
        }
    };
    tokio::join!(work, synced);
}

/// How many instances are in each phase; one that cannot be read is in none that is known.
fn phases(instances: &Store<Stored>) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<String, u64> = Phase::ALL.iter().map(|phase| (format!("{phase:?}"), 0)).collect();
    for instance in instances.state() {
        let status = instance.0.as_ref().ok().and_then(|instance| instance.status.as_ref());
        let phase = status.map_or(Phase::Unknown, |status| status.status);
        *counts.entry(format!("{phase:?}")).or_default() += 1;
    }
    counts
}

/// Polls the loop to its end and shows while doing so that it is alive.
async fn drive<S, E>(work: S, queue: &Queue, health: &Health)
where
    S: futures::Stream<Item = Result<(ObjectRef<Stored>, controller::Action), controller::Error<Error, E>>>,
    E: std::error::Error + 'static,
{
    let mut work = pin!(work);
    let mut beat = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            outcome = work.next() => match outcome {
                None => return,
                // What failed was logged with its instance where it happened.
                Some(Ok(_) | Err(controller::Error::ReconcilerFailed(..))) => {}
                Some(Err(controller::Error::ObjectNotFound(gone))) => {
                    queue.served(gone.namespace.as_deref().unwrap_or_default(), &gone.name, Instant::now());
                }
                Some(Err(error)) => tracing::warn!(%error, "the watch was interrupted; it is opened again"),
            },
            _ = beat.tick() => health.beat(Instant::now()),
        }
    }
}
