//! Errors of a connection to a Redis server, in terms of what an operator can do about them.

use std::net::SocketAddr;

use thiserror::Error;

use super::bounded::Excess;

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
