//! Determines phase, reason and message of the status.

use super::{Finding, Subject};
use crate::{
    api::v1::{Phase, RedisInstanceStatus},
    domain::{
        field_error::FieldError,
        observed::{Aspect, Observed, Trouble},
        reason::Reason,
    },
};

/// Reasons of problems that do not affect clients: they are reported beside the phase and do not change it.
const HINDRANCES: [Reason; 5] =
    [Reason::NotHeld, Reason::QuotaExceeded, Reason::Refused, Reason::ResizeUnsupported, Reason::StorageClassNotFound];

/// Phase, reason and message; the rest of the status follows from these.
pub(super) struct Summary {
    pub(super) phase: Phase,
    pub(super) reason: Reason,
    pub(super) message: String,
}

pub(super) fn summarise(subject: Subject<'_>, finding: &Finding, previous: &RedisInstanceStatus) -> Summary {
    let summary = |phase, reason, message: String| Summary { phase, reason, message };
    match finding {
        Finding::Deleting => {
            summary(Phase::Terminated, Reason::Deleting, "being deleted; waiting for the children to go".to_owned())
        }
        Finding::Invalid(errors) => summary(Phase::Failed, Reason::InvalidSpec, invalid_message(errors)),
        Finding::Stalled(reason, message) => summary(Phase::Failed, *reason, message.clone()),
        Finding::Waiting(reason, message) => summary(Phase::Pending, *reason, message.clone()),
        Finding::Changing(reason, message) => summary(Phase::Updating, *reason, message.clone()),
        Finding::Applied(_) => applied(subject, subject.observed, previous),
    }
}

/// The summary when all children equal their desired state, from the state of the pods.
fn applied(subject: Subject<'_>, observed: &Observed, previous: &RedisInstanceStatus) -> Summary {
    let summary = |phase, reason, message: String| Summary { phase, reason, message };
    let wanted = subject.instance.map_or(1, |instance| instance.replicas);
    let Some(rollout) = &observed.rollout else {
        // A StatefulSet that was replaced, with or without its pods, is not a new instance.
        let phase = if previous.status == Phase::Updating { Phase::Updating } else { Phase::Creating };
        let message = "waiting for the StatefulSet controller to see the StatefulSet".to_owned();
        return summary(phase, Reason::Creating, message);
    };
    let waiting = |trouble: &Trouble| format!("waiting for pod {}", trouble.message);
    let roles = observed.replication.as_ref().map(|replication| &replication.aspect).filter(|a| a.holds == Some(false));
    if let Some(stuck) = roles.filter(|aspect| aspect.reason == Reason::NoSafePrimary) {
        return summary(Phase::Failed, stuck.reason, stuck.message.clone());
    }
    let troubles = || [observed.trouble.as_ref(), observed.writes.as_deref()].into_iter().flatten();
    if let Some(trouble) = troubles().find(|trouble| trouble.stalled) {
        return summary(Phase::Failed, trouble.reason, waiting(trouble));
    }
    let soft = troubles().next();
    if !rollout.complete {
        let progress = format!("{} of {wanted} pods updated", rollout.updated.min(wanted));
        let cause = rollout.cause.as_deref().unwrap_or("the pods are being brought to the new spec");
        let message =
            soft.map_or_else(|| format!("{cause}: {progress}"), |trouble| format!("{cause}: {}", waiting(trouble)));
        return summary(Phase::Updating, Reason::RollingOut, message);
    }
    // A migration restarts its pods by design, so its progress is more informative than their number.
    if let Some(moving) = observed.storage.as_ref().filter(|storage| storage.reason == Reason::Migrating) {
        let waits = soft.map(|trouble| format!("; {}", waiting(trouble))).unwrap_or_default();
        return summary(Phase::Updating, moving.reason, format!("{}{waits}", moving.message));
    }
    if rollout.ready < wanted || rollout.replicas != wanted {
        // A change is complete when its pods serve. A template that was reverted shows no difference in revisions while
        // its pods start, load data or wait for a node.
        if previous.status == Phase::Updating && previous.observed_generation == subject.generation {
            let cause = rollout.cause.as_deref().unwrap_or("the pods are being brought to the new spec");
            let rest = soft.map_or_else(|| format!("{} of {wanted} ready", rollout.ready), waiting);
            return summary(Phase::Updating, Reason::RollingOut, format!("{cause}: {rest}"));
        }
        let message = soft.map_or_else(|| format!("waiting for pods: {} of {wanted} ready", rollout.ready), waiting);
        return summary(Phase::Pending, soft.map_or(Reason::PodsNotReady, |trouble| trouble.reason), message);
    }
    if let Some(refused) = observed.writes.as_ref().filter(|writes| writes.reason != Reason::Unreachable) {
        return summary(Phase::Pending, refused.reason, refused.message.clone());
    }
    if let Some(aspect) = roles {
        let changing = previous.status == Phase::Updating && previous.observed_generation == subject.generation;
        let phase = if changing { Phase::Updating } else { Phase::Pending };
        return summary(phase, aspect.reason, aspect.message.clone());
    }
    let unfinished = |aspect: &&Aspect| aspect.holds == Some(false) && !HINDRANCES.contains(&aspect.reason);
    if let Some(aspect) = [&observed.config, &observed.storage].into_iter().flatten().find(unfinished) {
        return summary(Phase::Updating, aspect.reason, aspect.message.clone());
    }
    // A server that the operator cannot query counts as serving if its kubelet reports it ready.
    let unknown = observed.writes.as_ref().map(|writes| format!("; {}", writes.message)).unwrap_or_default();
    summary(Phase::Running, Reason::Ready, format!("{wanted} of {wanted} pods serve{unknown}"))
}

/// Field paths and rules only: the value may be a secret in the wrong field.
fn invalid_message(errors: &[FieldError]) -> String {
    let list: Vec<String> = errors.iter().take(20).map(|error| format!("{}: {}", error.field, error.detail)).collect();
    format!("the spec is invalid and was not applied; edit it: {}", list.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::v1::Phase::{Pending, Running, Updating},
        domain::{
            observed::Replication,
            status::fixtures::{after, aspect, seen, shown},
            writes::Refusal,
        },
    };

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
    fn several_pods_serve_when_one_takes_the_writes_and_the_others_have_its_data() {
        let with = |reason, primary: Option<&str>| {
            let Finding::Applied(seen) = seen(1, 1, true) else { unreachable!() };
            let aspect = aspect(Some(reason == Reason::InSync), reason, "why");
            let replication = Some(Replication { primary: primary.map(str::to_owned), aspect });
            after(&[Finding::Applied(Observed { replication, ..seen })])
        };
        for (reason, primary, phase) in [
            (Reason::InSync, Some("cache-1"), Running),
            (Reason::Synchronising, Some("cache-1"), Pending),
            (Reason::PrimaryMissing, None, Pending),
            (Reason::NoSafePrimary, None, Phase::Failed),
        ] {
            let status = with(reason, primary);
            assert_eq!((status.status, status.primary.as_deref()), (phase, primary), "{reason}");
            assert!(shown(&status).iter().any(|(kind, ..)| *kind == "Replicated"));
        }
    }

    #[test]
    fn volumes_that_move_are_told_whatever_their_pods_do_and_nothing_else_is_hidden_by_it() {
        let moving = aspect(Some(false), Reason::Migrating, "moved 1 of 3 volumes");
        let told = |ready, complete, trouble: Option<Trouble>| {
            let Finding::Applied(seen) = seen(1, ready, complete) else { unreachable!() };
            let status = after(&[Finding::Applied(Observed { storage: Some(moving.clone()), trouble, ..seen })]);
            (status.status, status.conditions[0].reason.clone(), status.last_condition_message.unwrap())
        };
        let trouble =
            |stalled| Some(Trouble { reason: Reason::VolumePending, stalled, message: "cache-0: why".to_owned() });
        let moved = |words: &str| (Updating, "Migrating".to_owned(), words.to_owned());
        assert_eq!(told(1, true, None), moved("moved 1 of 3 volumes"));
        assert_eq!(told(0, true, trouble(false)), moved("moved 1 of 3 volumes; waiting for pod cache-0: why"));
        assert_eq!(told(0, true, trouble(true)).0, Phase::Failed);
        assert_eq!(told(1, false, None).1, "RollingOut", "which comes to its end first");
        let Finding::Applied(seen) = seen(1, 1, true) else { unreachable!() };
        let status = after(&[Finding::Applied(Observed { storage: Some(moving), ..seen })]);
        assert_eq!(shown(&status)[0], ("Ready", "False", "Migrating"));
    }

    #[test]
    fn a_pod_that_cannot_start_by_itself_has_failed_and_one_that_may_is_waited_for() {
        let troubled = |reason, stalled, complete| {
            let Finding::Applied(seen) = seen(1, 0, complete) else { unreachable!() };
            let trouble = Some(Trouble { reason, stalled, message: "cache-0: why".to_owned() });
            let status = after(&[Finding::Applied(Observed { trouble, ..seen })]);
            (status.status, status.conditions[0].reason.clone())
        };
        assert_eq!(troubled(Reason::ImagePullFailed, true, false), (Phase::Failed, "ImagePullFailed".to_owned()));
        assert_eq!(troubled(Reason::Unschedulable, false, true), (Pending, "Unschedulable".to_owned()));
        assert_eq!(troubled(Reason::Unschedulable, false, false), (Updating, "RollingOut".to_owned()));
    }

    #[test]
    fn an_instance_whose_primary_refuses_writes_is_not_ready_whatever_else_holds() {
        let with = |refusal: Refusal, ready: i32, complete: bool, config: Option<Aspect>| {
            let Finding::Applied(seen) = seen(1, ready, complete) else { unreachable!() };
            let writes = Some(Box::new(refusal.trouble("cache-0")));
            let status = after(&[Finding::Applied(Observed { writes, config, ..seen })]);
            let ready = status.conditions[0].clone();
            (status.status, ready.status, ready.reason, status.last_condition_message.unwrap())
        };
        let full = || Some(aspect(None, Reason::MaxClientsReached, "cannot be asked"));
        for (refusal, ready, complete, config, phase, reason) in [
            (Refusal::Busy, 1, true, None, Pending, "Busy"),
            (Refusal::Busy, 0, true, None, Pending, "Busy"),
            (Refusal::NoReplicas { good: 0, wanted: 1 }, 1, true, None, Pending, "NotEnoughReplicas"),
            (Refusal::Full, 1, true, full(), Pending, "MaxClientsReached"),
            (Refusal::Full, 1, false, None, Updating, "RollingOut"),
            (Refusal::Snapshot, 1, true, None, Phase::Failed, "PersistenceFailing"),
        ] {
            let (told, state, why, message) = with(refusal.clone(), ready, complete, config);
            assert_eq!((told, state.as_str(), why.as_str()), (phase, "False", reason), "{refusal:?}");
            assert!(message.contains(&refusal.trouble("cache-0").message), "{message}");
            assert!(!message.contains("cannot be asked"), "told twice: {message}");
        }
        let (phase, state, _, message) = with(Refusal::Unreachable("no route".to_owned()), 1, true, None);
        assert_eq!((phase, state.as_str()), (Running, "True"), "its kubelet says that it serves");
        assert!(message.contains("1 of 1 pods serve; cache-0: ") && message.ends_with("no route"), "{message}");
    }

    #[test]
    fn a_change_stays_one_until_its_pods_serve_whatever_they_wait_for() {
        let Finding::Applied(reading) = seen(1, 0, true) else { unreachable!() };
        let trouble = Trouble { reason: Reason::Loading, stalled: false, message: "cache-0: reads".to_owned() };
        let reading = Finding::Applied(Observed { trouble: Some(trouble), ..reading });
        let phases = |first: Finding| {
            let status = after(&[first, reading.clone(), seen(1, 1, true)]);
            status.history.iter().map(|change| change.phase).collect::<Vec<_>>()
        };
        assert_eq!(phases(seen(1, 1, false)), [Updating, Running]);
        assert_eq!(phases(seen(1, 1, true)), [Running, Pending, Running]);
    }
}
