//! How many reconciles are at work at once. One that waits long for an answer lets another begin: however many requests
//! hang, those of other instances get their turn.

use std::{cell::Cell, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout_at},
};

/// Reconciles at work: enough that one slow API call holds nobody up, few enough to be a polite client.
const AT_WORK: usize = 16;
/// Reconciles under way, those that wait for an answer or for their turn among them: so many that all of them hanging is
/// an outage, and not the fault of some instances.
pub(super) const UNDER_WAY: u16 = 128;
/// How long one may take before another begins in its place.
const PATIENCE: Duration = Duration::from_secs(5);

tokio::task_local! {
    /// The turn of the reconcile that runs, until it gives it up.
    static TURN: Cell<Option<OwnedSemaphorePermit>>;
}

/// The turns of one process.
pub(super) struct Turns(Arc<Semaphore>);

/// Waits, and gives up the turn for it: what comes after is done beside those whose turn it is.
pub(super) async fn rest(time: Duration) {
    drop(TURN.try_with(Cell::take));
    sleep_until(Instant::now() + time).await;
}

impl Turns {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_WORK)))
    }

    /// Runs the work that `begin` makes once it has a turn, to its end.
    pub(super) async fn take<F: Future>(&self, begin: impl FnOnce() -> F) -> F::Output {
        // It is never closed.
        let turn = Arc::clone(&self.0).acquire_owned().await.ok();
        let work = async {
            let mut work = std::pin::pin!(begin());
            if let Ok(output) = timeout_at(Instant::now() + PATIENCE, &mut work).await {
                return output;
            }
            TURN.with(Cell::take);
            work.await
        };
        TURN.scope(Cell::new(turn), work).await
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

    #[tokio::test(start_paused = true)]
    async fn who_rests_gives_up_the_turn() {
        let turns = Turns::new();
        let mut all = Box::pin(join_all((0..16).map(|_| turns.take(|| rest(PATIENCE / 2)))));
        assert!((&mut all).now_or_never().is_none());
        assert_eq!(turns.take(|| async { "at once" }).now_or_never(), Some("at once"));
        assert_eq!(all.await.len(), 16);
        assert_eq!(turns.0.available_permits(), 16);
    }
}
