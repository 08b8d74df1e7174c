//! What a reconcile can fail with, and when it is tried again. A user's mistake is no error here: it is a finding
//! in the status. Errors are the cluster's, and are retried with backoff for as long as it takes.

use std::{sync::Arc, time::Duration};

use kube::{ResourceExt, runtime::controller::Action};
use thiserror::Error;

use super::{Stored, context::Context};
use crate::{
    domain::reason::Reason,
    metrics::{Failure, Outcome},
    redis::ServerError,
};

/// The first wait after a failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// The longest wait after a write that was rejected, 40 s: the cause can be removed at any time, and no watch reports it.
const LONGEST_REJECTED_WAIT: Duration = Duration::from_secs(40);
/// What the API server answers with status 500 when it cannot call an admission webhook whose failure policy is Fail.
const WEBHOOK_FAILED: &str = "failed calling webhook";

/// Why a reconcile did not come to its end.
#[derive(Debug, Error)]
pub(super) enum Error {
    /// A request was refused or got no answer.
    #[error("cannot {verb} {kind} {name}: {}", words(source))]
    Request { verb: &'static str, kind: String, name: String, source: Box<kube::Error> },
    /// The system gave no random bytes for a password.
    #[error("cannot make a password: no random bytes from the system: {0}")]
    Entropy(String),
    /// A server did not do what it was told.
    #[error("{pod}: {source}")]
    Server { pod: String, source: Box<ServerError> },
    /// An object does not pass through JSON, which is a defect of this program.
    #[error("cannot write {what} as JSON: {source}")]
    Json { what: &'static str, source: serde_json::Error },
    /// The reconcile of this one instance hit a defect of this program; the others go on.
    #[error("a defect of the operator stopped this reconcile; the log above has the panic")]
    Panicked,
    /// The lease ran out while this process was paused or cut off: another may lead by now.
    #[error("this operator no longer holds the lease; the leader goes on")]
    NotLeading,
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
            Self::NotLeading | Self::Server { .. } => Failure::Unreachable,
            Self::Deadline(_) => Failure::Deadline,
            Self::Panicked => Failure::Panic,
            Self::Entropy(_) | Self::Json { .. } => Failure::Internal,
        }
    }

    /// Whether it was the API server's failing, or that of the way to it, and not this instance's: it is over for all at
    /// once.
    fn is_outage(&self) -> bool {
        self.rejection().is_none()
            && matches!(
                self.class(),
                Failure::Unreachable | Failure::ServerError | Failure::Throttled | Failure::Deadline
            )
    }

    /// How long the API server asked to be left alone.
    fn rest(&self) -> Duration {
        match self {
            Self::Request { source, .. } => retry_after(source),
            _ => Duration::ZERO,
        }
    }

    /// Whether it belongs into the status when it lasts: what this instance asks for fails. An API server that cannot be
    /// reached or asks for patience concerns all instances, and has no status written.
    pub(super) fn is_shown(&self) -> bool {
        match self {
            Self::Request { .. } => self.class() == Failure::ServerError && self.rest().is_zero(),
            Self::NotLeading => false,
            Self::Entropy(_) | Self::Server { .. } | Self::Json { .. } | Self::Panicked | Self::Deadline(_) => true,
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
    /// (a quota, a policy, missing permissions), so it belongs into the status. The same for an admission webhook of
    /// another component that cannot be called.
    pub(super) fn rejection(&self) -> Option<String> {
        let Self::Request { verb, kind, name, source } = self else { return None };
        match source.as_ref() {
            kube::Error::Api(status)
                if matches!(status.code, 400 | 401 | 403 | 405 | 413 | 422) || is_webhook_failure(status) =>
            {
                Some(format!("the API server refuses to {verb} {kind} {name}: {}", status.message))
            }
            _ => None,
        }
    }
}

/// Whether a write failed because the API server cannot call an admission webhook.
fn is_webhook_failure(status: &kube::core::Status) -> bool {
    status.code >= 500 && status.message.contains(WEBHOOK_FAILED)
}

/// The reason for which a server could not be asked.
pub(super) const fn reason_of(error: &ServerError) -> Reason {
    match error {
        ServerError::Password { .. } | ServerError::Open { .. } => Reason::PasswordDiffers,
        ServerError::Busy { .. } => Reason::Busy,
        ServerError::Full { .. } => Reason::MaxClientsReached,
        _ => Reason::Unreachable,
    }
}

/// What the API server said, or else what happened to the request; kube's own text repeats the whole answer.
pub(super) fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        // serde quotes what it cannot read, which may be of a Secret.
        kube::Error::SerdeError(error) => {
            format!("the answer cannot be read, from line {} column {} on", error.line(), error.column())
        }
        other => other.to_string(),
    }
}

/// How long the API server asked to be left alone.
pub(super) fn retry_after(error: &kube::Error) -> Duration {
    match error {
        kube::Error::Api(status) => {
            Duration::from_secs(status.details.as_ref().map_or(0, |details| details.retry_after_seconds.into()))
        }
        _ => Duration::ZERO,
    }
}

/// Counts a failure with those before it, and says when it is tried again.
pub(super) fn record(instance: &Stored, error: &Error, context: &Context) {
    let uid = instance.uid().unwrap_or_default();
    let failures = context.remember(&uid, |memory| {
        memory.failures = memory.failures.saturating_add(1);
        memory.outage = error.is_outage();
        memory.failures
    });
    let rest = wait(error, failures, &uid);
    context.rests(&uid, rest);
    tracing::warn!(%error, failures, retry_in = ?rest, "reconcile failed");
}

/// When to try again: soon at first, ever later, and never two instances in step.
#[expect(clippy::needless_pass_by_value, reason = "the signature is the controller's")]
pub(super) fn policy(instance: Arc<Stored>, error: &Error, context: Arc<Context>) -> Action {
    let uid = instance.uid().unwrap_or_default();
    let rest = wait(error, context.recall(&uid, |memory| memory.failures), &uid);
    // Whatever fails, the servers of a replicated instance are looked after.
    let is_replicated = context.recall(&uid, |memory| memory.replication.replicated) || has_several_replicas(&instance);
    Action::requeue(if is_replicated { rest.min(FIRST_WAIT.max(error.rest())) } else { rest })
}

/// Whether the spec asks for several replicas, or may do so, as it cannot be read: a new leader knows nothing else of an instance before
/// its first success.
fn has_several_replicas(instance: &Stored) -> bool {
    instance.0.as_ref().map_or(true, |instance| instance.spec.replicas.is_some_and(|replicas| replicas > 1))
}

/// 1 s, 2 s, 4 s ... 300 s (40 s after a rejected write), or what the API server asked for if that is longer, plus up to a quarter that depends on the
/// instance.
fn wait(error: &Error, failures: u32, uid: &str) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(u32::MAX));
    let longest = if error.rejection().is_some() { LONGEST_REJECTED_WAIT } else { LONGEST_WAIT };
    spread(doubled.min(longest).max(error.rest()).min(LONGEST_WAIT), uid)
}

/// The duration plus up to a quarter, the same part for the same instance: many instances never act in step.
pub(super) fn spread(duration: Duration, uid: &str) -> Duration {
    let part = uid.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 256;
    duration + duration * part / 1024
}

/// Some time within the duration, the same for the same instance.
pub(super) fn within(duration: Duration, uid: &str) -> Duration {
    spread(duration, uid).saturating_sub(duration) * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_bound_and_differ_between_instances() {
        let waits: Vec<u64> =
            [1, 2, 3, 9, 10, 400].map(|failures| wait(&Error::Panicked, failures, "").as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 256 + 1, 302, 302]);
        assert_ne!(wait(&Error::Panicked, 9, "a"), wait(&Error::Panicked, 9, "b"));
        assert!(wait(&Error::Panicked, u32::MAX, "zzz") <= LONGEST_WAIT + LONGEST_WAIT / 4);
    }

    #[test]
    fn some_time_within_a_duration_differs_between_instances() {
        let whole = Duration::from_secs(256);
        let times: Vec<u64> = ["", "a", "b", "zzz"].map(|uid| within(whole, uid).as_secs()).into();
        assert!(times.iter().all(|time| *time < 256), "{times:?}");
        assert!(times.iter().any(|time| *time > 128) && times.iter().any(|time| *time < 128), "{times:?}");
    }

    #[test]
    fn what_the_api_server_asks_for_is_given_up_to_the_bound() {
        let told = |seconds: u32| {
            let status =
                serde_json::from_value(serde_json::json!({"code": 429, "details": {"retryAfterSeconds": seconds}}));
            Error::request("get", "Secret", "cache-auth")(kube::Error::Api(status.unwrap()))
        };
        assert_eq!(wait(&told(30), 1, "").as_secs(), 30);
        assert_eq!(wait(&told(30), 7, "").as_secs(), 64, "it had waited longer already");
        assert!(wait(&told(u32::MAX), 1, "zzz") <= LONGEST_WAIT + LONGEST_WAIT / 4);
    }

    fn answered(code: u16, message: &str) -> Error {
        let status = serde_json::from_value(serde_json::json!({"code": code, "message": message}));
        Error::request("create", "Service", "cache")(kube::Error::Api(status.unwrap()))
    }

    #[test]
    fn a_webhook_that_cannot_be_called_is_a_rejection_and_other_server_errors_are_an_outage() {
        let message = r#"Internal error occurred: failed calling webhook "policy.example.com": failed to call webhook: Post "https://policy.x.svc:443/?timeout=5s": connection refused"#;
        for code in [500, 503, 504] {
            let words = answered(code, message).rejection().expect("a failed webhook is shown");
            assert!(words.starts_with("the API server refuses to create Service cache: "), "{words}");
            assert!(words.contains(r#"failed calling webhook "policy.example.com""#), "{words}");
            assert!(!answered(code, message).is_outage());
        }
        assert_eq!(answered(500, "etcdserver: request timed out").rejection(), None);
        assert!(answered(500, "etcdserver: request timed out").is_outage());
        assert_eq!(answered(409, message).rejection(), None);
    }

    #[test]
    fn a_rejected_write_is_retried_within_a_minute() {
        for rejected in [answered(403, "exceeded quota: small"), answered(500, "failed calling webhook \"a\"")] {
            assert_eq!(wait(&rejected, 3, "").as_secs(), 4);
            assert!(wait(&rejected, u32::MAX, "zzz") < Duration::from_mins(1));
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_not_quoted() {
        let unreadable = serde_json::from_str::<u8>("\"hunter2\"").unwrap_err();
        assert!(unreadable.to_string().contains("hunter2"), "else there is nothing to hide: {unreadable}");
        let error = Error::request("get", "Secret", "cache-auth")(kube::Error::SerdeError(unreadable));
        let said = "cannot get Secret cache-auth: the answer cannot be read, from line 1 column 9 on";
        assert_eq!(error.to_string(), said);
    }
}
