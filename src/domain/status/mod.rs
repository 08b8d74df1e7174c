//! Derives the status of an instance from the outcome of one reconcile. Pure; the previous status only provides transition
//! times and the history of phases.

mod conditions;
mod summary;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::{conditions::conditions, summary::summarise};
use crate::{
    api::v1::{Phase, PhaseChange, RedisInstanceStatus},
    domain::{
        downgrade, field_error::FieldError, instance::ValidatedInstance, names, observed::Observed, reason::Reason,
    },
};

/// Maximum number of phase changes in the history.
const HISTORY_LIMIT: usize = 10;
/// The longest message, in characters; an event takes 1 KiB.
const MESSAGE_LIMIT: usize = 1000;

/// The outcome of one reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The instance is being deleted; its children are going.
    Deleting,
    /// The stored spec breaks a rule; nothing was touched.
    Invalid(Vec<FieldError>),
    /// A problem that needs user action, with a message.
    Stalled(Reason, String),
    /// An external condition that the instance waits for, with a message.
    Waiting(Reason, String),
    /// A change of several steps is in progress, with a message.
    Changing(Reason, String),
    /// The children are as the spec wants them; what their pods do.
    Applied(Observed),
}

/// The object the status belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The generation of the reconciled spec.
    pub generation: Option<i64>,
    /// The checked instance; `None` when it is invalid or being deleted.
    pub instance: Option<&'a ValidatedInstance>,
    /// The observed state of the pods, also if nothing could be applied.
    pub observed: &'a Observed,
}

/// Derives the status. Times move only when something changed: with the same finding the result equals `previous`.
#[must_use]
pub fn derive(
    previous: &RedisInstanceStatus,
    subject: Subject<'_>,
    finding: &Finding,
    now: &Time,
) -> RedisInstanceStatus {
    let mut summary = summarise(subject, finding, previous);
    summary.message = bounded(&summary.message);
    // Volume expansion under a running server does not affect its clients.
    let growing = summary.phase == Phase::Updating
        && summary.reason != Reason::Migrating
        && subject.observed.storage.as_ref().is_some_and(|s| s.reason == summary.reason);
    let ready = if summary.phase == Phase::Running || growing { "True" } else { "False" };
    let mut status = RedisInstanceStatus {
        status: summary.phase,
        ready: Some(ready.to_owned()),
        last_condition_message: Some(summary.message.clone()),
        observed_generation: subject.generation,
        ..previous.clone()
    };
    describe_pods(&mut status, subject);
    status.conditions = conditions(&previous.conditions, &summary, ready, subject, now);
    let replication = subject.observed.replication.as_ref().map(|replication| &replication.aspect);
    let Observed { config, storage, password, .. } = subject.observed;
    let beside = [config.as_ref(), storage.as_ref(), password.as_deref(), replication];
    for aspect in beside.into_iter().flatten() {
        let is_in_summary = aspect.reason == summary.reason
            || subject.observed.writes.as_ref().is_some_and(|w| w.reason == aspect.reason);
        if aspect.holds != Some(true) && !is_in_summary {
            let message = status.last_condition_message.unwrap_or_default();
            status.last_condition_message = Some(bounded(&format!("{message}; {}", aspect.message)));
        }
    }
    if previous.status != summary.phase {
        let time = now.clone();
        status.history.push(PhaseChange {
            phase: summary.phase,
            reason: summary.reason.to_string(),
            message: summary.message,
            time,
        });
        let surplus = status.history.len().saturating_sub(HISTORY_LIMIT);
        status.history.drain(..surplus);
    }
    status
}

fn describe_pods(status: &mut RedisInstanceStatus, subject: Subject<'_>) {
    let rollout = subject.observed.rollout.clone().unwrap_or_default();
    status.replicas = Some(rollout.replicas);
    status.ready_replicas = Some(rollout.ready);
    let Some(instance) = subject.instance else { return };
    status.ready_pods = Some(format!("{}/{}", rollout.ready, instance.replicas));
    status.primary = match &subject.observed.replication {
        Some(replication) => replication.primary.clone(),
        // With several pods, the StatefulSet does not show which one takes writes.
        None => (rollout.ready > 0 && instance.replicas == 1).then(|| names::pod(&instance.name, 0)),
    };
    // The version that wrote the data last. An image that never served has written nothing, and admission allows
    // reverting to the former one.
    if status.status == Phase::Running {
        status.version = instance.version().map(str::to_owned);
        status.data_version = downgrade::data_version(&instance.image).or_else(|| status.data_version.take());
    }
    let selector = names::selector_labels(&instance.name);
    status.selector = Some(selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","));
}

/// An external message may be long and span several lines; the schema and the events limit its length.
fn bounded(message: &str) -> String {
    let line = message.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(MESSAGE_LIMIT).collect()
}

#[cfg(test)]
mod fixtures;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::v1::Phase::{Creating, Pending, Running, Terminated, Updating},
        domain::{
            instance::tests::validated,
            status::fixtures::{after, at, creating, seen},
        },
    };

    #[test]
    fn a_life_passes_through_the_phases() {
        let life =
            [creating(), seen(0, 0, true), seen(1, 1, true), seen(1, 1, false), seen(1, 1, true), Finding::Deleting];
        let status = after(&life);
        let phases: Vec<Phase> = status.history.iter().map(|change| change.phase).collect();
        assert_eq!(phases, [Creating, Pending, Running, Updating, Running, Terminated]);
        assert_eq!(status.observed_generation, Some(1));
    }

    #[test]
    fn running_is_ready_with_what_a_person_looks_for() {
        let status = after(&[creating(), seen(1, 1, true)]);
        assert_eq!((status.ready.as_deref(), status.ready_pods.as_deref()), (Some("True"), Some("1/1")));
        assert_eq!((status.primary.as_deref(), status.version.as_deref()), (Some("cache-0"), Some("7.2.5")));
        let kinds: Vec<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
        assert_eq!(kinds, ["Ready"]);
    }

    #[test]
    fn the_version_is_that_of_the_image_that_served_last() {
        assert_eq!(after(&[creating(), seen(1, 0, true)]).version, None);
        let instance = validated(json!({"image": "redis:7.4.1"}));
        let mut status = after(&[seen(1, 1, true)]);
        for (finding, version) in [
            (Finding::Changing(Reason::RollingOut, "image changed".to_owned()), "7.2.5"),
            (seen(1, 0, false), "7.2.5"),
            (seen(1, 1, true), "7.4.1"),
        ] {
            let observed =
                if let Finding::Applied(observed) = &finding { observed.clone() } else { Observed::default() };
            let subject = Subject { generation: Some(2), instance: Some(&instance), observed: &observed };
            status = derive(&status, subject, &finding, &at(9));
            assert_eq!(status.version.as_deref(), Some(version), "{finding:?}");
        }
    }

    #[test]
    fn the_same_finding_changes_nothing_and_times_move_only_with_the_status() {
        let twice = after(&[creating(), seen(1, 0, true), seen(1, 0, true)]);
        assert_eq!(twice, after(&[creating(), seen(1, 0, true)]));
        let condition = &twice.conditions[0];
        assert_eq!((condition.status.as_str(), &condition.last_transition_time), ("False", &at(1)));
    }

    #[test]
    fn a_long_message_of_several_lines_becomes_one_short_one() {
        let status = after(&[Finding::Stalled(Reason::Rejected, "a\nb".repeat(2000))]);
        let message = status.last_condition_message.unwrap();
        assert!(message.len() <= MESSAGE_LIMIT && !message.contains('\n'));
        assert!(status.conditions.iter().all(|condition| condition.message == message));
    }

    #[test]
    fn history_keeps_the_last_ten() {
        let findings: Vec<Finding> = (0..24).map(|n| seen(1, n % 2, true)).collect();
        assert_eq!(after(&findings).history.len(), HISTORY_LIMIT);
    }
}
