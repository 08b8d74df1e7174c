//! The composition root: starts webhooks, admin listener and reconcile loop, and ends all of them together.
//! Holds no rule and builds no object.

use std::{io, process::ExitCode, time::Duration};

mod issuing;
mod reconciling;

use thiserror::Error;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

use self::{issuing::issue, reconciling::reconcile};
use crate::{
    admin::{self, AdminError},
    domain::defaults::Defaults,
    health::Health,
    metrics::Metrics,
    settings::RunSettings,
    shutdown::{self, Ended, SignalError},
    webhook::{
        self,
        certificate::{CertificateFiles, ServingCertificate},
        limits::Limits,
        server::{ServerError, ServerSettings},
    },
};

/// Interval between two reads of the certificate files.
const CERTIFICATE_POLL: Duration = Duration::from_secs(10);
/// How long the webhooks keep accepting calls after SIGTERM, until clients have learnt that this endpoint is going
/// away.
const LINGER: Duration = Duration::from_secs(5);
/// Threads for admission, separate from those of the reconcile loop: a burst of reconciles must not delay an apply. One
/// thread answers twenty thousand reviews per second; with two, each wakes the other needlessly on every request.
const WEBHOOK_THREADS: usize = 1;
/// Threads for probes and metrics, separate from those that clients or the reconcile loop can keep busy.
const PROBE_THREADS: usize = 1;
/// Threads for leader election: the Lease is renewed even if all other threads are busy.
const ELECTION_THREADS: usize = 1;
/// Interval between two liveness signals of the webhook thread.
const WEBHOOK_BEAT: Duration = Duration::from_secs(1);
/// Threads for TLS handshakes, which any client can request; limits the handshakes computed at a time.
const HANDSHAKE_THREADS: usize = 1;

/// Why the operator could not start or had to stop.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// The system gave no threads.
    #[error("cannot start the worker threads: {0}")]
    Threads(#[from] io::Error),
    /// No signals can be received.
    #[error(transparent)]
    Signals(#[from] SignalError),
    /// The webhook listener failed.
    #[error(transparent)]
    Webhook(#[from] ServerError),
    /// The admin listener failed.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Neither a kubeconfig nor a ServiceAccount provides access to the API server.
    #[error("no way to the API server: {0}; set KUBECONFIG, or run in a pod with a ServiceAccount")]
    Config(#[from] Box<kube::config::InferConfigError>),
    /// The client could not be made from the configuration.
    #[error("cannot make a client for the API server: {0}")]
    Client(#[from] Box<kube::Error>),
    /// The system gave no random bytes for a name in the lease.
    #[error("cannot make a name for the lease: no random bytes from the system: {0}; pass --identity")]
    Entropy(String),
    /// A component that must run as long as the process ended unexpectedly.
    #[error("the {0} ended unexpectedly")]
    Ended(&'static str),
}

/// Runs the operator until it is asked to stop. A component that ends or fails ends the whole process: webhooks that
/// keep answering would hide that the reconcile loop has ended.
///
/// # Errors
/// If something cannot start, or a component fails.
pub fn run(settings: RunSettings) -> Result<ExitCode, RuntimeError> {
    let health = Health::new(std::time::Instant::now());
    let shutdown = CancellationToken::new();
    let webhooks = threads("webhook", WEBHOOK_THREADS)?;
    let handshakes = threads("handshake", HANDSHAKE_THREADS)?;
    let probes = threads("probes", PROBE_THREADS)?;
    let election = threads("election", ELECTION_THREADS)?;
    let pools = Pools {
        webhooks: webhooks.handle().clone(),
        handshakes: handshakes.handle().clone(),
        probes: probes.handle().clone(),
        election: election.handle().clone(),
    };
    // A single thread: the reconcile loop mostly waits, and passing responses between threads costs more than it gains.
    let main = Builder::new_current_thread().enable_all().build()?;
    let outcome = main.block_on(shutdown::run(parts(settings, health, pools, shutdown.clone()), shutdown));
    // Open connections must not delay the exit.
    webhooks.shutdown_background();
    handshakes.shutdown_background();
    probes.shutdown_background();
    election.shutdown_background();
    main.shutdown_background();
    match outcome? {
        Ended::Finished(result) => result.map(|()| ExitCode::SUCCESS),
        Ended::Aborted => Ok(ExitCode::FAILURE),
    }
}

fn threads(name: &'static str, count: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(count).thread_name(name).enable_all().build()
}

/// The threads that each kind of work has to itself.
struct Pools {
    webhooks: Handle,
    handshakes: Handle,
    probes: Handle,
    election: Handle,
}

/// Reports that no task blocks the thread that this runs on.
async fn beat(health: Health) {
    let mut beats = tokio::time::interval(WEBHOOK_BEAT);
    loop {
        beats.tick().await;
        health.webhook_beat(std::time::Instant::now());
    }
}

async fn parts(
    settings: RunSettings,
    health: Health,
    pools: Pools,
    shutdown: CancellationToken,
) -> Result<(), RuntimeError> {
    let defaults = Defaults { image: settings.default_image.clone() };
    let metrics = Metrics::new();
    let closing = CancellationToken::new();
    let bound = {
        // A listener belongs to the runtime in which it is created.
        let _inside = pools.probes.enter();
        admin::bind(settings.admin_address)?
    };
    let admin = pools.probes.spawn(bound.serve(health.clone(), metrics.clone(), closing.clone()));
    let (elected, issuing, served) = (settings.clone(), settings.clone(), defaults.clone());
    let answers = serve(
        settings,
        served,
        health.clone(),
        metrics.clone(),
        pools.handshakes.clone(),
        shutdown.clone(),
        closing.clone(),
    );
    let serving = pools.webhooks.spawn(answers);
    pools.webhooks.spawn(closing.clone().run_until_cancelled_owned(beat(health.clone())));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "redis-operator starts");
    let outcome = tokio::try_join!(
        part("admin listener", &shutdown, async {
            Ok(admin.await.map_err(|_| RuntimeError::Ended("admin listener"))??)
        }),
        part("webhook server", &shutdown, async { serving.await.map_err(|_| RuntimeError::Ended("webhook server"))? }),
        part("shutdown", &shutdown, close(&health, &shutdown, &closing)),
        part("certificate issuer", &shutdown, issue(issuing, &metrics, shutdown.clone())),
        part(
            "reconcile loop",
            &shutdown,
            reconcile(elected, defaults, health.clone(), metrics.clone(), pools.election, shutdown.clone())
        ),
    );
    tracing::info!("redis-operator stops");
    outcome.map(|_| ())
}

/// Closes the listeners some time after all other components were stopped.
async fn close(health: &Health, shutdown: &CancellationToken, closing: &CancellationToken) -> Result<(), RuntimeError> {
    shutdown.cancelled().await;
    health.leaves();
    // The process has never been ready, so no calls are on their way.
    if health.is_serving() {
        tokio::time::sleep_until(tokio::time::Instant::now() + LINGER).await;
    }
    closing.cancel();
    Ok(())
}

/// Supervises a component; returning before it was asked to is a failure.
async fn part(
    name: &'static str,
    shutdown: &CancellationToken,
    work: impl Future<Output = Result<(), RuntimeError>>,
) -> Result<(), RuntimeError> {
    work.await?;
    if shutdown.is_cancelled() { Ok(()) } else { Err(RuntimeError::Ended(name)) }
}

async fn serve(
    settings: RunSettings,
    defaults: Defaults,
    health: Health,
    metrics: Metrics,
    handshakes: Handle,
    leaving: CancellationToken,
    closing: CancellationToken,
) -> Result<(), RuntimeError> {
    let files = CertificateFiles {
        certificate: settings.certificate_dir.join("tls.crt"),
        key: settings.certificate_dir.join("tls.key"),
    };
    let period = Duration::from_secs(1);
    let found = ServingCertificate::wait_for(files, period, metrics.webhooks.clone(), health, leaving.clone()).await;
    let Some(certificate) = found else { return Ok(()) };
    let server = ServerSettings { address: settings.webhook_address, limits: Limits::default() };
    let bound = webhook::server::bind(server, &certificate)?;
    tracing::info!(address = %bound.local_address(), "serving the admission webhooks");
    let router = webhook::server::parting(webhook::router(defaults, &metrics.webhooks), leaving);
    let (outcome, ()) = tokio::join!(
        bound.serve(router, &metrics, handshakes, closing.clone()),
        certificate.watch(CERTIFICATE_POLL, closing),
    );
    Ok(outcome?)
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Instant};

    use super::*;

    /// How long a thread that is free may take for one task.
    const DEADLINE: Duration = Duration::from_secs(30);

    #[test]
    fn a_request_that_keeps_the_webhooks_thread_keeps_neither_the_election_nor_the_probes() {
        let (webhooks, probes) =
            (threads("webhook", WEBHOOK_THREADS).unwrap(), threads("probes", PROBE_THREADS).unwrap());
        let election = threads("election", ELECTION_THREADS).unwrap();
        let (release, held) = mpsc::channel::<()>();
        let (entered, is_held) = mpsc::channel();
        webhooks.spawn(async move {
            entered.send(()).unwrap();
            held.recv().unwrap_err();
        });
        is_held.recv_timeout(DEADLINE).unwrap();

        let health = Health::new(Instant::now());
        let beats = webhooks.spawn(beat(health.clone()));
        for (name, others) in [("election", &election), ("probes", &probes)] {
            let (done, is_done) = mpsc::channel();
            others.spawn(async move { done.send(()).unwrap() });
            assert!(is_done.recv_timeout(DEADLINE).is_ok(), "{name} waits for the webhooks");
        }
        let stuck = |health: &Health| health.livez(Instant::now() + DEADLINE * 10).is_err();
        assert!(!stuck(&health), "the thread that is kept shows no beat");

        drop(release);
        let begun = Instant::now();
        while !stuck(&health) {
            assert!(begun.elapsed() < DEADLINE, "no beat after the thread was free again");
            std::thread::yield_now();
        }
        beats.abort();
    }
}
