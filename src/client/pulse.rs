//! Signs of life of the watches: told to `health`, and to those who wait for the API server to be there again.
//! kube's watcher hides bookmarks and reopening, so they are seen here, where the bytes come.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

use crate::{
    health::Health,
    metrics::{Kind, Outcome, Verb},
};

/// Where the signs of life go. Clones share one state.
#[derive(Clone, Debug)]
pub struct Pulse {
    health: Health,
    /// The kinds whose watch broke off, or could not be opened, because of the API server or the way to it.
    broken: Arc<Mutex<BTreeSet<&'static str>>>,
    reopened: watch::Sender<u64>,
}

impl Pulse {
    /// Nothing has been seen yet.
    #[must_use]
    pub fn new(health: Health) -> Self {
        Self { health, broken: Arc::default(), reopened: watch::Sender::new(0) }
    }

    /// Changes each time that a broken watch is open again: what failed meanwhile is worth another try.
    #[must_use]
    pub fn reopened(&self) -> watch::Receiver<u64> {
        self.reopened.subscribe()
    }

    /// A watch of this kind showed life.
    pub(super) fn moved(&self, kind: Kind) {
        self.health.watch_moved(kind.word(), Instant::now());
    }

    /// A list or a watch of this kind was answered, or broke off. Failing is a sign of life too: it is the API server's
    /// failure, or the network's, and no restart of this process would mend it.
    pub(super) fn answered(&self, kind: Kind, verb: Verb, outcome: Outcome) {
        self.moved(kind);
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Unreachable | Outcome::ServerError | Outcome::Throttled => {
                broken.insert(kind.word());
            }
            Outcome::Ok if verb == Verb::Watch && broken.remove(kind.word()) => {
                self.reopened.send_modify(|times| *times = times.wrapping_add(1));
            }
            _ => {}
        }
    }
}
