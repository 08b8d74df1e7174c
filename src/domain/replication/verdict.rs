//! The result of an election.

use crate::domain::reason::Reason;

/// The next action for the role of the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This one has it. Others that take writes as well were passed over and have to follow.
    Primary(i32),
    /// No pod is primary; this pod is promoted.
    Promote(i32, Cause),
    /// The kubelet has to end the pod of this one, which does not answer, before another gets the role; why, in a sentence.
    Fence(i32, String),
    /// No pod can be promoted yet; with a message.
    Wait(Reason, String),
    /// No pod can be promoted without a decision by the administrator; the message contains the command for it.
    Stuck(String),
}

/// The reason of a promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The instance begins, or goes on with the volumes of an earlier life.
    First,
    /// The primary died; what was seen of it.
    Failover(String),
    /// Every server was restarted, and this one had the newest data.
    Restart,
    /// The administrator selected it with the promote annotation.
    Asked,
}

/// The outcome of the promote annotation.
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
    /// True if the administrator may decide.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Stuck(_) | Self::Wait(Reason::PrimaryMissing, _))
    }
}
