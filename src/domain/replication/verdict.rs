//! What an election comes to.

use crate::domain::reason::Reason;

/// What is to be done about the role of the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This one has it. Others that take writes as well were passed over and have to follow.
    Primary(i32),
    /// Nobody has it: this one gets it.
    Promote(i32, Cause),
    /// The kubelet has to end the pod of this one, which does not answer, before another gets the role; why, in a sentence.
    Fence(i32, String),
    /// Nobody can be given it yet, and a sentence about it.
    Wait(Reason, String),
    /// Nobody can be given it but by a person's word; a sentence with the command that gives it.
    Stuck(String),
}

/// Why a server is promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The instance begins, or goes on with the volumes of an earlier life.
    First,
    /// The primary died; what was seen of it.
    Failover(String),
    /// Every server was restarted, and this one had the newest data.
    Restart,
    /// A person named it.
    Asked,
}

/// What became of the word of an administrator, the promote annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// There is none for this term.
    None,
    /// It decided.
    Used(String),
    /// It was not asked for, since a primary serves; why, in a sentence.
    Refused(String),
}

impl Verdict {
    /// Whether the administrator may decide.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Stuck(_) | Self::Wait(Reason::PrimaryMissing, _))
    }
}
