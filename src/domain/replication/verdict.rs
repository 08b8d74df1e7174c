//! The result of an election.

use crate::domain::reason::Reason;

/// The next action for the role of the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This pod is the primary. Other pods that take writes have to follow it.
    Primary(i32),
    /// No pod is primary; this pod is promoted.
    Promote(i32, Cause),
    /// The kubelet has to end this unreachable pod before another one is promoted; with a message.
    Fence(i32, String),
    /// No pod can be promoted yet; with a message.
    Wait(Reason, String),
    /// No pod can be promoted without a decision by the administrator; the message contains the command for it.
    Stuck(String),
}

/// The reason of a promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The instance is new, and may reuse volumes of an earlier instance.
    First,
    /// The primary has failed; with the observation that shows it.
    Failover(String),
    /// Every server was restarted, and this one had the newest data.
    Restart,
    /// The administrator selected it with the promote annotation.
    Asked,
}

/// The outcome of the promote annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// There is no annotation for this term.
    None,
    /// It decided the election; with a message.
    Used(String),
    /// It was ignored because a primary serves; with a message.
    Refused(String),
}

impl Verdict {
    /// True if the administrator may decide.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Stuck(_) | Self::Wait(Reason::PrimaryMissing, _))
    }
}
