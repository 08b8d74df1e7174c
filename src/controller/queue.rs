//! Which instances a watch has called whose reconcile has not begun. kube keeps the queue itself and does not show it;
//! this is the part of it that can be known from outside: repeats by the clock are not in it.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Namespace and name.
type Name = (String, String);

/// The calls that wait. Clones share one state.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(Arc<Mutex<BTreeMap<Name, Instant>>>);

impl Queue {
    /// A watch calls this instance; one that waits already keeps its place.
    pub(super) fn called(&self, namespace: &str, name: &str, now: Instant) {
        if let Entry::Vacant(place) = self.waiting().entry(key(namespace, name)) {
            place.insert(now);
        }
    }

    /// Its reconcile begins, or there is no such instance any more; how long it had waited, if it was called.
    pub(super) fn served(&self, namespace: &str, name: &str, now: Instant) -> Option<Duration> {
        let called = self.waiting().remove(&key(namespace, name))?;
        Some(now.saturating_duration_since(called))
    }

    /// How many wait.
    pub(super) fn depth(&self) -> usize {
        self.waiting().len()
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<Name, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(namespace: &str, name: &str) -> Name {
    (namespace.to_owned(), name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_waits_from_its_first_call() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let queue = Queue::default();
        queue.called("shop", "a", at(0));
        queue.called("shop", "a", at(1));
        queue.called("other", "a", at(2));
        assert_eq!(queue.depth(), 2);
        assert_eq!(queue.served("shop", "a", at(5)), Some(Duration::from_secs(5)));
        assert_eq!(queue.served("shop", "a", at(6)), None, "nobody called it again");
        assert_eq!(queue.depth(), 1);
    }
}
