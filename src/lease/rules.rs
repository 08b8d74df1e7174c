//! The rules by which a Lease is read and written: client-go's. Pure: it makes no request and reads no clock.
//!
//! The times in a Lease are written by other machines' clocks, so they are never compared with ours: what counts is for how
//! long this process has seen the record unchanged.

use std::time::Duration;

use k8s_openapi::{api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime};
use tokio::time::Instant;

/// Duration for which an unchanged record blocks other candidates.
pub(super) const DURATION: Duration = Duration::from_secs(15);
/// Duration for which the leader may write after it sent a successful renewal. The rest of `DURATION` is reserved for
/// writes in flight and for clocks of different speed.
pub(super) const TERM: Duration = Duration::from_secs(10);
/// Interval between two attempts.
pub(super) const RETRY: Duration = Duration::from_secs(2);

/// A Lease as this process sees it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sight {
    record: LeaseSpec,
    /// Time at which this record was first observed.
    since: Instant,
}

impl Sight {
    /// Observes the record; an unchanged record keeps the time of its first observation.
    pub(super) fn next(previous: Option<&Self>, record: &LeaseSpec, now: Instant) -> Self {
        let since = previous.filter(|previous| previous.record == *record).map_or(now, |previous| previous.since);
        Self { record: record.clone(), since }
    }

    /// The present holder, if there is one.
    pub(super) fn holder(&self) -> Option<&str> {
        self.record.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    /// True if the Lease can be acquired: it has no holder, this process is the holder, or the holder has not renewed
    /// it for its duration.
    pub(super) fn is_free_for(&self, identity: &str, now: Instant) -> bool {
        let seconds = self.record.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let duration = seconds.map_or(DURATION, Duration::from_secs);
        self.holder().is_none_or(|holder| holder == identity) || now.duration_since(self.since) >= duration
    }
}

/// The record of one who takes or renews the Lease; `at` is for people to read.
pub(super) fn held(previous: &LeaseSpec, identity: &str, at: MicroTime) -> LeaseSpec {
    let renews = previous.holder_identity.as_deref() == Some(identity);
    let transitions = previous.lease_transitions.unwrap_or(0);
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: if renews { previous.acquire_time.clone() } else { Some(at.clone()) },
        renew_time: Some(at),
        lease_transitions: Some(if renews { transitions } else { transitions.saturating_add(1) }),
        ..previous.clone()
    }
}

/// The record of a released Lease, which the next leader can acquire at once.
pub(super) fn released(previous: &LeaseSpec, at: MicroTime) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        acquire_time: Some(at.clone()),
        renew_time: Some(at),
        ..previous.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> MicroTime {
        MicroTime(jiff::Timestamp::from_second(second).unwrap())
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_holder_keeps_others_away_until_it_was_silent_for_its_time_by_our_own_clock() {
        let start = Instant::now();
        // Its clock is decades off, which says nothing.
        let record = held(&LeaseSpec::default(), "a", at(1));
        let sight = Sight::next(None, &record, start);
        assert!(sight.is_free_for("a", start) && !sight.is_free_for("b", start));
        let same = Sight::next(Some(&sight), &record, after(start, 14));
        assert!(!same.is_free_for("b", after(start, 14)) && same.is_free_for("b", after(start, 15)));
        let renewed = Sight::next(Some(&same), &held(&record, "a", at(2)), after(start, 14));
        assert!(!renewed.is_free_for("b", after(start, 28)) && renewed.is_free_for("b", after(start, 29)));
    }

    #[test]
    fn a_lease_that_was_given_back_is_free_at_once() {
        let start = Instant::now();
        let record = held(&LeaseSpec::default(), "a", at(1));
        let sight = Sight::next(None, &released(&record, at(2)), start);
        assert_eq!(sight.holder(), None);
        assert!(sight.is_free_for("b", start));
    }

    #[test]
    fn taking_counts_a_transition_and_renewing_does_not() {
        let first = held(&LeaseSpec::default(), "a", at(1));
        assert_eq!((first.lease_transitions, first.lease_duration_seconds), (Some(1), Some(15)));
        let renewed = held(&first, "a", at(2));
        assert_eq!(
            (renewed.lease_transitions, renewed.acquire_time.clone(), renewed.renew_time.clone()),
            (Some(1), Some(at(1)), Some(at(2)))
        );
        let taken = held(&renewed, "b", at(3));
        assert_eq!((taken.lease_transitions, taken.acquire_time), (Some(2), Some(at(3))));
    }

    #[test]
    fn a_holder_stops_writing_well_before_others_may_take_over() {
        assert!(TERM + 2 * RETRY < DURATION);
    }
}
