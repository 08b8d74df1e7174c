//! How many reconciles are at work at once. One that waits long for an answer lets another begin: however many requests
//! hang, those of other instances get their turn.

use std::time::Duration;

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

/// Reconciles at work: enough that one slow API call holds nobody up, few enough to be a polite client.
const AT_WORK: usize = 16;
/// Reconciles under way, those that wait for an answer or for their turn among them: so many that all of them hanging is
/// an outage, and not the fault of some instances.
pub(super) const UNDER_WAY: u16 = 128;
/// How long one may take before another begins in its place.
const PATIENCE: Duration = Duration::from_secs(5);

/// The turns of one process.
pub(super) struct Turns(Semaphore);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Semaphore::new(AT_WORK))
    }

    /// Runs the work that `begin` makes once it has a turn, to its end.
    pub(super) async fn take<F: Future>(&self, begin: impl FnOnce() -> F) -> F::Output {
        // It is never closed.
        let turn = self.0.acquire().await;
        let mut work = std::pin::pin!(begin());
        if let Ok(output) = timeout_at(Instant::now() + PATIENCE, &mut work).await {
            return output;
        }
        drop(turn);
        work.await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use futures::{FutureExt, future::join_all};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_sixteen_begin_until_one_ends_or_takes_long() {
        let (turns, begun) = (Turns::new(), AtomicUsize::new(0));
        let hanging = || {
            turns.take(|| {
                begun.fetch_add(1, Relaxed);
                std::future::pending::<()>()
            })
        };
        let mut all = Box::pin(join_all((0..40).map(|_| hanging())));
        assert!((&mut all).now_or_never().is_none());
        assert_eq!(begun.load(Relaxed), 16);
        let prompt = turns.take(|| async { begun.load(Relaxed) });
        tokio::select! {
            _ = &mut all => unreachable!("they hang"),
            () = tokio::time::sleep_until(Instant::now() + PATIENCE / 2) => {}
        }
        assert_eq!(begun.load(Relaxed), 16, "their time is not over");
        tokio::select! {
            _ = &mut all => unreachable!("they hang"),
            before = prompt => assert_eq!(before, 40, "in its turn, behind those who came before"),
        }
    }
}
