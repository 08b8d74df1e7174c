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
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

mod access;
mod bounded;
mod error;
mod persistence;
pub mod replication;
mod report;

use self::bounded::{Bounded, Budget};
pub use self::{
    access::Credentials,
    bounded::Excess,
    error::ServerError,
    persistence::Files,
    report::{Figures, Persistence, Report},
};

/// Deadline for connecting. Longer than a busy network needs, short enough to query many servers.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// Deadline for each reply; a server that forks to save a large data set replies late.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// The longest text of a server's that is passed on, in characters.
const WORDS_LIMIT: usize = 300;

/// A connection to one server. It stores no password after the login.
pub struct Server {
    address: SocketAddr,
    connection: MultiplexedConnection,
    budget: Budget,
    /// The task that reads and writes for the connection.
    _driver: AbortOnDropHandle<()>,
}

impl Server {
    /// Connects, and logs in if there are credentials.
    ///
    /// # Errors
    /// [`ServerError::Unreachable`] and [`ServerError::Password`].
    pub async fn connect(address: (IpAddr, u16), credentials: Option<Credentials<'_>>) -> Result<Self, ServerError> {
        Self::connect_within(address, credentials, (CONNECT_DEADLINE, ANSWER_DEADLINE)).await
    }

    /// Connects with other deadlines, for the connection and for each reply.
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

    /// The values of these directives on the server; unknown directives are omitted. Bytes, as the server sends them.
    ///
    /// # Errors
    /// If the server cannot be queried.
    pub async fn config(&mut self, names: &[&str]) -> Result<BTreeMap<String, Vec<u8>>, ServerError> {
        // One name per command: Redis 6.2 accepts no more.
        let mut commands = pipe();
        for name in names {
            commands.cmd("CONFIG").arg("GET").arg(*name);
        }
        let answers: Vec<Vec<(String, Vec<u8>)>> = self.ask_all(&commands).await?;
        // CONFIG GET returns an alias under the requested name.
        Ok(answers.into_iter().flatten().collect())
    }

    /// Sets one directive.
    ///
    /// # Errors
    /// [`ServerError::Refused`] with the server's message about the value, or if the server cannot be queried.
    pub async fn set(&mut self, name: &str, value: &[u8]) -> Result<(), ServerError> {
        self.ask(cmd("CONFIG").arg("SET").arg(name).arg(value)).await
    }

    /// Queries the persistence state and the metrics of the server.
    ///
    /// # Errors
    /// If the server cannot be queried.
    pub async fn report(&mut self) -> Result<Report, ServerError> {
        // One section per command: Redis 6.2 accepts no more.
        let mut commands = pipe();
        for section in ["persistence", "memory", "clients", "replication"] {
            commands.cmd("INFO").arg(section);
        }
        let sections: Vec<String> = self.ask_all(&commands).await?;
        Ok(Report::read(&sections.concat()))
    }

    async fn ask_all<T: FromRedisValue>(&mut self, commands: &Pipeline) -> Result<T, ServerError> {
        self.budget.renew();
        commands.query_async(&mut self.connection).await.map_err(|error| self.classify(&error))
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, ServerError> {
        self.budget.renew();
        command.query_async(&mut self.connection).await.map_err(|error| self.classify(&error))
    }

    /// Translates an error of the library into an operator's terms.
    fn classify(&self, error: &redis::RedisError) -> ServerError {
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

/// Opens a connection whose replies are limited by this budget.
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

/// Text of a server as one printable line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
