//! The topic of each directive, which determines the order of the reference.

/// Topics in the order of the reference, each with the directives that belong to it, a `*` standing for any end.
const TOPICS: &[(&str, &[&str])] = &[
    (
        "Memory and eviction",
        &[
            "maxmemory*",
            "active-defrag*",
            "activedefrag",
            "lazyfree-*",
            "lazyexpire-*",
            "active-expire-effort",
            "activerehashing",
            "lfu-*",
            "jemalloc-*",
            "disable-thp",
            "oom-score-adj*",
        ],
    ),
    (
        "Persistence",
        &[
            "append*",
            "aof-load*",
            "aof-use*",
            "aof-timestamp*",
            "aof-disable*",
            "aof-rewrite-incremental*",
            "auto-aof-*",
            "no-appendfsync*",
            "rdb*",
            "save",
            "stop-writes*",
            "dbfilename",
            "dir",
            "sanitize-dump-payload",
            "loading-*",
            "key-load-delay",
        ],
    ),
    (
        "Replication",
        &[
            "repl-*",
            "replica*",
            "min-replicas-*",
            "primaryauth",
            "primaryuser",
            "masterauth",
            "masteruser",
            "dual-channel-*",
            "import-mode",
            "propagation-*",
            "slot-migration-*",
        ],
    ),
    (
        "Clients and network",
        &[
            "bind*",
            "port",
            "timeout",
            "tcp-*",
            "maxclients",
            "client-*",
            "unixsocket*",
            "tracking-*",
            "proto-*",
            "socket-mark-id",
            "rdma-*",
            "mptcp",
            "max-new-*",
            "notify-keyspace-events",
            "shutdown-timeout",
        ],
    ),
    ("Access", &["acl*", "requirepass", "user", "protected-mode", "enable-*", "rename-command", "hide-user-data-*"]),
    ("TLS", &["tls-*"]),
    ("Cluster", &["cluster-*", "availability-zone"]),
    (
        "Threads and CPU",
        &[
            "io-threads*",
            "*-cpulist",
            "*_cpulist",
            "events-per-*",
            "prefetch-*",
            "min-io-threads-*",
            "min-string-size-*",
            "hz",
            "dynamic-hz",
        ],
    ),
    ("Data structures", &["hash-*", "list-*", "set-max-*", "zset-*", "stream-*", "hll-*", "vset-*"]),
    ("Scripts", &["lua-*", "busy-reply-threshold"]),
    (
        "Log and diagnosis",
        &[
            "log*",
            "syslog-*",
            "slowlog-*",
            "commandlog-*",
            "latency-*",
            "crash-*",
            "always-show-logo",
            "watchdog-period",
            "use-exit-on-panic",
            "debug-context",
            "enable-debug-assert",
        ],
    ),
    (
        "Process",
        &[
            "daemonize",
            "pidfile",
            "supervised",
            "shutdown-on-*",
            "set-proc-title",
            "proc-title-template",
            "include",
            "loadmodule",
            "databases",
            "extended-redis-*",
            "ignore-warnings",
            "locale-collate",
            "gopher-enabled",
            "sentinel",
        ],
    ),
];

/// Every topic, in order.
pub fn topics() -> impl Iterator<Item = &'static str> {
    TOPICS.iter().map(|(topic, _)| *topic)
}

/// The topic of a directive; the first that has it.
#[must_use]
pub fn topic(directive: &str) -> Option<&'static str> {
    let has = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(beginning) => directive.starts_with(beginning),
        None => pattern.strip_prefix('*').map_or(*pattern == directive, |end| directive.ends_with(end)),
    };
    TOPICS.iter().find(|(_, patterns)| patterns.iter().any(has)).map(|(topic, _)| *topic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::facts;

    #[test]
    fn every_directive_has_a_topic_and_every_topic_directives() {
        let subjects = facts::subjects();
        let without: Vec<&str> =
            subjects.iter().map(|subject| subject.name).filter(|name| topic(name).is_none()).collect();
        assert!(without.is_empty(), "directives without a topic: {without:?}");
        for wanted in topics() {
            assert!(subjects.iter().any(|subject| topic(subject.name) == Some(wanted)), "{wanted}");
        }
    }
}
