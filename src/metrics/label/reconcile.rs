//! Labels of reconciles and of what they changed.

use super::Outcome;

label! {
    /// Why the primary of a replicated instance changed.
    RoleChange {
        /// The instance began.
        Election => "election",
        /// The primary died.
        Failover => "failover",
        /// It was handed over while its holder was well.
        Handover => "handover",
        /// Every server was restarted.
        Restart => "restart",
        /// The administrator requested it.
        Asked => "asked",
    }
}

label! {
    /// Why a reconcile failed.
    Failure {
        /// The API server does not know who the operator is.
        Unauthorized => "unauthorized",
        /// The API server refused: permissions, a quota, an admission policy.
        Forbidden => "forbidden",
        /// The object, or its kind, is not there.
        NotFound => "not_found",
        /// Conflict with a concurrent write.
        Conflict => "conflict",
        /// The version that was asked for is too old.
        Expired => "expired",
        /// The API server has too much to do.
        Throttled => "throttled",
        /// The API server will never do this.
        Rejected => "rejected",
        /// The API server failed.
        ServerError => "server_error",
        /// The API server gave no answer that can be read.
        Unreachable => "unreachable",
        /// The reconcile took too long.
        Deadline => "deadline",
        /// A panic, which is a defect of the operator.
        Panic => "panic",
        /// Another defect, or a system without random bytes.
        Internal => "internal",
    }
}

impl Failure {
    /// The failure for an unsuccessful outcome. `Ok` is not a failure; passing it is a defect.
    #[must_use]
    pub const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok => Self::Internal,
            Outcome::Unauthorized => Self::Unauthorized,
            Outcome::Forbidden => Self::Forbidden,
            Outcome::NotFound => Self::NotFound,
            Outcome::Conflict => Self::Conflict,
            Outcome::Expired => Self::Expired,
            Outcome::Throttled => Self::Throttled,
            Outcome::Rejected => Self::Rejected,
            Outcome::ServerError => Self::ServerError,
            Outcome::Unreachable => Self::Unreachable,
        }
    }
}

label! {
    /// How a reconcile ended.
    Reconciled {
        /// It came to its end, whatever it found.
        Ok => "ok",
        /// It failed and is tried again.
        Error => "error",
    }
}

label! {
    /// The result of applying a change to one running server.
    LiveConfig {
        /// Redis has it: it was asked and answered so.
        Applied => "applied",
        /// Redis refused a value.
        Refused => "refused",
        /// Redis took it and answers with another value.
        Unproved => "unproved",
        /// Redis could not be asked.
        Unreachable => "unreachable",
        /// Redis had another value, for example after a manual CONFIG SET; the operator reverted it.
        DriftRepaired => "drift_repaired",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_called_what_the_answer_is_called() {
        for outcome in Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::Ok) {
            assert_eq!(Failure::of(*outcome).word(), outcome.word());
        }
    }
}
