//! A reconcile that fails is shown in the status: at once where the API server rejects a write, else when it has failed for a
//! while. The error decides when it is retried.

use std::time::{Duration, Instant};

use kube::ResourceExt;

use super::{context::Context, error::Error, replication::Roles, status, stop::Stop};
use crate::{
    api::v1::RedisInstance,
    domain::{instance::ValidatedInstance, reason::Reason, status::Finding},
};

/// How long reconciles fail before that is shown. With the waits of 1, 2, 4 and 8 s after the first failures, it is shown
/// within 20 s.
const LASTING: Duration = Duration::from_secs(10);

/// Shows why a reconcile that began then failed. A status that keeps saying what was true before it failed would name a primary
/// that may be dead. Returns the error.
pub(super) async fn record(
    stored: &RedisInstance,
    instance: Option<&ValidatedInstance>,
    roles: Option<&Roles>,
    error: Error,
    began: Instant,
    context: &Context,
) -> Error {
    let uid = stored.uid().unwrap_or_default();
    let since = context.remember(&uid, |memory| *memory.failing.get_or_insert(began));
    let lasts = since.elapsed() >= LASTING;
    let is_replicated = context.recall(&uid, |memory| memory.replication.replicated)
        || instance.is_some_and(|instance| instance.replicas > 1);
    if lasts && roles.is_none() && is_replicated {
        // Who takes the writes is not known.
        context.metrics.roles.looked(&uid, false, Instant::now());
    }
    if error.is_namespace_leaving() {
        return error;
    }
    if let Some(finding) = finding(&error, lasts)
        && let Err(unwritten) = status::record(stored, instance, &finding, roles, context).await
    {
        tracing::warn!(error = %unwritten, "the status cannot be written");
    }
    error
}

/// A refusal by the API server is shown to the user and retried all the same, since what causes it is mended elsewhere;
/// anything else that fails is only retried.
pub(super) fn shown(outcome: Result<Finding, Stop>) -> Result<(Finding, Option<Error>), Error> {
    match outcome {
        Ok(finding) => Ok((finding, None)),
        Err(Stop::Finding(finding)) => Ok((*finding, None)),
        Err(Stop::Failed(error)) if error.is_namespace_leaving() => Ok((Finding::Deleting, None)),
        Err(Stop::Failed(error)) => match error.rejection() {
            Some(words) => Ok((Finding::Stalled(Reason::Rejected, words), Some(error))),
            None => Err(error),
        },
    }
}

/// What to show of a failure.
fn finding(error: &Error, lasts: bool) -> Option<Finding> {
    match error.rejection() {
        Some(words) => Some(Finding::Stalled(Reason::Rejected, words)),
        None if lasts && error.is_shown() => {
            Some(Finding::Waiting(Reason::ReconcileFailing, format!("{error}; it is retried")))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16, message: &str) -> Error {
        let status = serde_json::from_value(serde_json::json!({"code": code, "message": message}));
        Error::request("create", "Service", "cache")(kube::Error::Api(status.unwrap()))
    }

    #[test]
    fn a_rejection_is_shown_at_once_and_a_failure_when_it_lasts() {
        let rejected = answered(403, "exceeded quota: small");
        let words = "the API server refuses to create Service cache: exceeded quota: small".to_owned();
        assert_eq!(finding(&rejected, false), Some(Finding::Stalled(Reason::Rejected, words)));
        for error in [answered(500, "etcdserver: request timed out"), answered(503, "overloaded"), Error::Deadline(60)]
        {
            assert_eq!(finding(&error, false), None, "{error}");
            let Some(Finding::Waiting(Reason::ReconcileFailing, words)) = finding(&error, true) else {
                panic!("{error} is not shown")
            };
            assert_eq!(words, format!("{error}; it is retried"));
        }
        for error in [answered(409, "changed"), answered(429, "slow down"), Error::NotLeading] {
            assert_eq!(finding(&error, true), None, "{error}");
        }
    }
}
