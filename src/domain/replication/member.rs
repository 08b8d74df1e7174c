//! The pods of a replicated instance and the replication state that their servers report.

use std::net::IpAddr;

use crate::domain::writes::Refusal;

/// One pod of the instance, and the state that its server reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Member {
    /// Number of the pod.
    pub ordinal: i32,
    /// True if the pod is terminating.
    pub leaving: bool,
    /// True if a problem keeps the pod from starting.
    pub hindered: bool,
    /// True if its volume may hold data that are not in the record: the claim is older than the instance or than the
    /// claims of the other pods, or it was not created from the claim template.
    pub inherited: bool,
    /// True if the kubelet confirms that the last primary process has ended: the pod is gone, its container does not
    /// run, or another container runs in its place.
    pub ended: bool,
    /// True if the node of the pod is reported as unreachable, so that its kubelet will not confirm anything.
    pub node_away: bool,
    /// Seconds since the operator asked the kubelet to end the pod; `None` while it has not.
    pub fenced: Option<u64>,
    /// True if it runs the newest template and is ready.
    pub updated: bool,
    /// Seconds for which the pod has not been ready; `None` while it is ready.
    pub unready: Option<u64>,
    /// Address of the server, if it runs.
    pub address: Option<IpAddr>,
    /// The outcome of the last probe.
    pub answer: Answer,
}

/// The outcome of probing a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No server: no pod, or no running container.
    Absent,
    /// The container runs and has not responded, or has refused connections, for this long. A refused connection alone
    /// does not prove that the process has ended: a firewall refuses connections as well.
    Silent {
        /// Seconds since the first failed probe.
        seconds: u64,
    },
    /// It responds without reporting its replication state.
    Evasive(Evasion),
    /// It reported its replication state.
    Told(Told),
}

/// Why a server that responds does not report its replication state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evasion {
    /// It runs a script or loads its data.
    Busy,
    /// `maxclients` is reached.
    Full,
    /// It requires another password, or its response cannot be parsed.
    Other,
}

/// The replication state that a server reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Address at which it was probed.
    pub address: IpAddr,
    /// Its role.
    pub role: Role,
    /// The replication ID of its data.
    pub history: String,
    /// The previous replication ID, whose history this one continues.
    pub former_history: String,
    /// Replication offset, in bytes.
    pub offset: u64,
    /// True if it holds no key.
    pub empty: bool,
    /// True while it loads its data.
    pub loading: bool,
    /// True if it cannot write to its volume.
    pub cannot_persist: bool,
    /// Why it accepts no writes; `None` if it accepts them.
    pub refusal: Option<Refusal>,
}

/// The role of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It accepts writes.
    Primary,
    /// It is a replica of another server, or waits for its primary's address.
    Replica(Link),
}

/// A replica's connection to its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Address of its primary; `None` if it waits for one.
    pub of: Option<IpAddr>,
    /// True if it is connected.
    pub up: bool,
    /// True during a full resync.
    pub syncing: bool,
    /// Seconds since its last contact with the primary.
    pub silence: Option<u64>,
    /// Seconds since it lost the connection; `None` while it is connected, or if it never was.
    pub down: Option<u64>,
}

impl Member {
    /// The reported state, if the server responded.
    #[must_use]
    pub const fn told(&self) -> Option<&Told> {
        match &self.answer {
            Answer::Told(reported) => Some(reported),
            _ => None,
        }
    }

    /// The reported state, if the server has loaded its data.
    pub(super) fn loaded(&self) -> Option<&Told> {
        self.told().filter(|reported| !reported.loading)
    }

    /// Address of its primary.
    pub(super) fn followed(&self) -> Option<IpAddr> {
        match &self.told()?.role {
            Role::Replica(link) => link.of,
            Role::Primary => None,
        }
    }

    /// True if the server reports that it cannot write to its volume.
    #[must_use]
    pub fn cannot_persist(&self) -> bool {
        self.told().is_some_and(|reported| reported.cannot_persist)
    }

    /// True if it is known to take no writes: there is no server, or it is a replica.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match &self.answer {
            Answer::Absent => true,
            Answer::Told(reported) => reported.role != Role::Primary,
            Answer::Silent { .. } | Answer::Evasive(_) => false,
        }
    }

    /// True if it runs a script.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.answer == Answer::Evasive(Evasion::Busy)
    }

    /// True if the server reports that it accepts writes.
    #[must_use]
    pub fn takes_writes(&self) -> bool {
        self.loaded().is_some_and(|reported| reported.role == Role::Primary)
    }
}

impl Told {
    /// True if its data belong to this history or continue it.
    pub(super) fn continues(&self, history: &str) -> bool {
        self.history == history || self.former_history == history
    }

    /// The connection of a replica to its primary.
    pub(super) const fn link(&self) -> Option<&Link> {
        match &self.role {
            Role::Replica(link) => Some(link),
            Role::Primary => None,
        }
    }
}

impl Link {
    /// True if the replica has heard from its primary within this many seconds.
    pub(super) fn hears(&self, hearing: u64) -> bool {
        self.up && self.silence.is_some_and(|seconds| seconds < hearing)
    }
}
