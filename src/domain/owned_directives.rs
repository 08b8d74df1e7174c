//! The redis.conf directives that users may not set, each with the way to use instead.
//! Names and aliases of Redis 6.2 to 8.2 and Valkey 7.2 to 9.1; knows nothing of their values.

const MANAGED: &str = "directive is managed by the operator";
const PASSWORD: &str = "use spec.auth: the password lives in a Secret";
const TLS: &str = "directive is managed by the operator; TLS to Redis is not supported yet";
const ROLES: &str = "directive is managed by the operator, which owns the roles; use spec.replicas";
const FILES: &str = "directive is managed by the operator; data lives in the volume of spec.storage";
const CLUSTER: &str = "cluster mode is not supported";
const MODULES: &str = "runs code inside redis-server: build the module into the image and load it there";
const ACLS: &str = "ACL users in redis.conf are not supported; use spec.auth";
const LOGS: &str = "directive is managed by the operator; Redis logs to the container's output";
const PROCESS: &str =
    "directive is managed by the operator; Redis runs in the foreground as the container's first process";
const SECURITY: &str = "security-sensitive: opens a way past the operator's configuration";

/// Directives by exact name.
const NAMES: &[(&str, &str)] = &[
    ("aclfile", ACLS),
    ("acl-pubsub-default", ACLS),
    ("appenddirname", FILES),
    ("appendfilename", FILES),
    ("bind", MANAGED),
    ("bind-source-addr", MANAGED),
    ("crash-log-enabled", LOGS),
    ("daemonize", PROCESS),
    ("dbfilename", FILES),
    ("dir", FILES),
    ("enable-debug-command", SECURITY),
    ("enable-module-command", SECURITY),
    ("enable-protected-configs", SECURITY),
    ("extended-redis-compatibility", MANAGED),
    ("include", "directive is managed by the operator; write the directives into spec.config"),
    ("loadmodule", MODULES),
    ("logfile", LOGS),
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
