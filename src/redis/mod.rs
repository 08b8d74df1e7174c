//! The wire to a running Redis: a password given, directives asked for and set, how it keeps its data. Knows the
//! protocol and what its errors mean to an operator; nothing of Kubernetes, nor of what anything should be.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisConnectionInfo, aio::MultiplexedConnection, cmd, pipe,
};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

mod access;
mod bounded;
mod persistence;
pub mod replication;

use self::bounded::{Bounded, Budget};
pub use self::{access::Credentials, bounded::Excess, persistence::Files};

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
    #[error("{address} refuses connections: no process listens there")]
    Closed {
        /// Where.
        address: SocketAddr,
    },
    /// The server has all the clients that `maxclients` allows, and refuses new ones.
    #[error("{address} refuses new connections: all connections that maxclients allows are in use")]
    Full {
        /// Where.
        address: SocketAddr,
    },
    /// The server takes none of the passwords given.
    #[error("{address} takes no password that its Secret has: restart the pod, which then starts with that one")]
    Password {
        /// Where.
        address: SocketAddr,
    },
    /// The server asks for no password at all, and should.
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
    /// The server sent more than any reply of Redis has, or what is not Redis' protocol. It is not read on.
    #[error("{address} sent {excess}, and the connection was closed; check that the pod's image runs Redis or Valkey")]
    Excess {
        /// Where.
        address: SocketAddr,
        /// What it sent.
        excess: Excess,
    },
    /// The server understood and refuses.
    #[error("{why}")]
    Refused {
        /// What it said, as one line.
        why: String,
    },
}

impl ServerError {
    /// Whether the server answers that it still reads its data.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        matches!(self, Self::Busy { why, .. } if why.contains("loading the dataset"))
    }
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
    budget: Budget,
    /// Reads and writes for the connection, as long as there is one.
    _driver: AbortOnDropHandle<()>,
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
        let budget = Budget::default();
        let opened = tokio::time::timeout(connect, open(address, answer, budget.clone())).await;
        let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        let (connection, driver) = opened.unwrap_or_else(late).map_err(|error: redis::RedisError| {
            match (budget.excess(), error.is_connection_refusal()) {
                (Some(excess), _) => ServerError::Excess { address, excess },
                _ if budget.is_full() => ServerError::Full { address },
                (None, true) => ServerError::Closed { address },
                (None, false) => ServerError::Unreachable { address, why: one_line(&error.to_string()) },
            }
        })?;
        let mut server = Self { address, connection, budget, _driver: driver };
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
        let answers: Vec<Vec<(String, Vec<u8>)>> = self.ask_all(&commands).await?;
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
        let sections: Vec<String> = self.ask_all(&commands).await?;
        Ok(Report::read(&sections.concat()))
    }

    async fn ask_all<T: FromRedisValue>(&mut self, commands: &Pipeline) -> Result<T, ServerError> {
        self.budget.renew();
        commands.query_async(&mut self.connection).await.map_err(|error| self.meaning(&error))
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, ServerError> {
        self.budget.renew();
        command.query_async(&mut self.connection).await.map_err(|error| self.meaning(&error))
    }

    /// What an error of the library's means to an operator.
    fn meaning(&self, error: &redis::RedisError) -> ServerError {
        let address = self.address;
        if let Some(excess) = self.budget.excess() {
            return ServerError::Excess { address, excess };
        }
        // The library gives an error of the connection, since the server closes it.
        if self.budget.is_full() {
            return ServerError::Full { address };
        }
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
            _ => ServerError::Refused { why: why() },
        }
    }
}

/// Opens a connection whose replies are bounded by this budget.
async fn open(
    address: SocketAddr,
    answer: Duration,
    budget: Budget,
) -> redis::RedisResult<(MultiplexedConnection, AbortOnDropHandle<()>)> {
    let stream = TcpStream::connect(address).await?;
    let config = AsyncConnectionConfig::new().set_response_timeout(answer);
    let stream = Bounded::new(stream, budget);
    let login = RedisConnectionInfo::default();
    let (connection, driver) = MultiplexedConnection::new_with_config(&login, stream, config).await?;
    Ok((connection, AbortOnDropHandle::new(tokio::spawn(driver))))
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

    /// A server on the loopback that sends this as soon as a client connects, and how many bytes of it were accepted.
    async fn sending(bytes: Vec<u8>) -> (SocketAddr, tokio::task::JoinHandle<usize>) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent = tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let mut sent = 0;
            while sent < bytes.len() && client.writable().await.is_ok() {
                match client.try_write(&bytes[sent..]) {
                    Ok(more) => sent += more,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
            sent
        });
        (address, sent)
    }

    async fn ask_once(address: SocketAddr) -> Result<replication::Standing, ServerError> {
        Server::connect((address.ip(), address.port()), None).await?.standing().await
    }

    #[tokio::test]
    async fn a_server_that_sends_no_end_is_given_up() {
        // What the kernels of both ends hold beside what was read.
        const IN_FLIGHT: usize = 16 << 20;
        const SENT: usize = 64 << 20;
        let long = |start: &str, unit: &[u8]| [start.as_bytes(), &unit.repeat(SENT / unit.len())].concat();
        for (bytes, expected) in [
            (long("*2000000000\r\n", b"$-1\r\n"), "more than 4096 values"),
            (long("(", b"9"), "a line longer than 4 KiB"),
            (long("$2000000000\r\n", b"x"), "more than 512 KiB"),
            (long("", b"*1\r\n"), "nested deeper than 8"),
            (long("HTTP/1.1 400 Bad Request\r\n\r\n", b"<html>"), "not the protocol RESP2"),
        ] {
            let (address, sent) = sending(bytes).await;
            let error = ask_once(address).await.unwrap_err();
            assert!(matches!(error, ServerError::Excess { .. }), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
            let sent = sent.await.unwrap();
            assert!(sent <= IN_FLIGHT, "{expected}: {sent} bytes were accepted");
        }
    }

    #[tokio::test]
    async fn a_server_with_all_its_clients_is_not_unreachable() {
        for _ in 0..20 {
            let (address, _sent) = sending(b"-ERR max number of clients reached\r\n".to_vec()).await;
            let credentials = Credentials { current: b"hunter2", former: Some(b"hunter1") };
            let connected = Server::connect((address.ip(), address.port()), Some(credentials)).await;
            let error = connected.err().expect("it answers nothing");
            assert!(matches!(error, ServerError::Full { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_reply_that_ends_early_is_no_reply() {
        let (address, _sent) = sending(b"+OK\r\n+OK\r\n*2\r\n$5\r\nab".to_vec()).await;
        let error = ask_once(address).await.unwrap_err();
        assert!(matches!(error, ServerError::Unreachable { .. }), "{error}");
    }

    #[tokio::test]
    async fn each_command_has_a_budget_of_its_own() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let line = "x".repeat(60 << 10);
        let reply = format!("${}\r\n{line}\r\n", line.len());
        let served = tokio::spawn(async move {
            use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
            let (client, _) = listener.accept().await.unwrap();
            let (reader, mut writer) = client.into_split();
            let mut lines = BufReader::new(reader).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let answer = match line.as_str() {
                    "CLIENT" => "+OK\r\n",
                    "INFO" => reply.as_str(),
                    _ => continue,
                };
                if writer.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        });
        let mut connection = Server::connect((address.ip(), address.port()), None).await.unwrap();
        for _ in 0..8 {
            connection.report().await.unwrap();
        }
        drop(connection);
        served.await.unwrap();
    }
}
