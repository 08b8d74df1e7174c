//! The reconcile loop: what is watched, what a change triggers, and how many instances are worked on at once.
//! Knows nothing of admission; what one reconcile does is in `reconcile`.

mod apply;
mod context;
mod error;
mod events;
mod expand;
mod live_config;
mod observe;
mod ownership;
pub mod permissions;
mod reconcile;
mod recreate;
mod restart;
mod retention;
mod secret;
mod status;
mod watches;

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Client,
    core::DeserializeGuard,
    runtime::{Controller, controller, reflector::ObjectRef},
};
use tokio_util::sync::CancellationToken;

use self::{context::Context, error::Error};
use crate::{
    api::v1::RedisInstance,
    domain::{defaults::Defaults, names::INSTANCE_LABEL},
    health::Health,
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
pub async fn run(client: Client, defaults: Defaults, health: Health, shutdown: CancellationToken) {
    let (instances, stores, streams) = watches::open(&client);
    let context = Arc::new(Context::new(client, defaults, instances.clone(), stores));
    let controller = Controller::for_stream(streams.instances, instances)
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .owns_stream(streams.config_maps)
        .owns_stream(streams.services)
        .owns_stream(streams.stateful_sets)
        .watches_stream(streams.pods, |pod| instance_of(&pod.metadata))
        .watches_stream(streams.claims, |claim| instance_of(&claim.metadata))
        .graceful_shutdown_on(shutdown.cancelled_owned());
    let work = drive(controller.run(reconcile::reconcile, error::policy, Arc::clone(&context)), &health);
    let synced = async {
        if context.stores.wait_until_synced().await {
            health.watches_synced();
            tracing::info!("watches are synced; reconciling");
        }
    };
    tokio::join!(work, synced);
}

/// The instance that the label of a pod or a claim names; neither has it for an owner.
fn instance_of(metadata: &ObjectMeta) -> Option<ObjectRef<Stored>> {
    let name = metadata.labels.as_ref()?.get(INSTANCE_LABEL)?;
    Some(ObjectRef::new(name).within(metadata.namespace.as_ref()?))
}

/// Polls the loop to its end and shows while doing so that it is alive.
async fn drive<S, E>(work: S, health: &Health)
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
                Some(Ok(_) | Err(controller::Error::ObjectNotFound(_) | controller::Error::ReconcilerFailed(..))) => {}
                Some(Err(error)) => tracing::warn!(%error, "the watch was interrupted; it is opened again"),
            },
            _ = beat.tick() => health.beat(Instant::now()),
        }
    }
}
