//! Runs the controller: always, or while this process holds the Lease. Independent of the reconcile and of the rules of
//! the Lease.

use std::time::Duration;

use kube::Config;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::RuntimeError;
use crate::{
    client::{self, Pulse},
    controller::{self, Setup},
    domain::defaults::Defaults,
    health::Health,
    lease::{Election, Leadership},
    metrics::Metrics,
    settings::RunSettings,
};

/// Maximum time to release the Lease; otherwise it expires.
const FAREWELL: Duration = Duration::from_secs(5);

/// Reconciles until `shutdown`. The election runs on other threads than the reconcile loop, so that the Lease is
/// renewed however busy the loop is.
pub(super) async fn reconcile(
    settings: RunSettings,
    defaults: Defaults,
    health: Health,
    metrics: Metrics,
    others: Handle,
    shutdown: CancellationToken,
) -> Result<(), RuntimeError> {
    if settings.redis_metrics {
        metrics.servers.show();
    }
    let config = Config::infer().await.map_err(Box::new)?;
    let contended = settings.leader_election;
    let leadership = if contended { Leadership::contended() } else { Leadership::alone() };
    let pulse = Pulse::new(health.clone());
    let reopened = pulse.reopened();
    let client =
        client::connect(config.clone(), metrics.requests.clone(), pulse, leadership.clone()).map_err(Box::new)?;
    let setup = Setup {
        client,
        reopened,
        leadership: leadership.clone(),
        namespaces: settings.namespaces(),
        defaults,
        health: health.clone(),
        metrics: metrics.controller.clone(),
        servers: metrics.servers.clone(),
    };
    if !contended {
        metrics.controller.leads(true);
        controller::run(setup, shutdown).await;
        return Ok(());
    }
    let resigned = CancellationToken::new();
    let candidate = {
        // A client spawns a task where it is created: without this, the election would depend on the loop's thread.
        let _inside = others.enter();
        election(settings, config, &metrics, &health, leadership.clone())?
    };
    let mut election = others.spawn(candidate.run(resigned.clone()));
    let leading = async {
        health.stands_by();
        while shutdown.run_until_cancelled(leadership.won()).await.is_some() {
            metrics.controller.leads(true);
            tokio::select! {
                () = controller::run(setup.clone(), shutdown.clone()) => {
                    if !shutdown.is_cancelled() {
                        return Err(RuntimeError::Ended("reconcile loop"));
                    }
                }
                () = leadership.lost() => tracing::warn!("lost the lease: standing by, and serving the webhooks as before"),
            }
            metrics.controller.leads(false);
            metrics.servers.forget_all();
            health.stands_by();
        }
        Ok(())
    };
    let outcome = tokio::select! {
        outcome = leading => outcome,
        _ = &mut election => return Err(RuntimeError::Ended("leader election")),
    };
    // Only now: the next leader must not encounter a write of this process.
    resigned.cancel();
    drop(tokio::time::timeout(FAREWELL, election).await);
    outcome
}

/// The election has a client of its own: its writes are what leadership comes from.
fn election(
    settings: RunSettings,
    config: Config,
    metrics: &Metrics,
    health: &Health,
    leadership: Leadership,
) -> Result<Election, RuntimeError> {
    let namespace = settings.namespace.unwrap_or_else(|| config.default_namespace.clone());
    let pulse = Pulse::new(health.clone());
    let client = client::connect(config, metrics.requests.clone(), pulse, Leadership::alone()).map_err(Box::new)?;
    let identity = settings.identity.map_or_else(random_identity, Ok)?;
    Ok(Election::new(client, &namespace, settings.lease, identity, leadership, health.clone()))
}

/// Two processes must never have the same identity.
fn random_identity() -> Result<String, RuntimeError> {
    let number = getrandom::u64().map_err(|error| RuntimeError::Entropy(error.to_string()))?;
    Ok(format!("redis-operator-{number:016x}"))
}
