//! The pods of a replicated instance and the replication state that their servers report.

use std::net::IpAddr;

use crate::domain::writes::Refusal;

/// One pod of the instance, and what its server tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Member {
    /// Number of the pod.
    pub ordinal: i32,
    /// Whether the pod is there and on its way out.
    pub leaving: bool,
    /// Whether something keeps the pod from starting.
    pub hindered: bool,
    /// Whether its volume may hold data that no record tells of: the claim is older than the instance or than the claims
    /// of the other pods, or it was not made from the claim template.
    pub inherited: bool,
    /// Whether the kubelet confirms that the process which took the writes last has ended: the pod is gone, its container
    /// does not run, or another container runs in its place.
    pub ended: bool,
    /// Whether the node of the pod is reported as away, so that its kubelet will not confirm anything.
    pub node_away: bool,
    /// Seconds since the operator asked the kubelet to end the pod; `None` while it has not.
    pub fenced: Option<u64>,
    /// Whether it runs the newest template and is ready.
    pub updated: bool,
    /// How long its pod has not been ready, in seconds; `None` while it is ready.
    pub unready: Option<u64>,
    /// Where its server is asked, if it runs.
    pub address: Option<IpAddr>,
    /// What its server answers.
    pub answer: Answer,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is none: no pod, or no running container.
    Absent,
    /// The container runs and nothing came back, or the connection was refused, for so many seconds now. A refused
    /// connection alone does not prove that the process has ended: a firewall between the two refuses as well.
    Silent {
        /// Since the first question without an answer.
        seconds: u64,
    },
    /// It lives and does not say what it is.
    Evasive(Evasion),
    /// What it is.
    Told(Told),
}

/// Why a server that lives does not say what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evasion {
    /// It runs a script, or reads its data.
    Busy,
    /// It has all the clients that it may have.
    Full,
    /// It takes another password, or answers what cannot be understood.
    Other,
}

/// What a server tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where it was asked.
    pub address: IpAddr,
    /// Whether it takes writes.
    pub role: Role,
    /// Name of the history of writes that its data belong to.
    pub history: String,
    /// Name of the history before that, which this one goes on with.
    pub former_history: String,
    /// How far it is in its history, in bytes.
    pub offset: u64,
    /// Whether it holds no key at all.
    pub empty: bool,
    /// Whether it still reads its data.
    pub loading: bool,
    /// Whether it cannot write to its volume.
    pub cannot_persist: bool,
    /// Why it accepts no writes, if it does not.
    pub refusal: Option<Refusal>,
}

/// Whether a server takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It does.
    Primary,
    /// It follows another, or waits to be told whom.
    Replica(Link),
}

/// A replica's connection to its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whom it follows; `None` for one that waits to be told.
    pub of: Option<IpAddr>,
    /// Whether it is connected.
    pub up: bool,
    /// Whether it is receiving the whole data set.
    pub syncing: bool,
    /// Seconds since it last heard of its primary.
    pub silence: Option<u64>,
    /// Seconds since it lost the connection; `None` while it is connected, or was never.
    pub down: Option<u64>,
}

impl Member {
    /// What it tells, if it does.
    #[must_use]
    pub const fn told(&self) -> Option<&Told> {
        match &self.answer {
            Answer::Told(told) => Some(told),
            _ => None,
        }
    }

    /// What it tells, when it has read its data.
    pub(super) fn loaded(&self) -> Option<&Told> {
        self.told().filter(|told| !told.loading)
    }

    /// Whom it follows.
    pub(super) fn followed(&self) -> Option<IpAddr> {
        match &self.told()?.role {
            Role::Replica(link) => link.of,
            Role::Primary => None,
        }
    }

    /// Whether it cannot write to its volume, as far as it tells.
    #[must_use]
    pub fn cannot_persist(&self) -> bool {
        self.told().is_some_and(|told| told.cannot_persist)
    }

    /// Whether it is known to take no writes: there is no server, or it says so.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match &self.answer {
            Answer::Absent => true,
            Answer::Told(told) => told.role != Role::Primary,
            Answer::Silent { .. } | Answer::Evasive(_) => false,
        }
    }

    /// Whether it runs a script.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.answer == Answer::Evasive(Evasion::Busy)
    }

    /// Whether it takes writes, as far as it tells.
    #[must_use]
    pub fn takes_writes(&self) -> bool {
        self.loaded().is_some_and(|told| told.role == Role::Primary)
    }
}

impl Told {
    /// Whether its data belong to this history, or go on with it.
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
    /// Whether the replica heard of its primary within this many seconds.
    pub(super) fn hears(&self, hearing: u64) -> bool {
        self.up && self.silence.is_some_and(|seconds| seconds < hearing)
    }
}
