//! The health of the process, as its components report it. Independent of HTTP; reads no clock: the current time is an
//! argument.

mod probes;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use self::probes::{STUCK_AFTER, WATCH_STUCK_AFTER, WEBHOOKS_BUSY_AFTER};

/// How long a new leader stays ready while its watches deliver their first lists. It answers admission requests
/// meanwhile, and another leader would have to list the same objects.
pub const TAKEOVER: Duration = Duration::from_mins(1);

/// The state reported by the components of the process. Clones share one state.
#[derive(Debug, Clone)]
pub struct Health {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    certificate_loaded: AtomicBool,
    /// The end of the served certificate in Unix time.
    certificate_expiry: AtomicI64,
    standing_by: AtomicBool,
    leaving: AtomicBool,
    /// True once the process has reported ready, so that it may receive calls.
    was_ready: AtomicBool,
    watches: Mutex<BTreeMap<&'static str, Watch>>,
    origin: Instant,
    /// Milliseconds from `origin` to the last beat, plus one; 0 while the loop has not started.
    last_beat: AtomicU64,
    /// Milliseconds from `origin` to the last beat of the webhook thread, plus one.
    last_webhook_beat: AtomicU64,
}

/// The state of the watch on one kind.
#[derive(Clone, Copy, Debug)]
struct Watch {
    synced: bool,
    moved: Instant,
    /// The time from which the process is unready without the first list of this watch.
    due: Instant,
}

impl Health {
    /// The initial state: alive, not ready. `now` is the origin of the beats.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let state = State {
            certificate_loaded: AtomicBool::new(false),
            certificate_expiry: AtomicI64::new(i64::MAX),
            standing_by: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            was_ready: AtomicBool::new(false),
            watches: Mutex::default(),
            origin: now,
            last_beat: AtomicU64::new(0),
            last_webhook_beat: AtomicU64::new(0),
        };
        Self { state: Arc::new(state) }
    }

    /// The webhook has a certificate to show, or another one; its end in Unix time, if it can be read.
    pub fn certificate_loaded(&self, expiry: Option<i64>) {
        self.state.certificate_expiry.store(expiry.unwrap_or(i64::MAX), Ordering::Relaxed);
        self.state.certificate_loaded.store(true, Ordering::Relaxed);
    }

    /// The process is going to end: calls had better go elsewhere.
    pub fn leaves(&self) {
        self.state.leaving.store(true, Ordering::Relaxed);
    }

    /// True once the webhooks have a certificate.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.state.certificate_loaded.load(Ordering::Relaxed)
    }

    /// Another process is the leader: this one watches nothing and waits for nothing.
    pub fn stands_by(&self) {
        self.state.standing_by.store(true, Ordering::Relaxed);
        self.watches().clear();
    }

    /// Registers a watch on objects of this kind. A process that was not ready before becomes ready after the first
    /// list.
    pub fn watching(&self, kind: &'static str, now: Instant) {
        let due = if self.state.was_ready.load(Ordering::Relaxed) { now + TAKEOVER } else { now };
        self.watches().entry(kind).or_insert(Watch { synced: false, moved: now, due });
        // Set after the watch exists, so that the process is always either standby or watching.
        self.state.standing_by.store(false, Ordering::Relaxed);
    }

    /// The watch on this kind has delivered its first full list.
    pub fn watch_synced(&self, kind: &str) {
        if let Some(watch) = self.watches().get_mut(kind) {
            watch.synced = true;
        }
    }

    /// The watch on this kind showed a sign of life.
    pub fn watch_moved(&self, kind: &str, now: Instant) {
        if let Some(watch) = self.watches().get_mut(kind) {
            watch.moved = watch.moved.max(now);
        }
    }

    /// The reconcile loop is turning at `now`, or the election that it waits for. The first beat says that it has started.
    pub fn beat(&self, now: Instant) {
        // Components may report out of order; the latest time counts.
        self.state.last_beat.fetch_max(self.millis(now) + 1, Ordering::Relaxed);
    }

    /// The thread of the webhooks runs tasks at `now`.
    pub fn webhook_beat(&self, now: Instant) {
        self.state.last_webhook_beat.fetch_max(self.millis(now) + 1, Ordering::Relaxed);
    }

    fn watches(&self) -> MutexGuard<'_, BTreeMap<&'static str, Watch>> {
        self.state.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn millis(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.state.origin).as_millis();
        // One below the maximum, so that adding one in `beat` cannot overflow.
        u64::try_from(elapsed).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn one_who_stands_by_is_ready_without_watches() {
        let now = Instant::now();
        let health = Health::new(now);
        health.certificate_loaded(None);
        health.watching("Pod", now);
        health.stands_by();
        assert_eq!(health.readyz(Timestamp::UNIX_EPOCH, now), Ok(()));
        health.beat(now + Duration::from_secs(1000));
        assert_eq!(health.livez(now + Duration::from_secs(1000)), Ok(()), "what it watched before is forgotten");
        health.stands_by();
        health.leaves();
        assert_eq!(health.readyz(Timestamp::UNIX_EPOCH, now), Err(vec!["the operator is shutting down".to_owned()]));
    }

    #[test]
    fn one_who_takes_over_stays_ready_while_it_lists_for_a_minute() {
        let start = Instant::now();
        let health = Health::new(start);
        let at = |seconds| health.readyz(Timestamp::UNIX_EPOCH, start + Duration::from_secs(seconds));
        let missing = |kind: &str| Err(vec![format!("the watch on {kind} is not synced")]);
        health.certificate_loaded(None);
        health.stands_by();
        health.watching("Pod", start);
        assert_eq!(at(0), missing("Pod"), "nobody was told yet that it is ready");
        health.stands_by();
        assert_eq!(at(0), Ok(()));
        health.watching("Pod", start);
        health.watching("Service", start);
        assert_eq!(at(59), Ok(()), "callers were sent here before, and are answered as before");
        health.watch_synced("Service");
        assert_eq!(at(60), missing("Pod"));
        health.watch_synced("Pod");
        assert_eq!(at(60), Ok(()));
    }
}
