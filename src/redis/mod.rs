//! The wire to a running Redis: a password given, directives asked for and set, how it keeps its data. Knows the
//! protocol and what its errors mean to an operator; nothing of Kubernetes, nor of what anything should be.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, RedisConnectionInfo,
    aio::MultiplexedConnection, cmd, pipe,
};
use thiserror::Error;

mod access;
mod persistence;
pub mod replication;

pub use self::{access::Credentials, persistence::Files};

/// How long a server may take to accept a connection. Longer than a busy network needs, short enough for many servers.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// How long a server may take for an answer: one that saves a large data set with a fork answers late.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// The longest text of a server's that is passed on, in characters.
const WORDS_LIMIT: usize = 300;

/// Why a server could not be asked, or would not.
#[derive(Debug, Error)]
pub enum ServerError {
    /// No connection, or no answer in time: a network policy, a dead node, a blocked server.
    #[error("cannot reach {address}: {why}; let the operator's pod connect to it")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        why: String,
    },
    /// Nobody listens there: the server's process is gone.
    #[error("{address} refuses connections: nobody listens there")]
    Closed {
        /// Where.
        address: SocketAddr,
    },
    /// The server takes none of the passwords given.
    #[error("{address} takes no password that its Secret has: restart the pod, which then starts with that one")]
    Password {
        /// Where.
        address: SocketAddr,
    },
    /// The server asks for no password at all.
    #[error("{address} has no password, though there is one: restart the pod")]
    Open {
        /// Where.
        address: SocketAddr,
    },
    /// The server answers that it cannot answer now: it loads its data, or runs a script.
    #[error("{address} is busy: {why}")]
    Busy {
        /// Where.
        address: SocketAddr,
        /// What it said.
        why: String,
    },
    /// The server understood and refuses.
    #[error("{why}")]
    Refused {
        /// What it said, as one line.
        why: String,
    },
}

/// How a server keeps its data, as `INFO persistence` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// Whether the append-only file took the last write, or there is none.
    pub append_only_written: bool,
    /// Whether the last snapshot was written, or there was none.
    pub snapshot_written: bool,
    /// Whether it still reads its data, and answers clients with LOADING.
    pub loading: bool,
}

/// How a server fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes that its data and itself take.
    pub memory_used: u64,
    /// Bytes that its data may take; 0 = as much as there is.
    pub memory_limit: u64,
    /// Connections of clients.
    pub clients: u64,
    /// Whether it is the replica of another.
    pub is_replica: bool,
    /// Seconds since a replica last heard of its primary; `None` for one that is none, or hears nothing.
    pub silence: Option<u64>,
}

/// What a server tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it keeps its data.
    pub persistence: Persistence,
    /// How it fares.
    pub figures: Figures,
}

impl Report {
    /// Reads `name:value` lines, of which unknown ones do not count.
    fn read(text: &str) -> Self {
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

/// A connection to one server. It has no password in it once it is made.
pub struct Server {
    address: SocketAddr,
    connection: MultiplexedConnection,
}

impl Server {
    /// Connects, and logs in if there is something to log in with.
    ///
    /// # Errors
    /// [`ServerError::Unreachable`] and [`ServerError::Password`].
    pub async fn connect(address: (IpAddr, u16), credentials: Option<Credentials<'_>>) -> Result<Self, ServerError> {
        Self::connect_within(address, credentials, (CONNECT_DEADLINE, ANSWER_DEADLINE)).await
    }

    /// The same with other deadlines, for the connection and for each answer.
    ///
    /// # Errors
    /// [`ServerError::Unreachable`], [`ServerError::Closed`] and [`ServerError::Password`].
    pub async fn connect_within(
        address: (IpAddr, u16),
        credentials: Option<Credentials<'_>>,
        (connect, answer): (Duration, Duration),
    ) -> Result<Self, ServerError> {
        let address = SocketAddr::from(address);
        let unreachable = |error: redis::RedisError| {
            if error.is_connection_refusal() {
                ServerError::Closed { address }
            } else {
                ServerError::Unreachable { address, why: one_line(&error.to_string()) }
            }
        };
        let info = ConnectionInfo {
            addr: ConnectionAddr::Tcp(address.ip().to_string(), address.port()),
            redis: RedisConnectionInfo::default(),
        };
        let config = AsyncConnectionConfig::new().set_connection_timeout(connect).set_response_timeout(answer);
        let client = Client::open(info).map_err(unreachable)?;
        let connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(unreachable)?;
        let mut server = Self { address, connection };
        if let Some(credentials) = credentials {
            server.log_in(credentials).await?;
        }
        Ok(server)
    }

    /// What the server holds of these directives; one that it does not know is left out. Bytes, as it answers them.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn config(&mut self, names: &[&str]) -> Result<BTreeMap<String, Vec<u8>>, ServerError> {
        // One name a command: Redis 6.2 takes no more.
        let mut commands = pipe();
        for name in names {
            commands.cmd("CONFIG").arg("GET").arg(*name);
        }
        let answers: Vec<Vec<(String, Vec<u8>)>> =
            commands.query_async(&mut self.connection).await.map_err(|error| self.meaning(&error))?;
        // CONFIG GET answers an alias under the name it was asked by.
        Ok(answers.into_iter().flatten().collect())
    }

    /// Sets one directive.
    ///
    /// # Errors
    /// [`ServerError::Refused`] with the server's words about the value, or when it cannot be asked.
    pub async fn set(&mut self, name: &str, value: &[u8]) -> Result<(), ServerError> {
        self.ask(cmd("CONFIG").arg("SET").arg(name).arg(value)).await
    }

    /// How it keeps its data, and how it fares.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn report(&mut self) -> Result<Report, ServerError> {
        // One section a command: Redis 6.2 takes no more.
        let mut commands = pipe();
        for section in ["persistence", "memory", "clients", "replication"] {
            commands.cmd("INFO").arg(section);
        }
        let sections: Vec<String> =
            commands.query_async(&mut self.connection).await.map_err(|error| self.meaning(&error))?;
        Ok(Report::read(&sections.concat()))
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, ServerError> {
        command.query_async(&mut self.connection).await.map_err(|error| self.meaning(&error))
    }

    /// What an error of the library's means to an operator.
    fn meaning(&self, error: &redis::RedisError) -> ServerError {
        let address = self.address;
        let why = || {
            let said = error.detail().map_or_else(|| error.to_string(), str::to_owned);
            one_line(&said)
        };
        match error.code() {
            _ if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() => {
                ServerError::Unreachable { address, why: one_line(&error.to_string()) }
            }
            Some("NOAUTH" | "WRONGPASS" | "NOPERM" | "AUTH") => ServerError::Password { address },
            Some("LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN") => ServerError::Busy { address, why: why() },
            // A server without a password says so in an error of no class of its own.
            _ if error.detail().is_some_and(|said| said.contains("without any password configured")) => {
                ServerError::Open { address }
            }
            _ => ServerError::Refused { why: why() },
        }
    }
}

/// A server's text as one printable line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_LIMIT).collect()
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
