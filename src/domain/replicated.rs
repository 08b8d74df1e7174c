//! Directives of an instance with several pods. Refuses those that would make the operator fail over a healthy primary
//! or break what `spec.replication` promises; warns about those that weaken it. The schema repeats the rules that
//! scaling can violate.

use super::{cross_field::setting, directives::value::memory, field_error::FieldError, instance::ValidatedInstance};
use crate::{api::v1::Durability, domain::config::Directives};

/// The most milliseconds after which a server that runs a script has to say so; a failover begins after 6 s of silence.
const BUSY_LIMIT: i64 = 5000;
/// Seconds after which a primary with durability Bounded stops to acknowledge, as the field promises.
const BOUND: i64 = 10;
/// Seconds of `repl-timeout` below which a full synchronisation is cut off by an ordinary pause.
const SHORT_TIMEOUT: i64 = 10;
/// The operator's defaults: `repl-ping-replica-period` and `repl-backlog-size`; Redis' own of `repl-timeout`.
const PING_PERIOD: i64 = 1;
const BACKLOG: i128 = 16 << 20;
const TIMEOUT: i64 = 60;
/// The part of the memory limit, in percent, from which the backlog is worth a word.
const BACKLOG_PERCENT: i128 = 25;

/// Invalid directives. `asked` is the durability in the spec.
#[must_use]
pub fn faults(config: &Directives, replicas: i32, asked: Option<Durability>) -> Vec<FieldError> {
    let busy = named(config, &["busy-reply-threshold", "lua-time-limit"])
        .filter(|(_, _, limit)| replicas > 1 && !(1..=BUSY_LIMIT).contains(limit))
        .map(|fault| {
            let detail = format!(
                "must be between 1 and {BUSY_LIMIT} with several replicas: a primary that runs a script has to say so \
                 before it is taken for dead"
            );
            refused(fault, detail)
        });
    let unbounded = ["min-replicas-max-lag", "min-slaves-max-lag", "min-replicas-to-write", "min-slaves-to-write"]
        .into_iter()
        .filter_map(|name| named(config, &[name]))
        .filter(|(_, _, value)| asked == Some(Durability::Bounded) && *value == 0)
        .map(|fault| {
            refused(fault, "must be at least 1 with spec.replication.durability Bounded: 0 switches it off".to_owned())
        });
    busy.into_iter().chain(unbounded).collect()
}

/// Directives that weaken replication. At most 120 characters each.
#[must_use]
pub fn doubts(instance: &ValidatedInstance) -> Vec<String> {
    if instance.replicas < 2 {
        return Vec::new();
    }
    let config = &instance.config;
    let ping = named(config, &["repl-ping-replica-period", "repl-ping-slave-period"]);
    let timeout = named(config, &["repl-timeout"]);
    [
        pings_and_timeout(ping, timeout),
        ping.filter(|(_, _, period)| *period > 3).map(|(name, _, period)| {
            format!(
                "spec.config[{name}]: a dead primary is missed after {} s at the earliest",
                period.saturating_mul(2) + 1
            )
        }),
        switched_off_bound(instance),
        every_replica_needed(instance),
        word(config, &["replica-ignore-maxmemory", "slave-ignore-maxmemory"], "no")
            .map(|name| format!("spec.config[{name}]: replicas evict keys on their own: a failover serves other data")),
        word(config, &["replica-serve-stale-data", "slave-serve-stale-data"], "no").map(|name| {
            format!("spec.config[{name}]: replicas refuse reads whenever they have no primary, as in a failover")
        }),
        word(config, &["replica-ignore-disk-write-errors"], "yes").map(|name| {
            format!("spec.config[{name}]: a replica with a broken disk goes on, and may lose all at its restart")
        }),
        setting(config, "repl-diskless-load")
            .filter(|value| ["swapdb", "flush-before-load"].iter().any(|word| value.eq_ignore_ascii_case(word)))
            .map(|value| {
                format!(
                    "spec.config[repl-diskless-load]: {value}: a transfer that breaks off costs the replica its data"
                )
            }),
        small_replica_buffer(config),
        large_backlog(instance),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Name, text and number of the first of these directives that is set to a number.
fn named<'a>(config: &'a Directives, names: &[&'static str]) -> Option<(&'static str, &'a str, i64)> {
    names.iter().find_map(|name| {
        let text = setting(config, name)?;
        Some((*name, text, text.parse().ok()?))
    })
}

fn word(config: &Directives, names: &[&'static str], value: &str) -> Option<&'static str> {
    names.iter().find(|name| setting(config, name).is_some_and(|set| set.eq_ignore_ascii_case(value))).copied()
}

fn refused((name, text, _): (&str, &str, i64), detail: String) -> FieldError {
    FieldError::invalid(format!("spec.config[{name}]"), text, detail)
}

type Named<'a> = Option<(&'static str, &'a str, i64)>;

/// A replica that hears nothing for `repl-timeout` connects again, also in the middle of a transfer.
fn pings_and_timeout(ping: Named<'_>, timeout: Named<'_>) -> Option<String> {
    let (period, limit) = (ping.map_or(PING_PERIOD, |ping| ping.2), timeout.map_or(TIMEOUT, |timeout| timeout.2));
    let name = timeout.or(ping)?.0;
    if limit <= period {
        return Some(format!(
            "spec.config[{name}]: repl-timeout {limit} is not above the ping period {period}: replicas reconnect for ever"
        ));
    }
    (limit < SHORT_TIMEOUT).then(|| {
        format!("spec.config[repl-timeout]: {limit} s of silence end a full synchronisation, which then starts again")
    })
}

/// Durability Bounded that no field asks for, and directives that take it away.
fn switched_off_bound(instance: &ValidatedInstance) -> Option<String> {
    if !instance.bounds_divergence() {
        return None;
    }
    let lag = named(&instance.config, &["min-replicas-max-lag", "min-slaves-max-lag"]);
    let least = named(&instance.config, &["min-replicas-to-write", "min-slaves-to-write"]);
    match (lag, least) {
        (Some((name, _, 0)), _) | (_, Some((name, _, 0))) => Some(format!(
            "spec.config[{name}]: 0 switches durability Bounded off: a primary that is cut off goes on to acknowledge"
        )),
        (Some((name, _, lag)), _) if lag > BOUND => Some(format!(
            "spec.config[{name}]: a primary that is cut off acknowledges for {lag} s, not {BOUND} s as Bounded says"
        )),
        _ => None,
    }
}

fn every_replica_needed(instance: &ValidatedInstance) -> Option<String> {
    let (name, _, least) = named(&instance.config, &["min-replicas-to-write", "min-slaves-to-write"])?;
    (least > 0 && least == i64::from(instance.replicas) - 1)
        .then(|| format!("spec.config[{name}]: {least} is all replicas: every restart of a replica stops the writes"))
}

/// Writes that arrive during a full synchronisation wait in this buffer; beyond its limit the replica is cut off.
fn small_replica_buffer(config: &Directives) -> Option<String> {
    let words = config.words("client-output-buffer-limit")?;
    let of_replicas = |group: &&[String]| {
        matches!(group.first().map(|c| c.to_ascii_lowercase()).as_deref(), Some("replica" | "slave"))
    };
    let hard = memory(words.chunks(4).find(of_replicas)?.get(1)?).filter(|bytes| *bytes > 0)?;
    let backlog = setting(config, "repl-backlog-size").and_then(memory).unwrap_or(BACKLOG).max(BACKLOG);
    (hard < backlog).then(|| {
        "spec.config[client-output-buffer-limit]: of replicas less than repl-backlog-size or 16mb: transfers break off".to_owned()
    })
}

/// `maxmemory` does not count the backlog.
fn large_backlog(instance: &ValidatedInstance) -> Option<String> {
    let limit = instance.resources.limits.get("memory")?;
    let backlog = setting(&instance.config, "repl-backlog-size").and_then(memory)?;
    (backlog.saturating_mul(100) > limit.value().saturating_mul(BACKLOG_PERCENT)).then(|| {
        format!("spec.config[repl-backlog-size]: over {BACKLOG_PERCENT} % of the memory limit of {limit}, and maxmemory does not count it")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::instance::tests::{checked, validated};

    fn faults_of(spec: Value) -> usize {
        checked(spec).err().map_or(0, |errors| errors.len())
    }

    fn told(name: &str, value: &str, replicas: i32) -> Vec<String> {
        let told = doubts(&validated(json!({"replicas": replicas, "config": {name: value}})));
        assert!(told.iter().all(|text| text.len() <= 120), "{told:?}");
        told
    }

    #[test]
    fn a_primary_says_that_it_runs_a_script_before_it_is_taken_for_dead() {
        for (name, value, replicas, faults) in [
            ("busy-reply-threshold", "0", 3, 1),
            ("lua-time-limit", "0", 2, 1),
            ("lua-time-limit", "5001", 2, 1),
            ("busy-reply-threshold", "\"30000\"", 2, 1),
            ("busy-reply-threshold", "5000", 3, 0),
            ("busy-reply-threshold", "30000", 1, 0),
        ] {
            let spec = json!({"replicas": replicas, "config": {name: value}});
            assert_eq!(faults_of(spec), faults, "{name} {value} {replicas}");
        }
    }

    #[test]
    fn durability_that_is_asked_for_is_not_switched_off() {
        for name in ["min-replicas-max-lag", "min-slaves-max-lag", "min-replicas-to-write", "min-slaves-to-write"] {
            let bounded = json!({"replicas": 3, "replication": {"durability": "Bounded"}, "config": {name: "0"}});
            assert_eq!(faults_of(bounded), 1, "{name}");
            assert_eq!(told(name, "0", 3).len(), 1, "{name}");
            assert!(told(name, "0", 2).is_empty() && told(name, "1", 3).len() < 2, "{name}");
        }
        assert_eq!(told("min-replicas-max-lag", "60", 3).len(), 1);
    }

    #[test]
    fn what_weakens_replication_is_told_where_there_is_any() {
        for (name, value) in [
            ("repl-ping-replica-period", "10"),
            ("repl-ping-slave-period", "10"),
            ("repl-timeout", "1"),
            ("repl-timeout", "5"),
            ("min-replicas-to-write", "2"),
            ("replica-ignore-maxmemory", "NO"),
            ("slave-ignore-maxmemory", "no"),
            ("slave-serve-stale-data", "no"),
            ("repl-diskless-load", "SwapDB"),
            ("client-output-buffer-limit", "normal 0 0 0 slave 4mb 2mb 5"),
        ] {
            assert_eq!(told(name, value, 3).len(), 1, "{name} {value}");
            assert!(name.starts_with("min-") || told(name, value, 1).is_empty(), "{name} {value}");
        }
        assert!(told("repl-ping-replica-period", "120", 3)[0].contains("repl-timeout"));
        for (name, value) in [
            ("repl-timeout", "60"),
            ("repl-ping-replica-period", "1"),
            ("client-output-buffer-limit", "replica 0 0 0"),
            ("client-output-buffer-limit", "replica 256mb 64mb 60"),
            ("repl-diskless-load", "on-empty-db"),
            ("min-replicas-to-write", "1"),
        ] {
            assert!(told(name, value, 3).is_empty(), "{name} {value}");
        }
    }
}
