//! Why a reconcile ends before its last step.

use super::error::Error;
use crate::domain::status::Finding;

/// Ends a reconcile: every step returns it with `?`.
#[derive(Debug)]
pub(super) enum Stop {
    /// The status says why, and the reconcile has not failed: a name is taken, a Secret is missing, an object is being replaced.
    Finding(Box<Finding>),
    /// A request failed: the reconcile is retried with backoff.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Finding> for Stop {
    fn from(finding: Finding) -> Self {
        Self::Finding(Box::new(finding))
    }
}

impl Stop {
    /// The failure, or else the outcome with its finding: for steps that have something to do before they end with a finding.
    pub(super) fn failed<T>(outcome: Result<T, Self>) -> Result<Result<T, Self>, Error> {
        match outcome {
            Err(Self::Failed(error)) => Err(error),
            outcome => Ok(outcome),
        }
    }
}
