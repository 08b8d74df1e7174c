//! The replication protocol of the operator: queries the replication state of a server and changes it. Independent of
//! when this is required.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use redis::{cmd, pipe};

use super::{Server, ServerError};

/// Hexadecimal digits of a replication ID.
const HISTORY_LENGTH: usize = 40;
/// The longest name of a host, in characters.
const HOST_LIMIT: usize = 253;

/// The replication state of a server, from `INFO`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the server's answer")]
pub struct Standing {
    /// True if it is a primary.
    pub is_primary: bool,
    /// Host and port of the primary, as they were configured.
    pub follows: Option<(String, u16)>,
    /// True if it is connected to its primary.
    pub link_up: bool,
    /// True during a full resync.
    pub syncing: bool,
    /// Seconds since it last heard of that one; `None` when it never did, or is cut off.
    pub silence: Option<u64>,
    /// Seconds since it lost the connection to that one; `None` while it is connected, or never was.
    pub down: Option<u64>,
    /// The replication ID of its data (`master_replid`).
    pub history: String,
    /// The previous replication ID, whose history this one continues (`master_replid2`).
    pub former_history: String,
    /// Replication offset, in bytes.
    pub offset: u64,
    /// True if it holds no key.
    pub empty: bool,
    /// True while it loads its data.
    pub loading: bool,
    /// True if it refuses writes, or would as a primary, because it cannot write its append-only file.
    pub append_only_fails: bool,
    /// True if it refuses writes, or would as a primary, because it cannot save a snapshot.
    pub snapshot_fails: bool,
    /// Number of connected replicas within the lag limit; `None` if writes do not depend on it.
    pub good_replicas: Option<u64>,
    /// Number of replicas that writes require (`min-replicas-to-write`); `None` if it was not queried.
    pub wanted_replicas: Option<u64>,
}

/// The number of replicas that writes require.
const WANTED_REPLICAS: &str = "min-replicas-to-write";

/// The directive that decides whether a failed snapshot stops writes.
const STOPS_WRITES: &str = "stop-writes-on-bgsave-error";
/// The save points; a server without any does not stop writes because of a snapshot.
const SAVE_POINTS: &str = "save";

impl Standing {
    /// Parses `name:value` lines; unknown names are ignored.
    fn read(text: &str) -> Self {
        let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let field = |name: &str| fields.get(name).copied().unwrap_or_default();
        let number = |name: &str| field(name).parse::<u64>().ok();
        let is_primary = field("role") == "master";
        let port = field("master_port").parse().ok();
        Self {
            is_primary,
            follows: port.map(|port| (field("master_host").chars().take(HOST_LIMIT).collect(), port)),
            link_up: field("master_link_status") == "up",
            syncing: field("master_sync_in_progress") == "1",
            silence: number("master_last_io_seconds_ago"),
            down: number("master_link_down_since_seconds"),
            history: history(field("master_replid")),
            former_history: history(field("master_replid2")),
            offset: number(if is_primary { "master_repl_offset" } else { "slave_repl_offset" }).unwrap_or(0),
            empty: !fields.keys().any(|name| name.strip_prefix("db").is_some_and(|rest| rest.parse::<u32>().is_ok())),
            loading: field("loading") == "1",
            append_only_fails: field("aof_enabled") == "1" && field("aof_last_write_status") == "err",
            snapshot_fails: false,
            good_replicas: number("min_slaves_good_slaves"),
            wanted_replicas: None,
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// True if the last snapshot failed, according to `INFO persistence`.
fn has_failed_snapshot(text: &str) -> bool {
    text.lines().any(|line| line.trim_end() == "rdb_last_bgsave_status:err")
}

/// True if Redis is configured to refuse writes after a failed snapshot.
fn stops_writes(config: &BTreeMap<String, Vec<u8>>) -> bool {
    let value = |name: &str| config.get(name).map(Vec::as_slice).unwrap_or_default();
    value(STOPS_WRITES) == b"yes" && !value(SAVE_POINTS).is_empty()
}

/// The name of a history, which gets into annotations and log lines; empty where this is not 40 hexadecimal digits.
fn history(text: &str) -> String {
    let is_name = text.len() == HISTORY_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_name { text.to_owned() } else { String::new() }
}

impl Server {
    /// Queries the replication state.
    ///
    /// # Errors
    /// If the server cannot be queried.
    pub async fn standing(&mut self) -> Result<Standing, ServerError> {
        // One section per command: Redis 6.2 accepts no more.
        let mut commands = pipe();
        for section in ["replication", "persistence", "keyspace"] {
            commands.cmd("INFO").arg(section);
        }
        let sections: Vec<String> = self.ask_all(&commands).await?;
        let text = sections.concat();
        let mut standing = Standing::read(&text);
        // A server that loads its data does not answer CONFIG GET, and takes no writes anyway.
        if has_failed_snapshot(&text) && !standing.append_only_fails && !standing.loading {
            standing.snapshot_fails = stops_writes(&self.config(&[STOPS_WRITES, SAVE_POINTS]).await?);
        }
        if standing.good_replicas.is_some() && standing.is_primary && !standing.loading {
            let held = self.config(&[WANTED_REPLICAS]).await?;
            standing.wanted_replicas = held.get(WANTED_REPLICAS).and_then(|held| number(held));
        }
        Ok(standing)
    }

    /// Makes it a replica of another server, whose data replace its own where they differ.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn follow(&mut self, (host, port): (IpAddr, u16)) -> Result<(), ServerError> {
        self.ask(cmd("REPLICAOF").arg(host.to_string()).arg(port)).await
    }

    /// Promotes it with the data it has.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn promote(&mut self) -> Result<(), ServerError> {
        self.ask(cmd("REPLICAOF").arg("NO").arg("ONE")).await
    }

    /// Pauses writes for at most this long: its data do not change meanwhile, expiry and eviction included.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn pause_writes(&mut self, limit: Duration) -> Result<(), ServerError> {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.ask(cmd("CLIENT").arg("PAUSE").arg(limit).arg("WRITE")).await
    }

    /// Resumes the paused writes.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn resume_writes(&mut self) -> Result<(), ServerError> {
        self.ask(cmd("CLIENT").arg("UNPAUSE")).await
    }

    /// Disconnects its clients, which then reconnect to the new primary; replicas stay connected.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn disconnect_clients(&mut self) -> Result<(), ServerError> {
        for kind in ["normal", "pubsub"] {
            self.ask::<()>(cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind).arg("SKIPME").arg("yes")).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_tells_whom_it_follows_and_how_far_it_is() {
        let text = "# Replication\r\nrole:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\n\
             master_link_down_since_seconds:-1\r\nmaster_last_io_seconds_ago:1\r\nmaster_sync_in_progress:0\r\nslave_repl_offset:42\r\nmaster_failover_state:no-failover\r\n\
             master_replid:0123456789abcdef0123456789abcdef01234567\r\nmaster_replid2:0000000000000000000000000000000000000000\r\nmaster_repl_offset:40\r\n# Persistence\r\nloading:0\r\naof_enabled:1\r\naof_last_write_status:err\r\n# Keyspace\r\n\
             db3:keys=1,expires=0,avg_ttl=0\r\n";
        let expected = Standing {
            follows: Some(("10.0.0.1".to_owned(), 6379)),
            link_up: true,
            silence: Some(1),
            history: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            former_history: "0".repeat(40),
            offset: 42,
            append_only_fails: true,
            ..Standing::default()
        };
        assert_eq!(Standing::read(text), expected);
    }

    #[test]
    fn a_failed_snapshot_stops_writes_where_the_configuration_says_so() {
        assert!(has_failed_snapshot("loading:0\r\nrdb_last_bgsave_status:err\r\n"));
        assert!(!has_failed_snapshot("rdb_last_bgsave_status:ok\r\naof_last_write_status:err\r\n"));
        for (stop, save, expected) in [("yes", "3600 1 300 100", true), ("no", "3600 1", false), ("yes", "", false)] {
            let config = [(STOPS_WRITES, stop), (SAVE_POINTS, save)];
            let config = config.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into();
            assert_eq!(stops_writes(&config), expected, "{stop} {save}");
        }
        assert!(!stops_writes(&BTreeMap::new()));
    }

    #[test]
    fn a_primary_tells_that_it_takes_writes() {
        let text = "role:master\r\nmin_slaves_good_slaves:1\r\nmaster_replid:aa\r\nmaster_repl_offset:7\r\n";
        let standing = Standing::read(text);
        assert!(standing.is_primary && standing.empty && standing.follows.is_none());
        assert_eq!((standing.offset, standing.good_replicas), (7, Some(1)));
    }

    #[test]
    fn the_name_of_a_history_is_40_hexadecimal_digits() {
        let name = "0123456789ABCDEF0123456789abcdef01234567";
        for (sent, taken) in [
            (name, name),
            ("", ""),
            (&name[1..], ""),
            (&"a".repeat(1 << 20), ""),
            ("0123456789abcdef 123456789abcdef01234567", ""),
            ("0123456789abcdef\u{1b}123456789abcdef01234567", ""),
        ] {
            let standing = Standing::read(&format!("master_replid:{sent}\r\nmaster_replid2:{sent}\r\n"));
            assert_eq!((standing.history.as_str(), standing.former_history.as_str()), (taken, taken), "{sent:.60}");
        }
    }
}
