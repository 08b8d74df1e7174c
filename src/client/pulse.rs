//! Liveness of the watches, reported to `health` and to tasks that wait for the API server to return. kube's watcher
//! hides bookmarks and reconnects, so they are observed here, in the byte stream.

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

/// The destinations of liveness signals. Clones share one state.
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

    /// A list or a watch of this kind was answered, or failed. A failure counts as liveness too: it is caused by the
    /// API server or the network, and restarting this process would not help.
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
