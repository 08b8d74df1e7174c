//! Whether the process is alive and ready, from what its parts have reported.
//! It must not know HTTP, nor read a clock: now is an argument.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The reconcile loop is taken for stuck when it has not reported for this long. It reports at least every few seconds,
/// work or none.
pub const STUCK_AFTER: Duration = Duration::from_mins(1);

/// What the parts of the process report. Clones share one state.
#[derive(Debug, Clone)]
pub struct Health {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    certificate_loaded: AtomicBool,
    watches_synced: AtomicBool,
    origin: Instant,
    /// Milliseconds from `origin` to the last beat, plus one; 0 while the loop has not started.
    last_beat: AtomicU64,
}

impl Health {
    /// Nothing reported yet: alive, not ready. `now` is the origin of the beats.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let state = State {
            certificate_loaded: AtomicBool::new(false),
            watches_synced: AtomicBool::new(false),
            origin: now,
            last_beat: AtomicU64::new(0),
        };
        Self { state: Arc::new(state) }
    }

    /// The webhook has a certificate to show.
    pub fn certificate_loaded(&self) {
        self.state.certificate_loaded.store(true, Ordering::Relaxed);
    }

    /// Every watch has delivered its first full list.
    pub fn watches_synced(&self) {
        self.state.watches_synced.store(true, Ordering::Relaxed);
    }

    /// The reconcile loop is turning at `now`. The first beat says that it has started.
    pub fn beat(&self, now: Instant) {
        // Parts may report out of order; the newest counts.
        self.state.last_beat.fetch_max(self.millis(now) + 1, Ordering::Relaxed);
    }

    /// Whether restarting the process would not help.
    ///
    /// # Errors
    /// Says for how long the reconcile loop has been silent, when that is longer than [`STUCK_AFTER`]. A loop that
    /// never started, as on a replica that waits for the lease, is not stuck.
    pub fn livez(&self, now: Instant) -> Result<(), String> {
        let Some(last) = self.state.last_beat.load(Ordering::Relaxed).checked_sub(1) else {
            return Ok(());
        };
        let silent = Duration::from_millis(self.millis(now).saturating_sub(last));
        if silent > STUCK_AFTER {
            return Err(format!("the reconcile loop has not moved for {} s", silent.as_secs()));
        }
        Ok(())
    }

    /// Whether calls may be routed here.
    ///
    /// # Errors
    /// Names everything that is still missing.
    pub fn readyz(&self) -> Result<(), Vec<&'static str>> {
        let parts = [
            (&self.state.certificate_loaded, "the serving certificate is not loaded"),
            (&self.state.watches_synced, "the watches are not synced"),
        ];
        let missing: Vec<_> =
            parts.into_iter().filter(|(done, _)| !done.load(Ordering::Relaxed)).map(|(_, reason)| reason).collect();
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    }

    fn millis(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.state.origin).as_millis();
        // One below the largest, so that the beat's plus one cannot overflow.
        u64::try_from(elapsed).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_everything_that_is_missing() {
        let health = Health::new(Instant::now());
        assert_eq!(health.readyz(), Err(vec!["the serving certificate is not loaded", "the watches are not synced"]));
        health.clone().certificate_loaded();
        assert_eq!(health.readyz(), Err(vec!["the watches are not synced"]));
        health.watches_synced();
        assert_eq!(health.readyz(), Ok(()));
    }

    #[test]
    fn a_loop_that_started_must_keep_turning() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let health = Health::new(start);
        assert_eq!(health.livez(at(1000)), Ok(()), "never started");

        health.beat(at(1000));
        assert_eq!(health.livez(at(1060)), Ok(()));
        assert_eq!(health.livez(at(1061)), Err("the reconcile loop has not moved for 61 s".to_owned()));
        health.beat(at(1062));
        health.beat(at(1001));
        assert_eq!(health.livez(at(1100)), Ok(()), "an older beat takes nothing back");
    }

    #[test]
    fn a_beat_at_the_origin_starts_the_loop() {
        let start = Instant::now();
        let health = Health::new(start);
        health.beat(start);
        assert!(health.livez(start + Duration::from_secs(61)).is_err());
    }
}
