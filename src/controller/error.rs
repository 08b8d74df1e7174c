//! What a reconcile can fail with, and when it is tried again. A user's mistake is no error here: it is a finding
//! in the status. Errors are the cluster's, and are retried with backoff for as long as it takes.

use std::{sync::Arc, time::Duration};

use kube::{ResourceExt, runtime::controller::Action};
use thiserror::Error;

use super::{Stored, context::Context};
use crate::metrics::{Failure, Outcome};

/// The first wait after a failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// Why a reconcile did not come to its end.
#[derive(Debug, Error)]
pub(super) enum Error {
    /// A request was refused or got no answer.
    #[error("cannot {verb} {kind} {name}: {}", words(source))]
    Request { verb: &'static str, kind: String, name: String, source: Box<kube::Error> },
    /// The system gave no random bytes for a password.
    #[error("cannot make a password: no random bytes from the system: {0}")]
    Entropy(String),
    /// An object does not pass through JSON, which is a defect of this program.
    #[error("cannot write {what} as JSON: {source}")]
    Json { what: &'static str, source: serde_json::Error },
    /// The reconcile of this one instance hit a defect of this program; the others go on.
    #[error("a defect of the operator stopped this reconcile; the log above has the panic")]
    Panicked,
    /// The reconcile took longer than its deadline.
    #[error("gave up after {0} s; the API server is slow or does not answer")]
    Deadline(u64),
}

impl Error {
    /// What turns a failed request into an error that names the object.
    pub(super) fn request(verb: &'static str, kind: &str, name: &str) -> impl FnOnce(kube::Error) -> Self + use<> {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        move |source| Self::Request { verb, kind, name, source: Box::new(source) }
    }

    /// What sort of failure it is, for those who count.
    pub(super) fn class(&self) -> Failure {
        match self {
            Self::Request { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Failure::of(Outcome::of(status.code)),
                _ => Failure::Unreachable,
            },
            Self::Deadline(_) => Failure::Deadline,
            Self::Panicked => Failure::Panic,
            Self::Entropy(_) | Self::Json { .. } => Failure::Internal,
        }
    }

    /// Whether the namespace is on its way out, in which nothing can be created any more.
    pub(super) fn is_namespace_leaving(&self) -> bool {
        let Self::Request { source, .. } = self else { return false };
        let kube::Error::Api(status) = source.as_ref() else { return false };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
    }

    /// The API server's own words, when it understood the request and refuses it: only a person can mend that
    /// (a quota, a policy, missing permissions), so it belongs into the status.
    pub(super) fn rejection(&self) -> Option<String> {
        let Self::Request { verb, kind, name, source } = self else { return None };
        match source.as_ref() {
            kube::Error::Api(status) if matches!(status.code, 400 | 401 | 403 | 405 | 413 | 422) => {
                Some(format!("the API server refuses to {verb} {kind} {name}: {}", status.message))
            }
            _ => None,
        }
    }
}

/// What the API server said, or else what happened to the request; kube's own text repeats the whole answer.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Counts a failure with those before it, and says when it is tried again.
pub(super) fn record(instance: &Stored, error: &Error, context: &Context) {
    let uid = instance.uid().unwrap_or_default();
    let failures = context.remember(&uid, |memory| {
        memory.failures = memory.failures.saturating_add(1);
        memory.failures
    });
    tracing::warn!(%error, failures, retry_in = ?backoff(failures, &uid), "reconcile failed");
}

/// When to try again: soon at first, ever later, and never two instances in step.
#[expect(clippy::needless_pass_by_value, reason = "the signature is the controller's")]
pub(super) fn policy(instance: Arc<Stored>, _error: &Error, context: Arc<Context>) -> Action {
    let uid = instance.uid().unwrap_or_default();
    Action::requeue(backoff(context.recall(&uid).failures, &uid))
}

/// 1 s, 2 s, 4 s ... 300 s, plus up to a quarter that depends on the instance.
fn backoff(failures: u32, uid: &str) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(u32::MAX));
    spread(doubled.min(LONGEST_WAIT), uid)
}

/// The duration plus up to a quarter, the same part for the same instance: many instances never act in step.
pub(super) fn spread(duration: Duration, uid: &str) -> Duration {
    let part = uid.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 256;
    duration + duration * part / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_bound_and_differ_between_instances() {
        let waits: Vec<u64> = [1, 2, 3, 9, 10, 400].map(|failures| backoff(failures, "").as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 256 + 1, 302, 302].map(|s| s.min(302)));
        assert_ne!(backoff(9, "a"), backoff(9, "b"));
        assert!(backoff(u32::MAX, "zzz") <= LONGEST_WAIT + LONGEST_WAIT / 4);
    }
}
