//! Renders redis.conf and the restart hash. Precedence, lowest first: the operator's defaults, `spec.config`, the
//! operator's own lines. A user's directive replaces a default; the operator's own lines come last because Redis uses
//! the last occurrence.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{
    directives::release::release,
    effective::Effective,
    hex,
    instance::ValidatedInstance,
    names::{AUTH_CONF_KEY, AUTH_PATH},
    owned_directives,
    persistence::decides_files,
    words,
};
use crate::api::v1::ConfigUpdate;

/// Durability by default: an instance has a volume, so users do not expect a restart to lose data.
const DEFAULTS: &[(&str, &str)] = &[("appendfsync", "everysec"), ("appendonly", "yes")];
/// Defaults for replication. Frequent pings make a dead primary noticeable early, diskless sync without delay starts
/// each resync at once, and the backlog lets a replica that was briefly disconnected resume with a partial resync.
const REPLICATED: &[(&str, &str)] =
    &[("repl-backlog-size", "16mb"), ("repl-diskless-sync-delay", "0"), ("repl-ping-replica-period", "1")];
/// A primary without connected replicas stops acknowledging writes, which would be lost if another pod was promoted.
const BOUNDED: &[(&str, &str)] = &[("min-replicas-max-lag", "10"), ("min-replicas-to-write", "1")];
/// A replicated server starts as a replica of an unreachable address. It takes no writes until the operator has
/// verified that it has the newest data, whatever its role was before.
const FENCE: &str = "replicaof 127.0.0.1 1";

/// The directives in which an instance differs from an unconfigured Redis; the user's directives replace them.
#[must_use]
pub fn defaults(instance: &ValidatedInstance) -> BTreeMap<&'static str, &'static str> {
    let replicated: &[(&str, &str)] = if instance.replicas > 1 { REPLICATED } else { &[] };
    let bounded: &[(&str, &str)] = if instance.bounds_divergence() { BOUNDED } else { &[] };
    DEFAULTS.iter().chain(replicated).chain(bounded).copied().collect()
}

/// True if this is a default of replication that the user did not set.
#[must_use]
pub fn comes_with_replication(directive: &str) -> bool {
    replication_directives().any(|name| name == directive)
}

/// The names of the defaults of replication.
pub fn replication_directives() -> impl Iterator<Item = &'static str> {
    REPLICATED.iter().chain(BOUNDED).map(|(name, _)| *name)
}

/// The text of redis.conf: sorted, one directive a line, ending in a newline. Holds no secret.
#[must_use]
pub fn render(instance: &ValidatedInstance) -> String {
    let mut lines = vec!["# Rendered by redis-operator from spec.config; a change made here is undone.".to_owned()];
    lines.extend(user_lines(instance));
    lines.extend(owned_lines(instance.auth.is_enabled()));
    let mut text = lines.join("\n") + "\n";
    if instance.replicas > 1 {
        // Not part of the restart hash: the operator sets the primary of a running server with REPLICAOF.
        fence(&mut text);
    }
    text
}

/// Appends the line that makes a server start without accepting writes, unless it is present.
pub fn fence(text: &mut String) {
    if !text.lines().any(|line| line == FENCE) {
        text.push_str(FENCE);
        text.push('\n');
    }
}

fn user_lines(instance: &ValidatedInstance) -> Vec<String> {
    let mut lines: BTreeMap<&str, String> =
        defaults(instance).iter().map(|(name, value)| (*name, format!("{name} {value}"))).collect();
    let release = release(&instance.image);
    for (name, words) in instance.config.iter() {
        if let Some(directive) = release.directive(name) {
            // An alias would set the directive twice.
            lines.remove(directive.name.as_str());
        }
        let line = |words: &[String]| format!("{name} {}", words::join(words));
        let groups: Vec<String> = words.chunks(group_size(name, words.len())).map(line).collect();
        lines.insert(name, groups.join("\n"));
    }
    lines.into_values().collect()
}

/// Number of words per line. From 7.0 on, two directives accept several groups on one line, but Redis 6.2 silently
/// drops all snapshots for `save 900 1 300 10`; one group per line has the same meaning in every version.
fn group_size(name: &str, words: usize) -> usize {
    match name {
        "save" if words.is_multiple_of(2) => 2,
        "client-output-buffer-limit" if words.is_multiple_of(4) => 4,
        _ => words.max(1),
    }
}

/// The operator's own lines, as they stand in the file.
fn owned_lines(auth: bool) -> Vec<String> {
    let mut lines: Vec<String> =
        owned_directives::lines(auth).iter().map(|(name, value)| format!("{name} {value}")).collect();
    if auth {
        lines.push(format!("include {AUTH_PATH}/{AUTH_CONF_KEY}"));
    }
    lines
}

/// sha256, in lower-case hex, of the configuration that requires a restart when it changes: it is part of the pod
/// template. With the policy `Auto` it omits the directives that can be set on a running server.
#[must_use]
pub fn restart_hash(instance: &ValidatedInstance) -> String {
    let release = release(&instance.image);
    let effective = Effective::of(instance, release);
    let own = |name: &str| instance.config.iter().any(|(own, _)| own == name);
    // Directives that come with replication are set on running servers under every policy: scaling causes no restart.
    let scales = |name: &str| comes_with_replication(name) && !own(name);
    let restarts = |name: &str| {
        (instance.config_update != ConfigUpdate::Auto || !release.is_live(name))
            && !scales(name)
            && !decides_files(name)
    };
    let started_with = effective.iter().filter(|(name, _)| restarts(name));
    let mut lines: Vec<String> = started_with.map(|(name, words)| format!("{name} {}", words::join(words))).collect();
    lines.extend(owned_lines(instance.auth.is_enabled()));
    hash(&lines.join("\n"))
}

/// sha256 of a text, in lower-case hex.
#[must_use]
pub fn hash(text: &str) -> String {
    hex::lower(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instance::tests::validated;

    #[test]
    fn a_users_directive_replaces_a_default_and_ours_come_last() {
        let instance = validated(
            serde_json::json!({"config": {"appendonly": "no", "save": "900 1 300 10", "maxmemory": "256mb"}}),
        );
        let text = render(&instance);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "appendfsync everysec",
                "appendonly no",
                "maxmemory 256mb",
                "save 900 1",
                "save 300 10",
                "bind * -::*",
                "daemonize no",
                "dir /data",
                "port 6379",
                "protected-mode yes",
                "include /usr/local/etc/redis-auth/auth.conf",
            ]
        );
    }

    #[test]
    fn without_a_password_protected_mode_is_off_on_purpose() {
        let text = render(&validated(serde_json::json!({"auth": {"enabled": false}})));
        assert!(text.contains("\nprotected-mode no\n") && !text.contains("include"), "{text}");
    }

    #[test]
    fn only_what_a_running_server_cannot_be_given_restarts_it() {
        let hash = |policy: &str, config: serde_json::Value| {
            restart_hash(&validated(serde_json::json!({"config": config, "updatePolicy": {"config": policy}})))
        };
        let (none, live, start) =
            (serde_json::json!({}), serde_json::json!({"maxmemory": "64mb"}), serde_json::json!({"databases": "4"}));
        assert_eq!(hash("Auto", none.clone()), hash("Auto", live.clone()));
        assert_ne!(hash("Auto", none.clone()), hash("Auto", start));
        for policy in ["RollingUpdate", "Recreate"] {
            assert_ne!(hash(policy, none.clone()), hash(policy, live.clone()), "{policy}");
        }
        let same = serde_json::json!({"tcp-backlog": "511"});
        assert_eq!(hash("Recreate", same.clone()), hash("RollingUpdate", same), "which of the two is no reason");
    }

    #[test]
    fn the_hash_is_sha256() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
