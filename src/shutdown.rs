//! Ends the process: the first signal starts a drain, the second ends at once. Independent of what is drained; does not
//! call exit.

use std::{future::Future, io};

use futures::{Stream, StreamExt, stream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How the work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended<T> {
    /// It returned, after a drain or on its own.
    Finished(T),
    /// A second signal came while it drained; it was dropped where it stood. The process should exit with code 1.
    Aborted,
}

/// The signal handlers could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for SIGTERM and SIGINT: {0}; run the operator where signals may be handled")]
pub struct SignalError(#[from] io::Error);

/// Runs `work` to its end. The first SIGTERM or SIGINT cancels `shutdown`, on which `work` is to drain and return; the
/// second drops it.
///
/// # Errors
/// [`SignalError`] before `work` has begun.
pub async fn run<F: Future>(work: F, shutdown: CancellationToken) -> Result<Ended<F::Output>, SignalError> {
    let signals = stream::select(
        named("SIGTERM", signal(SignalKind::terminate())?),
        named("SIGINT", signal(SignalKind::interrupt())?),
    );
    Ok(run_with(work, shutdown, signals).await)
}

fn named(name: &'static str, signal: Signal) -> impl Stream<Item = &'static str> {
    stream::unfold(signal, move |mut signal| async move { signal.recv().await.map(|()| (name, signal)) })
}

async fn run_with<F: Future>(
    work: F,
    shutdown: CancellationToken,
    signals: impl Stream<Item = &'static str>,
) -> Ended<F::Output> {
    let mut signals = std::pin::pin!(signals.fuse());
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            output = &mut work => return Ended::Finished(output),
            Some(signal) = signals.next() => {
                if shutdown.is_cancelled() {
                    tracing::warn!(signal, "second signal: stopping at once");
                    return Ended::Aborted;
                }
                tracing::info!(signal, "draining; a second signal stops at once");
                shutdown.cancel();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Duration};

    use futures::channel::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_first_signal_drains() {
        let shutdown = CancellationToken::new();
        let draining = shutdown.clone();
        let work = async move {
            draining.cancelled().await;
            "drained"
        };
        let signals = stream::iter(["SIGTERM"]).chain(stream::pending());
        assert_eq!(run_with(work, shutdown, signals).await, Ended::Finished("drained"));
    }

    #[tokio::test]
    async fn the_second_signal_aborts_work_that_does_not_drain() {
        let shutdown = CancellationToken::new();
        let signals = stream::iter(["SIGTERM", "SIGINT"]);
        let ended = run_with(std::future::pending::<()>(), shutdown.clone(), signals).await;
        assert_eq!(ended, Ended::Aborted);
        assert!(shutdown.is_cancelled(), "the first of the two asks for a drain");
    }

    #[tokio::test]
    async fn work_may_end_without_any_signal() {
        let (_sender, signals) = mpsc::unbounded();
        let ended = run_with(async { 7 }, CancellationToken::new(), signals).await;
        assert_eq!(ended, Ended::Finished(7));
    }

    #[tokio::test]
    async fn sigterm_and_sigint_are_the_signals() {
        for name in ["TERM", "INT"] {
            let shutdown = CancellationToken::new();
            let draining = shutdown.clone();
            // Sent from within the work, which is polled only after the handlers are in place.
            let work = async move {
                let own = std::process::id().to_string();
                let sent = Command::new("kill").args([&format!("-{name}"), &own]).status();
                assert!(sent.is_ok_and(|status| status.success()), "kill -{name} failed");
                draining.cancelled().await;
            };
            let ended = tokio::time::timeout(Duration::from_secs(10), run(work, shutdown)).await;
            assert!(matches!(ended, Ok(Ok(Ended::Finished(())))), "SIG{name} did not cancel the token: {ended:?}");
        }
    }
}
