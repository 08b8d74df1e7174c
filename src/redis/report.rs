//! The fields of `INFO` that the operator evaluates.

use std::collections::BTreeMap;

/// The persistence state of a server, from `INFO persistence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// True if the last write to the append-only file succeeded, or there is no such file.
    pub append_only_written: bool,
    /// True if the last snapshot succeeded, or there was none.
    pub snapshot_written: bool,
    /// True while it loads its data and answers clients with LOADING.
    pub loading: bool,
}

/// The metrics of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes that its data and itself take.
    pub memory_used: u64,
    /// Bytes that its data may take; 0 = as much as there is.
    pub memory_limit: u64,
    /// Connections of clients.
    pub clients: u64,
    /// True if it is a replica.
    pub is_replica: bool,
    /// Seconds since a replica last heard from its primary; `None` for a primary, or without a connection.
    pub silence: Option<u64>,
}

/// The state that a server reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The persistence state.
    pub persistence: Persistence,
    /// The metrics.
    pub figures: Figures,
}

impl Report {
    /// Reads `name:value` lines, of which unknown ones do not count.
    pub(super) fn read(text: &str) -> Self {
        let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let is_ok = |field: &str| fields.get(field).is_none_or(|state| *state == "ok");
        let number = |field: &str| fields.get(field).and_then(|number| number.parse().ok());
        let persistence = Persistence {
            append_only_written: is_ok("aof_last_write_status"),
            snapshot_written: is_ok("rdb_last_bgsave_status"),
            loading: fields.get("loading") == Some(&"1"),
        };
        let figures = Figures {
            memory_used: number("used_memory").unwrap_or(0),
            memory_limit: number("maxmemory").unwrap_or(0),
            clients: number("connected_clients").unwrap_or(0),
            is_replica: fields.get("role") == Some(&"slave"),
            silence: number("master_last_io_seconds_ago"),
        };
        Self { persistence, figures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_tells_how_it_fares() {
        let text = "# Persistence\r\nloading:0\r\nrdb_last_bgsave_status:err\r\naof_last_write_status:ok\r\n# Memory\r\n\
             used_memory:1048576\r\nmaxmemory:0\r\n# Clients\r\nconnected_clients:3\r\n# Replication\r\nrole:slave\r\n\
             master_last_io_seconds_ago:-1\r\n";
        let report = Report::read(text);
        assert_eq!(
            report.persistence,
            Persistence { append_only_written: true, snapshot_written: false, loading: false }
        );
        let figures = Figures { memory_used: 1 << 20, memory_limit: 0, clients: 3, is_replica: true, silence: None };
        assert_eq!(report.figures, figures);
        assert!(!Report::read("").persistence.loading, "a fork may leave lines out");
    }
}
