//! The liveness and readiness probes, evaluated from what the components have reported.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::Health;

/// The reconcile loop is taken for stuck when it has not reported for this long. It reports at least every few seconds,
/// work or none.
pub const STUCK_AFTER: Duration = Duration::from_mins(1);

/// A watch is considered stuck after this time without activity: three times its maximum duration. Events, bookmarks,
/// ends and failures all count as activity, so a silent watch is a defect of this process, and a restart helps.
pub const WATCH_STUCK_AFTER: Duration = Duration::from_mins(3);

/// The webhook thread is considered busy after this time without a report, so that calls go to another operator. It
/// reports every second; an API server cancels a call after 5 s.
pub const WEBHOOKS_BUSY_AFTER: Duration = Duration::from_secs(5);

/// Seconds before the end of the served certificate from which on calls had better go to another operator, whose certificate
/// may have been renewed.
const EXPIRY_MARGIN: i64 = 300;

impl Health {
    /// The time since the last beat of the webhook thread; `None` before it started.
    fn webhook_silence(&self, now: Instant) -> Option<Duration> {
        let last = self.state.last_webhook_beat.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(self.millis(now).saturating_sub(last)))
    }

    /// The liveness probe: fails if restarting the process would help.
    ///
    /// # Errors
    /// If the webhook thread or the reconcile loop has not reported for longer than [`STUCK_AFTER`], or a watch for
    /// longer than [`WATCH_STUCK_AFTER`]. Components that have not started are not considered stuck.
    pub fn livez(&self, now: Instant) -> Result<(), String> {
        if let Some(silent) = self.webhook_silence(now).filter(|silent| *silent > STUCK_AFTER) {
            return Err(format!("the webhook thread has not moved for {} s", silent.as_secs()));
        }
        let Some(last) = self.state.last_beat.load(Ordering::Relaxed).checked_sub(1) else {
            return Ok(());
        };
        let silent = Duration::from_millis(self.millis(now).saturating_sub(last));
        if silent > STUCK_AFTER {
            return Err(format!("the reconcile loop has not moved for {} s", silent.as_secs()));
        }
        let watches = self.watches();
        let silent = watches.iter().map(|(kind, watch)| (kind, now.saturating_duration_since(watch.moved)));
        match silent.max_by_key(|(_, silent)| *silent) {
            Some((kind, silent)) if silent > WATCH_STUCK_AFTER => {
                Err(format!("the watch on {kind} has shown no sign of life for {} s", silent.as_secs()))
            }
            _ => Ok(()),
        }
    }

    /// The readiness probe, evaluated at this wall-clock time and monotonic time.
    ///
    /// # Errors
    /// Names every missing condition.
    pub fn readyz(&self, now: Timestamp, at: Instant) -> Result<(), Vec<String>> {
        let mut missing = Vec::new();
        if self.state.leaving.load(Ordering::Relaxed) {
            missing.push("the operator is shutting down".to_owned());
        }
        if !self.state.certificate_loaded.load(Ordering::Relaxed) {
            missing.push("the serving certificate is not loaded".to_owned());
        }
        let left = self.state.certificate_expiry.load(Ordering::Relaxed).saturating_sub(now.as_second());
        if left < EXPIRY_MARGIN {
            missing.push(format!("the serving certificate expires in {left} s and no other was issued"));
        }
        let watches = self.watches();
        if watches.is_empty() && !self.state.standing_by.load(Ordering::Relaxed) {
            missing.push("the watches are not opened".to_owned());
        }
        let behind = watches.iter().filter(|(_, watch)| !watch.synced && at >= watch.due);
        missing.extend(behind.map(|(kind, _)| format!("the watch on {kind} is not synced")));
        if let Some(silent) = self.webhook_silence(at).filter(|silent| *silent > WEBHOOKS_BUSY_AFTER) {
            missing.push(format!("the webhook thread has not moved for {} s", silent.as_secs()));
        }
        if !missing.is_empty() {
            return Err(missing);
        }
        self.state.was_ready.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_thread_that_is_busy_takes_calls_away_and_one_that_is_stuck_ends_the_process() {
        let begin = Instant::now();
        let health = Health::new(begin);
        let told = |after: Duration| {
            let missing = health.readyz(Timestamp::UNIX_EPOCH, begin + after).unwrap_err();
            let is_busy = missing.iter().any(|line| line.contains("the webhook thread has not moved"));
            (is_busy, health.livez(begin + after).is_err())
        };
        assert_eq!(told(STUCK_AFTER * 2), (false, false), "it has not started");
        health.webhook_beat(begin);
        let moment = Duration::from_millis(1);
        assert_eq!(told(WEBHOOKS_BUSY_AFTER), (false, false));
        assert_eq!(told(WEBHOOKS_BUSY_AFTER + moment), (true, false));
        assert_eq!(told(STUCK_AFTER + moment), (true, true));
        health.webhook_beat(begin + STUCK_AFTER);
        assert_eq!(told(STUCK_AFTER + moment), (false, false));
    }

    #[test]
    fn readiness_names_everything_that_is_missing() {
        let now = Instant::now();
        let health = Health::new(now);
        let missing = || health.readyz(Timestamp::UNIX_EPOCH, now).err().unwrap_or_default().join("; ");
        assert_eq!(missing(), "the serving certificate is not loaded; the watches are not opened");
        health.clone().certificate_loaded(None);
        health.watching("Pod", now);
        health.watching("Service", now);
        assert_eq!(missing(), "the watch on Pod is not synced; the watch on Service is not synced");
        health.watch_synced("Service");
        assert_eq!(missing(), "the watch on Pod is not synced");
        health.watch_synced("Pod");
        assert_eq!(health.readyz(Timestamp::UNIX_EPOCH, now), Ok(()));
    }

    #[test]
    fn a_certificate_that_is_about_to_expire_is_nothing_to_send_callers_to() {
        let start = Instant::now();
        let health = Health::new(start);
        health.stands_by();
        health.certificate_loaded(Some(1000));
        let at = |second| health.readyz(Timestamp::from_second(second).unwrap(), start);
        assert_eq!(at(700), Ok(()));
        assert_eq!(at(701), Err(vec!["the serving certificate expires in 299 s and no other was issued".to_owned()]));
        health.certificate_loaded(Some(2000));
        assert_eq!(at(701), Ok(()));
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
    fn a_watch_must_show_signs_of_life_once_the_loop_has_started() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let health = Health::new(start);
        health.watching("Pod", start);
        health.watching("Service", start);
        assert_eq!(health.livez(at(1000)), Ok(()), "the loop never started");

        health.beat(at(180));
        assert_eq!(health.livez(at(180)), Ok(()));
        health.watch_moved("Service", at(181));
        assert_eq!(health.livez(at(181)), Err("the watch on Pod has shown no sign of life for 181 s".to_owned()));
        health.watch_moved("Pod", at(182));
        health.watch_moved("Pod", at(1));
        assert_eq!(health.livez(at(182)), Ok(()), "an older sign takes nothing back");
        health.watch_moved("Node", at(1));
        assert!(
            health.readyz(Timestamp::UNIX_EPOCH, start).unwrap_err().iter().all(|missing| !missing.contains("Node")),
            "nobody watches it"
        );
    }

    #[test]
    fn a_beat_at_the_origin_starts_the_loop() {
        let start = Instant::now();
        let health = Health::new(start);
        health.beat(start);
        assert!(health.livez(start + Duration::from_secs(61)).is_err());
    }
}
