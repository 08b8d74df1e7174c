//! The reconcile loop: what is watched, what a change triggers, and how many instances are worked on at once.
//! Knows nothing of admission; what one reconcile does is in `reconcile`.

mod acceptance;
mod adoption;
mod announce;
mod apply;
mod awaited;
mod context;
mod credentials;
mod error;
mod events;
mod expand;
mod failure;
mod folded;
mod full;
mod kept;
mod lists;
mod live_config;
mod measure;
mod migration;
mod namespaces;
mod observe;
mod opening;
mod own_secret;
mod ownership;
mod parts;
mod patience;
pub mod permissions;
mod persistence;
mod pruned;
mod queue;
mod reconcile;
mod recreate;
mod rejection;
mod relabel;
mod relisted;
mod replication;
mod restart;
mod retention;
mod rotation;
mod secret;
mod seen;
mod servers;
mod sound;
mod status;
mod stop;
mod surplus;
mod turns;
mod unreadable;
mod watches;
mod writes;

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, stream};
use kube::{
    Client,
    core::DeserializeGuard,
    runtime::{
        Controller, controller,
        reflector::{ObjectRef, Store},
    },
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::watches::WATCHED;
use self::{context::Context, error::Error, queue::Queue, watches::Opening};
use crate::{
    api::v1::{Phase, RedisInstance},
    domain::defaults::Defaults,
    health::Health,
    lease::Leadership,
    metrics::{ControllerMetrics, ServerMetrics},
};

/// How often the loop shows that it lives; far below the limit of `health`.
const BEAT: Duration = Duration::from_secs(5);
/// How long reconciles under way have to finish at shutdown; one that hangs would take a minute. The next process takes
/// up what they leave, as after a crash.
const DRAIN: Duration = Duration::from_secs(10);

/// An instance as it is watched: one that cannot be read is an error of that instance, not of the watch.
type Stored = DeserializeGuard<RedisInstance>;

/// What the loop works with.
#[derive(Clone)]
pub struct Setup {
    /// The way to the API server.
    pub client: Client,
    /// Changes when a watch that had broken is open again.
    pub reopened: watch::Receiver<u64>,
    /// Whether this process may write.
    pub leadership: Leadership,
    /// The namespaces whose instances are looked after; none: all of them.
    pub namespaces: Vec<String>,
    /// The values of absent fields.
    pub defaults: Defaults,
    /// Who is told that the loop lives.
    pub health: Health,
    /// Who is told what it does.
    pub metrics: ControllerMetrics,
    /// Who is told how each Redis fares.
    pub servers: ServerMetrics,
}

/// Runs the loop until `shutdown`; then lets the reconciles under way finish and returns.
///
/// Failures of the cluster are retried with backoff and never end the loop.
pub async fn run(setup: Setup, shutdown: CancellationToken) {
    let Setup { client, reopened, leadership, namespaces, defaults, health, metrics, servers } = setup;
    let queue = Queue::default();
    let opening =
        Opening { client: &client, namespaces: &namespaces, health: &health, metrics: &metrics, queue: &queue };
    let (instances, stores, streams) = watches::open(&opening);
    let (counted, waiting) = (instances.clone(), queue.clone());
    metrics.observe(move || phases(&counted), move || waiting.depth());
    let context = Arc::new(Context::new(
        client,
        defaults,
        instances.clone(),
        stores,
        metrics,
        queue.clone(),
        (leadership, servers),
    ));
    let controller = Controller::for_stream(streams.instances, instances)
        .with_config(controller::Config::default().concurrency(turns::UNDER_WAY))
        .reconcile_on(streams.children)
        .reconcile_on(outlived(Arc::clone(&context), reopened))
        .graceful_shutdown_on(shutdown.clone().cancelled_owned());
    let work = drive(controller.run(measure::reconcile, error::policy, Arc::clone(&context)), &queue, &health);
    let synced = async {
        if context.stores.wait_until_synced().await {
            tracing::info!("watches are synced; reconciling");
        }
        std::future::pending::<()>().await;
    };
    let hung = async {
        shutdown.cancelled().await;
        tokio::time::sleep_until(tokio::time::Instant::now() + DRAIN).await;
        tracing::warn!("reconciles that did not finish are left to the next process");
    };
    tokio::select! {
        () = work => {}
        () = synced => {}
        () = hung => {}
    }
}

/// What failed for want of an API server, each time that it is there again: else it would wait for its time, which is the
/// longer the longer the API server was away.
fn outlived(context: Arc<Context>, reopened: watch::Receiver<u64>) -> impl Stream<Item = ObjectRef<Stored>> {
    let openings = stream::unfold(reopened, async |mut reopened| {
        reopened.changed().await.ok()?;
        Some(((), reopened))
    });
    openings.flat_map(move |()| stream::iter(context.outlived()))
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
    S: Stream<Item = Result<(ObjectRef<Stored>, controller::Action), controller::Error<Error, E>>>,
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
