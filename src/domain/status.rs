//! The status of an instance, derived from what one reconcile found: the phase, the conditions, the one sentence.
//! One pure function; the previous status only keeps its times and its history.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{field_error::FieldError, instance::ValidatedInstance, names, observed::Observed};
use crate::api::v1::{Phase, PhaseChange, RedisInstanceStatus};

/// How many changes of phase are kept.
const HISTORY_LIMIT: usize = 10;
/// The longest message, in characters; an event takes 1 KiB.
const MESSAGE_LIMIT: usize = 1000;

/// What one reconcile ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The instance is being deleted; its children are going.
    Deleting,
    /// The stored spec breaks a rule; nothing was touched.
    Invalid(Vec<FieldError>),
    /// Something that only a person can mend: a reason of one CamelCase word, and a sentence.
    Stalled(&'static str, String),
    /// Something outside that the instance waits for: a reason of one CamelCase word, and a sentence.
    Waiting(&'static str, String),
    /// A change that takes several steps is under way: a reason of one CamelCase word, and a sentence.
    Changing(&'static str, String),
    /// The children are as the spec wants them; what their pods do.
    Applied(Observed),
}

/// The object the status belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The generation of the spec that was judged.
    pub generation: Option<i64>,
    /// The checked instance; `None` when it is invalid or being deleted.
    pub instance: Option<&'a ValidatedInstance>,
    /// What the pods do, also when nothing could be applied.
    pub observed: &'a Observed,
}

/// Phase, reason and sentence: all else follows from these.
struct Summary {
    phase: Phase,
    reason: &'static str,
    message: String,
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
    let ready = if summary.phase == Phase::Running { "True" } else { "False" };
    let mut status = RedisInstanceStatus {
        status: summary.phase,
        ready: Some(ready.to_owned()),
        last_condition_message: Some(summary.message.clone()),
        observed_generation: subject.generation,
        ..previous.clone()
    };
    describe_pods(&mut status, subject);
    status.conditions = conditions(&previous.conditions, &summary, ready, subject, now);
    if let Some((_, message)) = &subject.observed.hindrance {
        status.last_condition_message = Some(bounded(&format!("{}; {message}", summary.message)));
    }
    if previous.status != summary.phase {
        let time = now.clone();
        status.history.push(PhaseChange {
            phase: summary.phase,
            reason: summary.reason.to_owned(),
            message: summary.message,
            time,
        });
        let surplus = status.history.len().saturating_sub(HISTORY_LIMIT);
        status.history.drain(..surplus);
    }
    status
}

fn summarise(subject: Subject<'_>, finding: &Finding, previous: &RedisInstanceStatus) -> Summary {
    let summary = |phase, reason, message: String| Summary { phase, reason, message };
    match finding {
        Finding::Deleting => {
            summary(Phase::Terminated, "Deleting", "being deleted; waiting for the children to go".to_owned())
        }
        Finding::Invalid(errors) => summary(Phase::Failed, "InvalidSpec", invalid_message(errors)),
        Finding::Stalled(reason, message) => summary(Phase::Failed, reason, message.clone()),
        Finding::Waiting(reason, message) => summary(Phase::Pending, reason, message.clone()),
        Finding::Changing(reason, message) => summary(Phase::Updating, reason, message.clone()),
        Finding::Applied(observed) => {
            let wanted = subject.instance.map_or(1, |instance| instance.replicas);
            let Some(rollout) = observed.rollout else {
                // A StatefulSet that was replaced under running pods is no new instance.
                let phase = if previous.status == Phase::Updating { Phase::Updating } else { Phase::Creating };
                return summary(
                    phase,
                    "Creating",
                    "waiting for the StatefulSet controller to see the StatefulSet".to_owned(),
                );
            };
            let trouble = observed.trouble.as_deref().map(|why| format!("waiting for pod {why}"));
            if !rollout.complete {
                let message = trouble.unwrap_or_else(|| "the pods are being brought to the new spec".to_owned());
                return summary(Phase::Updating, "RollingOut", message);
            }
            if rollout.ready < wanted || rollout.replicas != wanted {
                let message =
                    trouble.unwrap_or_else(|| format!("waiting for pods: {} of {wanted} ready", rollout.ready));
                return summary(Phase::Pending, "PodsNotReady", message);
            }
            summary(Phase::Running, "Ready", format!("{wanted} of {wanted} pods serve"))
        }
    }
}

/// A message from outside may be long and of several lines; the schema and the events bound what is told.
fn bounded(message: &str) -> String {
    let line = message.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(MESSAGE_LIMIT).collect()
}

/// Field paths and rules only: what the user typed may be a secret put into the wrong field.
fn invalid_message(errors: &[FieldError]) -> String {
    let list: Vec<String> = errors.iter().take(20).map(|error| format!("{}: {}", error.field, error.detail)).collect();
    format!("the spec is invalid and was not applied; edit it: {}", list.join("; "))
}

fn describe_pods(status: &mut RedisInstanceStatus, subject: Subject<'_>) {
    let rollout = subject.observed.rollout.unwrap_or_default();
    status.replicas = Some(rollout.replicas);
    status.ready_replicas = Some(rollout.ready);
    let Some(instance) = subject.instance else { return };
    status.ready_pods = Some(format!("{}/{}", rollout.ready, instance.replicas));
    status.primary = (rollout.ready > 0).then(|| names::pod(&instance.name, 0));
    status.version = instance.version().map(str::to_owned);
    let selector = names::selector_labels(&instance.name);
    status.selector = Some(selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","));
}

/// `Ready` always; `Reconciling` and `Stalled` only while true, as kstatus reads them; `StorageResized` while the volumes
/// cannot be what the spec wants, which keeps nobody from being served.
fn conditions(
    previous: &[Condition],
    summary: &Summary,
    ready: &str,
    subject: Subject<'_>,
    now: &Time,
) -> Vec<Condition> {
    let abnormal = match summary.phase {
        Phase::Failed => Some("Stalled"),
        Phase::Running => None,
        _ => Some("Reconciling"),
    };
    let condition = |kind: &str, state: &str, reason: &str, message: &str| {
        let before = previous.iter().find(|condition| condition.type_ == kind && condition.status == state);
        Condition {
            type_: kind.to_owned(),
            status: state.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: subject.generation,
            last_transition_time: before
                .map_or_else(|| now.clone(), |condition| condition.last_transition_time.clone()),
        }
    };
    let mut conditions = vec![condition("Ready", ready, summary.reason, &summary.message)];
    conditions.extend(abnormal.map(|kind| condition(kind, "True", summary.reason, &summary.message)));
    if let Some((reason, message)) = &subject.observed.hindrance {
        conditions.push(condition("StorageResized", "False", reason, &bounded(message)));
    }
    conditions
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::v1::Phase::{Creating, Pending, Running, Terminated, Updating},
        domain::{instance::tests::validated, observed::Rollout},
    };

    fn at(seconds: i64) -> Time {
        Time(jiff::Timestamp::from_second(seconds).unwrap())
    }

    /// The status after a series of findings, one second apart.
    fn after(findings: &[Finding]) -> RedisInstanceStatus {
        let instance = validated(json!({"image": "redis:7.2.5"}));
        findings.iter().zip(1..).fold(RedisInstanceStatus::default(), |previous, (finding, second)| {
            let seen = match finding {
                Finding::Applied(observed) => observed.clone(),
                _ => Observed::default(),
            };
            derive(
                &previous,
                Subject { generation: Some(1), instance: Some(&instance), observed: &seen },
                finding,
                &at(second),
            )
        })
    }

    fn seen(replicas: i32, ready: i32, complete: bool) -> Finding {
        Finding::Applied(Observed { rollout: Some(Rollout { replicas, ready, complete }), ..Observed::default() })
    }

    fn creating() -> Finding {
        Finding::Applied(Observed::default())
    }

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
    fn the_same_finding_changes_nothing_and_times_move_only_with_the_status() {
        let twice = after(&[creating(), seen(1, 0, true), seen(1, 0, true)]);
        assert_eq!(twice, after(&[creating(), seen(1, 0, true)]));
        let condition = &twice.conditions[0];
        assert_eq!((condition.status.as_str(), &condition.last_transition_time), ("False", &at(1)));
    }

    #[test]
    fn an_invalid_spec_is_stalled_and_its_values_are_not_repeated() {
        let error = FieldError::invalid("spec.image", "hunter2", "must be a valid image reference");
        let status = after(&[Finding::Invalid(vec![error])]);
        assert_eq!(status.status, Phase::Failed);
        assert_eq!(status.conditions[1].type_, "Stalled");
        assert_eq!(status.conditions[1].reason, "InvalidSpec");
        assert!(!status.last_condition_message.unwrap().contains("hunter2"));
    }

    #[test]
    fn volumes_that_cannot_grow_are_told_beside_a_server_that_serves() {
        let Finding::Applied(serving) = seen(1, 1, true) else { unreachable!() };
        let hindered =
            Observed { hindrance: Some(("ResizeUnsupported", "the volume cannot grow".to_owned())), ..serving };
        let status = after(&[Finding::Applied(hindered)]);
        assert_eq!((status.status, status.ready.as_deref()), (Running, Some("True")));
        assert_eq!(
            (status.conditions[1].type_.as_str(), status.conditions[1].status.as_str()),
            ("StorageResized", "False")
        );
        assert_eq!(status.last_condition_message.unwrap(), "1 of 1 pods serve; the volume cannot grow");
    }

    #[test]
    fn a_long_message_of_several_lines_becomes_one_short_one() {
        let status = after(&[Finding::Stalled("Rejected", "a\nb".repeat(2000))]);
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
