//! Whether an unreachable primary can still acknowledge writes. Before another server is promoted its process has to
//! end, which only its kubelet can confirm; if the kubelet is unreachable, the primary must have stopped to accept
//! writes (`min-replicas-max-lag`).

use core::time::Duration;

use super::{Answer, Member};
use crate::api::v1::{Durability, RedisInstanceSpec};

/// Seconds that a server may be silent before a failover is begun, unless the spec says otherwise. Longer than the 5 s after
/// which a server that runs a script says so (`busy-reply-threshold`).
pub const SILENCE_LIMIT: u64 = 6;
/// Bounds of `spec.replication.failoverAfterSeconds`, in seconds.
pub const SILENCE_BOUNDS: (u64, u64) = (3, 3600);
/// Seconds that the kubelet gives the process to end: a server that was slow and answers again within them hands its role
/// over without a loss.
pub const GRACE_SECONDS: u32 = 5;
/// Seconds after which a kubelet that was asked to end a pod and has not confirmed it is taken to be out of reach: the
/// grace period, 2 s that the kubelet adds, and time to report.
pub const CONFIRMATION_LIMIT: u64 = 20;
/// Seconds after which a primary that no replica hears refuses writes, unless the spec says otherwise.
const MAX_LAG: u64 = 10;
/// Seconds by which the primary may count the lag of its replicas late.
const LAG_MARGIN: u64 = 2;
/// Seconds after which the administrator decides about a primary that is silent while no replica can take over safely.
pub const RETURN_LIMIT: u64 = 60;
/// Seconds for which a replica hears its primary after the last ping, at least.
const HEARING_MINIMUM: u64 = 3;

/// Milliseconds that a script runs before its server answers BUSY (`busy-reply-threshold`), unless the spec says otherwise; at most, with
/// several replicas.
const BUSY_THRESHOLD_MS: u64 = 5000;

/// The time limits for the servers of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Seconds until a failover is begun.
    pub silence: u64,
    /// Seconds until a replica that got no ping hears its primary no more.
    pub hearing: u64,
    /// Seconds until a primary that no replica hears stops to acknowledge writes; `None` where it never does.
    pub acknowledging: Option<u64>,
    /// Two BUSY answers that are less than this apart come from one script: the server would not answer BUSY that early in another one
    /// (`busy-reply-threshold`).
    pub same_script: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let same_script = Duration::from_millis(BUSY_THRESHOLD_MS);
        Self { silence: SILENCE_LIMIT, hearing: HEARING_MINIMUM, acknowledging: None, same_script }
    }
}

impl Limits {
    /// The limits of an instance with this spec, which need not be valid: a failover does not wait for a correct one.
    #[must_use]
    pub fn of(spec: &RedisInstanceSpec) -> Self {
        let number = |names: [&str; 2]| {
            let config = spec.config.iter().flatten().find(|(name, _)| names.contains(&name.to_lowercase().as_str()));
            config.and_then(|(_, value)| {
                value.0.trim_matches(|c: char| matches!(c, '"' | '\'') || c.is_whitespace()).parse().ok()
            })
        };
        let replication = spec.replication.as_ref();
        let bounded = replication
            .and_then(|replication| replication.durability)
            .map_or_else(|| spec.replicas.unwrap_or(1) > 2, |durability| durability == Durability::Bounded);
        let min_replicas =
            number(["min-replicas-to-write", "min-slaves-to-write"]).unwrap_or_else(|| u64::from(bounded));
        let max_lag = number(["min-replicas-max-lag", "min-slaves-max-lag"]).unwrap_or(MAX_LAG);
        let ping_period = number(["repl-ping-replica-period", "repl-ping-slave-period"]).unwrap_or(1);
        let silence = replication.and_then(|replication| replication.failover_after_seconds);
        let names = ["busy-reply-threshold", "lua-time-limit"];
        let is_set = spec.config.iter().flatten().any(|(name, _)| names.contains(&name.to_lowercase().as_str()));
        // A value that cannot be read proves nothing about a script.
        let threshold = number(names).unwrap_or(if is_set { 0 } else { BUSY_THRESHOLD_MS });
        let same_script = Duration::from_millis(threshold.min(BUSY_THRESHOLD_MS));
        Self { same_script, ..Self::new(silence, ping_period, (min_replicas, max_lag)) }
    }

    /// The limits of servers with these directives: `repl-ping-replica-period`, `min-replicas-to-write` and
    /// `min-replicas-max-lag`, each in its unit.
    #[must_use]
    pub fn new(silence: Option<i32>, ping_period: u64, (min_replicas, max_lag): (u64, u64)) -> Self {
        let (least, most) = SILENCE_BOUNDS;
        let silence = silence.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(SILENCE_LIMIT);
        Self {
            silence: silence.clamp(least, most),
            // One ping may get lost.
            hearing: ping_period.saturating_mul(2).saturating_add(1).max(HEARING_MINIMUM),
            acknowledging: (min_replicas > 0 && max_lag > 0).then_some(max_lag),
            ..Self::default()
        }
    }
}

/// The condition for promoting another server in place of an unreachable primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fence {
    /// Nothing: it cannot acknowledge writes any more, or nothing more can be done about it.
    Done,
    /// The kubelet has to end its pod.
    Ask,
    /// The kubelet was asked to; it has to confirm that.
    Confirm,
    /// It stops acknowledging writes when `min-replicas-max-lag` has passed.
    Expire,
}

/// The condition for promoting another server in place of a primary that has been unreachable for longer than the
/// limit.
pub(super) fn fence(primary: &Member, limits: Limits) -> Fence {
    let Answer::Silent { seconds } = primary.answer else { return Fence::Done };
    let acknowledges = limits.acknowledging.is_some_and(|lag| seconds < lag.saturating_add(LAG_MARGIN));
    match primary.fenced {
        _ if primary.ended => Fence::Done,
        _ if primary.node_away && acknowledges => Fence::Expire,
        _ if primary.node_away => Fence::Done,
        None => Fence::Ask,
        Some(asked) if asked < CONFIRMATION_LIMIT => Fence::Confirm,
        Some(_) if acknowledges => Fence::Expire,
        Some(_) => Fence::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::replication::fixtures::member;

    #[test]
    fn a_silent_primary_is_ended_or_waited_for() {
        let bounded = Limits { acknowledging: Some(10), ..Limits::default() };
        let unbounded = Limits::default();
        let silent = |seconds, ended, node_away, fenced| Member {
            ended,
            node_away,
            fenced,
            ..member(0, Answer::Silent { seconds })
        };
        for (primary, with_bound, without) in [
            (silent(6, false, false, None), Fence::Ask, Fence::Ask),
            (silent(9, false, false, Some(3)), Fence::Confirm, Fence::Confirm),
            (silent(26, false, false, Some(CONFIRMATION_LIMIT)), Fence::Done, Fence::Done),
            (silent(6, true, false, None), Fence::Done, Fence::Done),
            (silent(6, false, true, None), Fence::Expire, Fence::Done),
            (silent(12, false, true, None), Fence::Done, Fence::Done),
        ] {
            assert_eq!((fence(&primary, bounded), fence(&primary, unbounded)), (with_bound, without), "{primary:?}");
        }
        let long = Limits { acknowledging: Some(60), ..Limits::default() };
        assert_eq!(fence(&silent(26, false, false, Some(CONFIRMATION_LIMIT)), long), Fence::Expire);
    }

    #[test]
    fn the_limits_of_a_spec_follow_its_directives() {
        let of = |spec| Limits::of(&serde_json::from_value(spec).unwrap());
        assert_eq!(of(serde_json::json!({"replicas": 2})), Limits::default());
        let bounded = Limits { acknowledging: Some(10), ..Limits::default() };
        assert_eq!(of(serde_json::json!({"replicas": 3})), bounded);
        assert_eq!(of(serde_json::json!({"replicas": 2, "replication": {"durability": "Bounded"}})), bounded);
        let patient = serde_json::json!({"replicas": 2, "replication": {"failoverAfterSeconds": 30}});
        assert_eq!(of(patient).silence, 30);
        for (config, seconds) in [
            (serde_json::json!({}), 5),
            (serde_json::json!({"busy-reply-threshold": "4000"}), 4),
            (serde_json::json!({"lua-time-limit": "'1000'"}), 1),
            (serde_json::json!({"Busy-Reply-Threshold": "1s"}), 0),
            (serde_json::json!({"busy-reply-threshold": "30000"}), 5),
        ] {
            let same_script = of(serde_json::json!({"replicas": 2, "config": config})).same_script;
            assert_eq!(same_script, Duration::from_secs(seconds), "{config}");
        }
        let own = serde_json::json!({"repl-ping-slave-period": "10", "min-replicas-to-write": "0"});
        assert_eq!(of(serde_json::json!({"replicas": 3, "config": own})), Limits { hearing: 21, ..Limits::default() });
    }

    #[test]
    fn the_limits_follow_the_directives_and_are_bounded() {
        assert_eq!(Limits::new(None, 1, (0, 10)), Limits::default());
        let limits = Limits { silence: 30, hearing: 21, acknowledging: Some(5), ..Limits::default() };
        assert_eq!(Limits::new(Some(30), 10, (1, 5)), limits);
        for (wanted, silence) in [(-1, 6), (0, 3), (i32::MAX, 3600)] {
            assert_eq!(Limits::new(Some(wanted), u64::MAX, (1, 0)).silence, silence);
        }
    }
}
