//! Whether this process may write now. It must not know how leadership is won.

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Until when this process leads. Clones share one state.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Sender<Term>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    Over,
    Until(Instant),
    /// Leader election is off.
    Alone,
}

impl Leadership {
    /// Nothing is won yet.
    #[must_use]
    pub fn contended() -> Self {
        Self(watch::Sender::new(Term::Over))
    }

    /// For a process without leader election: it is always the leader.
    #[must_use]
    pub fn alone() -> Self {
        Self(watch::Sender::new(Term::Alone))
    }

    /// Whether this process may write. It is asked before each write, because a process that was paused does not know for
    /// how long.
    #[must_use]
    pub fn is_held(&self) -> bool {
        holds(*self.0.borrow())
    }

    /// Waits until it is won.
    pub async fn won(&self) {
        // The sender is in here, so it is never closed.
        drop(self.0.subscribe().wait_for(|term| holds(*term)).await);
    }

    /// Waits until it is lost, or was not renewed in time.
    pub async fn lost(&self) {
        let mut terms = self.0.subscribe();
        loop {
            let term = *terms.borrow_and_update();
            if !holds(term) {
                return;
            }
            let over = async {
                match term {
                    Term::Until(end) => sleep_until(end).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = terms.changed() => drop(changed),
                () = over => {}
            }
        }
    }

    pub(super) fn extend(&self, until: Instant) {
        self.0.send_replace(Term::Until(until));
    }

    pub(super) fn end(&self) {
        self.0.send_replace(Term::Over);
    }
}

fn holds(term: Term) -> bool {
    match term {
        Term::Over => false,
        Term::Until(end) => Instant::now() < end,
        Term::Alone => true,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_held_until_its_term_is_over_and_longer_when_that_is_extended() {
        let leadership = Leadership::contended();
        assert!(!leadership.is_held() && leadership.won().now_or_never().is_none());
        leadership.extend(Instant::now() + Duration::from_secs(10));
        leadership.won().await;
        let begun = Instant::now();
        let extended = async {
            sleep_until(begun + Duration::from_secs(8)).await;
            leadership.extend(begun + Duration::from_secs(18));
        };
        tokio::join!(leadership.lost(), extended);
        assert_eq!(begun.elapsed().as_secs(), 18);
        assert!(!leadership.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_at_once_when_another_has_it_and_never_for_one_who_is_alone() {
        let leadership = Leadership::contended();
        leadership.extend(Instant::now() + Duration::from_secs(10));
        tokio::join!(leadership.lost(), async { leadership.end() });
        assert!(!leadership.is_held());
        assert!(Leadership::alone().is_held() && Leadership::alone().lost().now_or_never().is_none());
    }
}
