//! Directives that are legal and harmful regardless of the rest of the spec: debugging aids of Redis' own tests, limits
//! that lock out clients, settings that weaken durability. They cause warnings, never errors.

use super::{config::Directives, cross_field::setting};

/// Connections that the operator, the replicas and the probes need beside the clients.
const FEW_CLIENTS: i64 = 50;
/// More databases than any known use; each takes memory at the start (`OpenVAS` uses 1025).
const MANY_DATABASES: i64 = 4096;
/// Bytes between two looks at clients while data are loaded, above which probes get no answer for seconds.
const LONG_LOADING_STEP: i64 = 64 << 20;

/// The condition under which a directive's value is harmful.
enum When {
    /// It is this word.
    Is(&'static str),
    /// It is neither empty nor this word.
    IsNot(&'static str),
    /// It is a number above this.
    Above(i64),
    /// It is a number below this.
    Below(i64),
}

const DEBUGGING: &str = "a debugging aid of Redis' own tests";

/// Directive, when it is harmful, and why, which follows the value.
const RISKS: &[(&str, When, &str)] = &[
    (
        "databases",
        When::Above(MANY_DATABASES),
        "databases take memory each at the start: Redis may be killed before it serves",
    ),
    (
        "maxclients",
        When::Below(FEW_CLIENTS),
        "leaves maxclients no room for the operator, replicas and probes: use 50 or more",
    ),
    ("key-load-delay", When::IsNot("0"), DEBUGGING),
    ("rdb-key-save-delay", When::IsNot("0"), DEBUGGING),
    ("watchdog-period", When::IsNot("0"), DEBUGGING),
    ("debug-context", When::IsNot(""), DEBUGGING),
    ("use-exit-on-panic", When::Is("yes"), DEBUGGING),
    (
        "aof-disable-auto-gc",
        When::Is("yes"),
        "a debugging aid: old append-only files are never deleted and fill the volume",
    ),
    ("io-threads-always-active", When::Is("yes"), DEBUGGING),
    (
        "crash-memcheck-enabled",
        When::Is("yes"),
        "a debugging aid: all memory is tested after a crash, before the restart",
    ),
    ("propagation-error-behavior", When::IsNot("ignore"), "a debugging aid: an error in replication ends the server"),
    (
        "loading-process-events-interval-bytes",
        When::Above(LONG_LOADING_STEP),
        "a debugging aid: no answer while data are loaded",
    ),
    ("appendfsync", When::Is("no"), "the writes of up to 30 s are lost with the node"),
    ("rdbchecksum", When::Is("no"), "a damaged snapshot is not recognised"),
    ("aof-load-truncated", When::Is("no"), "after a crash Redis does not start until the file is repaired"),
    ("import-mode", When::Is("yes"), "keys neither expire nor are evicted; meant for a migration"),
    ("rdb-version-check", When::Is("relaxed"), "files of later releases are read, perhaps wrongly"),
    ("loglevel", When::Is("nothing"), "the reason of a crash is not known"),
    ("hash-seed", When::IsNot(""), "a known seed lets clients slow the server down by keys that collide"),
];

/// One line for each. At most 120 characters.
#[must_use]
pub fn doubts(config: &Directives) -> Vec<String> {
    let risk = |(name, when, why): &(&str, When, &str)| {
        let value = setting(config, name)?;
        let number = || value.parse::<i64>().ok();
        let harms = match when {
            When::Is(word) => value.eq_ignore_ascii_case(word),
            When::IsNot(word) => !value.is_empty() && !value.eq_ignore_ascii_case(word),
            When::Above(most) => number().is_some_and(|number| number > *most),
            When::Below(least) => number().is_some_and(|number| number < *least),
        };
        let shown = number().map(|number| format!("{number} ")).unwrap_or_default();
        harms.then(|| match when {
            When::Above(_) | When::Below(_) => format!("spec.config[{name}]: {shown}{why}"),
            _ => format!("spec.config[{name}]: {why}"),
        })
    };
    RISKS.iter().filter_map(risk).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::instance::tests::validated;

    fn told(image: &str, name: &str, value: &str) -> Vec<String> {
        let told = doubts(&validated(json!({"image": image, "config": {name: value}})).config);
        assert!(told.iter().all(|text| text.len() <= 120), "{told:?}");
        told
    }

    #[test]
    fn what_harms_is_told_and_the_default_is_not() {
        for (image, name, harmful, harmless) in [
            ("redis:7.2", "databases", "2147483647", "1025"),
            ("redis:7.2", "maxclients", "1", "50"),
            ("redis:7.2", "key-load-delay", "1000000", "0"),
            ("redis:6.2", "rdb-key-save-delay", "-5", "0"),
            ("redis:7.2", "watchdog-period", "100", "0"),
            ("valkey/valkey:8.1", "debug-context", "x", ""),
            ("redis:7.2", "crash-memcheck-enabled", "YES", "no"),
            ("redis:7.2", "propagation-error-behavior", "panic-on-replicas", "ignore"),
            ("redis:7.2", "loading-process-events-interval-bytes", "2147483647", "2097152"),
            ("redis:7.2", "appendfsync", "NO", "always"),
            ("redis:7.2", "rdbchecksum", "no", "yes"),
            ("valkey/valkey:8.1", "import-mode", "yes", "no"),
            ("valkey/valkey:9.1", "rdb-version-check", "Relaxed", "strict"),
            ("valkey/valkey:9.1", "hash-seed", "abc", ""),
        ] {
            assert_eq!(told(image, name, harmful).len(), 1, "{name} {harmful}");
            assert!(told(image, name, harmless).is_empty(), "{name} {harmless}");
        }
    }

    #[test]
    fn every_risk_is_short_enough_to_be_shown() {
        for (name, _, why) in RISKS {
            assert!(format!("spec.config[{name}]: 9223372036854775807 {why}").len() <= 160, "{name}");
        }
    }
}
