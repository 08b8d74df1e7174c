//! Errors of a connection to a Redis server, in terms of what an operator can do about them.

use std::net::SocketAddr;

use thiserror::Error;

use super::bounded::Excess;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum ServerError {
    /// No connection, or no answer in time: a network policy, a dead node, a blocked server.
    #[error("cannot reach {address}: {why}; let the operator's pod connect to it")]
    Unreachable {
        /// The server.
        address: SocketAddr,
        /// The error of the system.
        why: String,
    },
    /// No process listens there: the server has ended.
    #[error("{address} refuses connections: no process listens there")]
    Closed {
        /// The server.
        address: SocketAddr,
    },
    /// The server has all the clients that `maxclients` allows, and refuses new ones.
    #[error("{address} refuses new connections: all connections that maxclients allows are in use")]
    Full {
        /// The server.
        address: SocketAddr,
    },
    /// The server takes none of the passwords given.
    #[error("{address} takes no password that its Secret has: restart the pod, which then starts with that one")]
    Password {
        /// The server.
        address: SocketAddr,
    },
    /// The server asks for no password at all, and should.
    #[error("{address} has no password, though there is one: restart the pod")]
    Open {
        /// The server.
        address: SocketAddr,
    },
    /// The server answers that it cannot answer now: it loads its data, or runs a script.
    #[error("{address} is busy: {why}")]
    Busy {
        /// The server.
        address: SocketAddr,
        /// The error of the server.
        why: String,
    },
    /// The server sent more than any reply of Redis has, or what is not Redis' protocol. It is not read on.
    #[error("{address} sent {excess}, and the connection was closed; check that the pod's image runs Redis or Valkey")]
    Excess {
        /// The server.
        address: SocketAddr,
        /// The exceeded limit.
        excess: Excess,
    },
    /// The server understood and refuses.
    #[error("{why}")]
    Refused {
        /// The error of the server, as one line.
        why: String,
    },
}

impl ServerError {
    /// True if the server reports that it is loading its data.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        matches!(self, Self::Busy { why, .. } if why.contains("loading the dataset"))
    }
}
