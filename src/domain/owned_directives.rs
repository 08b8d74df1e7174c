//! The redis.conf directives that users may not set, each with the field to use instead, and the values that the operator
//! gives them. Names and aliases of Redis 6.2 to 8.2 and Valkey 7.2 to 9.1.

use super::{
    directives::{
        Kind,
        release::Release,
        runtime_value::{default_words, holds},
        value,
    },
    names::{DATA_PATH, PORT},
};

const MANAGED: &str = "directive is managed by the operator";
const PASSWORD: &str = "use spec.auth: the password lives in a Secret";
const TLS: &str = "directive is managed by the operator; TLS to Redis is not supported yet";
const ROLES: &str = "directive is managed by the operator, which owns the roles; use spec.replicas";
const FILES: &str = "directive is managed by the operator; data lives in the volume of spec.storage";
const CLUSTER: &str = "cluster mode is not supported";
const MODULES: &str =
    "runs code inside redis-server: the operator loads no modules; use an image whose redis-server loads them";
const ACLS: &str = "ACL users in redis.conf are not supported; use spec.auth";
const LOGS: &str = "directive is managed by the operator; Redis logs to the container's output";
const PROCESS: &str =
    "directive is managed by the operator; Redis runs in the foreground as the container's first process";
/// For directives that give clients more than Redis' own commands and users.
pub const SECURITY: &str = "security-sensitive: opens a way past the operator's configuration";

/// Directives by exact name.
const NAMES: &[(&str, &str)] = &[
    ("aclfile", ACLS),
    ("acl-pubsub-default", ACLS),
    ("appenddirname", FILES),
    ("appendfilename", FILES),
    ("bind", MANAGED),
    ("bind-source-addr", MANAGED),
    ("daemonize", PROCESS),
    ("dbfilename", FILES),
    ("dir", FILES),
    ("enable-debug-assert", SECURITY),
    ("enable-debug-command", SECURITY),
    ("enable-module-command", SECURITY),
    ("enable-protected-configs", SECURITY),
    ("extended-redis-compatibility", MANAGED),
    ("gopher-enabled", SECURITY),
    ("include", "directive is managed by the operator; write the directives into spec.config"),
    ("loadmodule", MODULES),
    ("logfile", LOGS),
    ("lua-enable-deprecated-api", SECURITY),
    ("lua-enable-insecure-api", SECURITY),
    ("masterauth", PASSWORD),
    ("masteruser", PASSWORD),
    ("oom-score-adj", "directive is managed by the operator; the kubelet sets the score from spec.resources"),
    ("oom-score-adj-values", "directive is managed by the operator; the kubelet sets the score from spec.resources"),
    ("pidfile", FILES),
    ("port", MANAGED),
    ("primaryauth", PASSWORD),
    ("primaryuser", PASSWORD),
    ("protected-mode", "directive is managed by the operator; use spec.auth"),
    ("rdma-bind", MANAGED),
    ("rdma-port", MANAGED),
    ("rename-command", SECURITY),
    ("replica-priority", ROLES),
    ("replicaof", ROLES),
    ("requirepass", PASSWORD),
    ("sentinel", ROLES),
    ("set-proc-title", PROCESS),
    ("proc-title-template", PROCESS),
    ("shutdown-on-sigint", PROCESS),
    ("shutdown-on-sigterm", PROCESS),
    ("slave-priority", ROLES),
    ("slaveof", ROLES),
    ("socket-mark-id", SECURITY),
    ("supervised", PROCESS),
    ("unixsocket", MANAGED),
    ("unixsocketgroup", MANAGED),
    ("unixsocketperm", MANAGED),
    ("user", ACLS),
];

/// Families of directives by the beginning of the name.
const PREFIXES: &[(&str, &str)] = &[
    ("cluster-", CLUSTER),
    ("replica-announce-", ROLES),
    ("slave-announce-", ROLES),
    ("syslog-", LOGS),
    ("tls-", TLS),
];

/// The way to use instead, when this directive is the operator's own or must not be opened; `None` when users may set it.
#[must_use]
pub fn cure(directive: &str) -> Option<&'static str> {
    let exact = NAMES.iter().find(|(name, _)| *name == directive);
    let family = || PREFIXES.iter().find(|(prefix, _)| directive.starts_with(prefix));
    exact.or_else(family).map(|(_, cure)| *cure)
}

/// The lines that the operator adds to redis.conf, which come last because Redis takes the last. Redis 7 answers every other
/// pod with DENIED when it has neither a password nor `protected-mode no`, so protected mode is switched off only where the
/// user chose to have no password: a lost password must not open the server.
#[must_use]
pub fn lines(auth: bool) -> [(&'static str, String); 5] {
    [
        ("bind", "* -::*".to_owned()),
        ("daemonize", "no".to_owned()),
        ("dir", DATA_PATH.to_owned()),
        ("port", PORT.to_string()),
        ("protected-mode", if auth { "yes" } else { "no" }.to_owned()),
    ]
}

/// Whether an owned directive with these words changes nothing: the words mean the value that the operator sets or, where it
/// sets none, the release's default. Compared as Redis reads them: the case of words, `010` is no `10`, `/data/` is `/data`.
#[must_use]
pub fn repeats_own_value(name: &str, words: &[String], release: Release, auth: bool) -> bool {
    if let Some((_, own)) = lines(auth).iter().find(|(line, _)| *line == name) {
        return match (name, words) {
            ("dir", [dir]) => dir.len() > 1 && dir.trim_end_matches('/') == own,
            _ => is_readable(name, words, release) && holds(release, name, words, own.as_bytes()),
        };
    }
    // With a password, the operator sets these to it.
    if auth && matches!(name, "requirepass" | "masterauth" | "primaryauth") {
        return false;
    }
    // Several words can only be a text whose quotes YAML has taken away.
    let is_text = release.directive(name).is_some_and(|directive| directive.kind == Kind::String);
    let joined = [words.join(" ")];
    let words = if is_text { joined.as_slice() } else { words };
    let default = default_words(release, name).map(|words| words.join(" "));
    default.is_some_and(|own| is_readable(name, words, release) && holds(release, name, words, own.as_bytes()))
}

/// Whether Redis would read these words at all. What has a grammar of its own is compared word by word.
fn is_readable(name: &str, words: &[String], release: Release) -> bool {
    let candidates = release.candidates(name);
    candidates
        .iter()
        .any(|candidate| candidate.1.kind == Kind::Special || value::fault(name, *candidate, words, "").is_none())
}

/// Whether the directive's value is a secret, which is then never echoed.
#[must_use]
pub fn is_secret(directive: &str) -> bool {
    matches!(
        directive,
        "requirepass" | "masterauth" | "primaryauth" | "user" | "tls-key-file-pass" | "tls-client-key-file-pass"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{directives::release::release, image::ImageReference, words};

    fn repeats(image: &str, name: &str, value: &str, auth: bool) -> bool {
        let mut words = words::split(value).unwrap();
        if words.is_empty() {
            words.push(String::new());
        }
        repeats_own_value(name, &words, release(&ImageReference::parse(image).unwrap()), auth)
    }

    #[test]
    fn the_operators_own_value_in_every_spelling_changes_nothing() {
        for (name, value) in [
            ("port", "6379"),
            ("port", " '6379' "),
            ("bind", "* -::*"),
            ("bind", "'*'   \"-::*\""),
            ("dir", "/data"),
            ("dir", "\"/data/\""),
            ("daemonize", "NO"),
            ("supervised", "No"),
            ("protected-mode", "yes"),
            ("logfile", ""),
            ("logfile", "\"\""),
            ("pidfile", "''"),
            ("dbfilename", "dump.rdb"),
            ("appendfilename", "appendonly.aof"),
            ("appenddirname", "appendonlydir"),
            ("replica-priority", "100"),
            ("slave-priority", "100"),
            ("masteruser", ""),
            ("tls-port", "0"),
            ("tls-auth-clients", "Yes"),
            ("cluster-enabled", "no"),
            ("cluster-node-timeout", "15000"),
            ("oom-score-adj", "no"),
            ("oom-score-adj-values", "0 200 800"),
            ("set-proc-title", "yes"),
            ("proc-title-template", "'{title} {listen-addr} {server-mode}'"),
            ("proc-title-template", "{title} {listen-addr} {server-mode}"),
            ("unixsocket", ""),
            ("unixsocketperm", "0"),
            ("enable-debug-command", "no"),
            ("acl-pubsub-default", "resetchannels"),
            ("syslog-enabled", "no"),
            ("syslog-facility", "LOCAL0"),
            ("shutdown-on-sigterm", "default"),
        ] {
            assert!(cure(name).is_some() && repeats("redis:7.2", name, value, true), "{name} {value}");
        }
        assert!(repeats("redis:7.2", "protected-mode", "no", false) && repeats("redis:7.2", "requirepass", "", false));
        assert!(repeats("valkey/valkey:8.1", "masteruser", "", true) && repeats("redis:latest", "port", "6379", true));
        assert!(repeats("redis:6.2", "gopher-enabled", "no", true));
    }

    #[test]
    fn another_value_does_not_pass() {
        for (name, value) in [
            ("port", "6380"),
            ("port", "06379"),
            ("port", "6379 6380"),
            ("port", "0"),
            ("bind", "0.0.0.0"),
            ("bind", "*"),
            ("bind", "* ::*"),
            ("bind", ""),
            ("dir", "./"),
            ("dir", "/"),
            ("dir", "/data/x"),
            ("dir", "/data/../data"),
            ("daemonize", "yes"),
            ("protected-mode", "no"),
            ("requirepass", ""),
            ("masterauth", ""),
            ("masteruser", "admin"),
            ("replica-priority", "0"),
            ("slave-priority", "42"),
            ("enable-debug-command", "local"),
            ("include", ""),
            ("loadmodule", ""),
            ("rename-command", ""),
            ("user", ""),
            ("sentinel", ""),
            ("acl-pubsub-default", "allchannels"),
            ("tls-port", "6380"),
            ("tls-unknown", ""),
            ("supervised", "auto"),
        ] {
            assert!(cure(name).is_some() && !repeats("redis:7.2", name, value, true), "{name} {value}");
        }
        assert!(!repeats("redis:latest", "acl-pubsub-default", "resetchannels", true), "the releases differ");
    }

    #[test]
    fn what_runs_code_or_serves_without_a_password_is_refused() {
        for name in ["gopher-enabled", "lua-enable-deprecated-api", "lua-enable-insecure-api", "enable-debug-assert"] {
            assert_eq!(cure(name), Some(SECURITY), "{name}");
        }
        assert_eq!(cure("crash-log-enabled"), None, "crash reports quote the arguments of commands");
    }

    #[test]
    fn owned_by_name_and_by_family_and_the_rest_is_the_users() {
        for name in
            ["port", "tls-port", "cluster-enabled", "requirepass", "slaveof", "replica-announce-ip", "syslog-ident"]
        {
            assert!(cure(name).is_some(), "{name}");
        }
        for name in ["maxmemory", "save", "appendonly", "notify-keyspace-events", "clusterish", "replica-lazy-flush"] {
            assert_eq!(cure(name), None, "{name}");
        }
    }
}
