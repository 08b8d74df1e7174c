//! The status of an instance, derived from what one reconcile found: the phase, the conditions, the one sentence.
//! One pure function; the previous status only keeps its times and its history.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{
    downgrade,
    field_error::FieldError,
    instance::ValidatedInstance,
    names,
    observed::{Aspect, Observed, Trouble},
    reason::Reason,
};
use crate::api::v1::{Phase, PhaseChange, RedisInstanceStatus};

/// How many changes of phase are kept.
const HISTORY_LIMIT: usize = 10;
/// The longest message, in characters; an event takes 1 KiB.
const MESSAGE_LIMIT: usize = 1000;
/// Reasons of what cannot be had and keeps nobody from being served: told beside the phase, which it does not change.
const HINDRANCES: [Reason; 5] =
    [Reason::NotHeld, Reason::QuotaExceeded, Reason::Refused, Reason::ResizeUnsupported, Reason::StorageClassNotFound];

/// What one reconcile ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The instance is being deleted; its children are going.
    Deleting,
    /// The stored spec breaks a rule; nothing was touched.
    Invalid(Vec<FieldError>),
    /// Something that only a person can mend, and a sentence about it.
    Stalled(Reason, String),
    /// Something outside that the instance waits for, and a sentence about it.
    Waiting(Reason, String),
    /// A change that takes several steps is under way, and a sentence about it.
    Changing(Reason, String),
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
    reason: Reason,
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
    // A volume that grows under a server takes nothing from its clients.
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
        let told = aspect.reason == summary.reason
            || subject.observed.writes.as_ref().is_some_and(|w| w.reason == aspect.reason);
        if aspect.holds != Some(true) && !told {
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

fn summarise(subject: Subject<'_>, finding: &Finding, previous: &RedisInstanceStatus) -> Summary {
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

/// What the pods make of children that are as the spec wants them.
fn applied(subject: Subject<'_>, observed: &Observed, previous: &RedisInstanceStatus) -> Summary {
    let summary = |phase, reason, message: String| Summary { phase, reason, message };
    let wanted = subject.instance.map_or(1, |instance| instance.replicas);
    let Some(rollout) = &observed.rollout else {
        // A StatefulSet that was replaced, with or without its pods, is no new instance.
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
    // Its pods come and go by design, so what it is at says more than their number.
    if let Some(moving) = observed.storage.as_ref().filter(|storage| storage.reason == Reason::Migrating) {
        let waits = soft.map(|trouble| format!("; {}", waiting(trouble))).unwrap_or_default();
        return summary(Phase::Updating, moving.reason, format!("{}{waits}", moving.message));
    }
    if rollout.ready < wanted || rollout.replicas != wanted {
        // A change is over when its pods serve: one that went back to a template that was there before shows no difference
        // while its pods start, read their data or wait for a node.
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
    // One that the operator cannot ask serves, as its kubelet tells.
    let unknown = observed.writes.as_ref().map(|writes| format!("; {}", writes.message)).unwrap_or_default();
    summary(Phase::Running, Reason::Ready, format!("{wanted} of {wanted} pods serve{unknown}"))
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
    let rollout = subject.observed.rollout.clone().unwrap_or_default();
    status.replicas = Some(rollout.replicas);
    status.ready_replicas = Some(rollout.ready);
    let Some(instance) = subject.instance else { return };
    status.ready_pods = Some(format!("{}/{}", rollout.ready, instance.replicas));
    status.primary = match &subject.observed.replication {
        Some(replication) => replication.primary.clone(),
        // Of several pods nobody knows who takes the writes.
        None => (rollout.ready > 0 && instance.replicas == 1).then(|| names::pod(&instance.name, 0)),
    };
    // What wrote the data last: an image that never served has not, and admission lets a change to it be taken back.
    if status.status == Phase::Running {
        status.version = instance.version().map(str::to_owned);
        status.data_version = downgrade::data_version(&instance.image).or_else(|| status.data_version.take());
    }
    let selector = names::selector_labels(&instance.name);
    status.selector = Some(selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","));
}

/// `Ready` always; `Reconciling` and `Stalled` only while true, as kstatus reads them; `ConfigApplied` since the servers were
/// first asked; `StorageResized` since the volumes first had another size than the spec wanted; `PasswordRotated` since the
/// password first changed.
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
    let before = |kind: &str| previous.iter().find(|condition| condition.type_ == kind);
    let condition = |kind: &str, state: &str, reason: &str, message: &str| Condition {
        type_: kind.to_owned(),
        status: state.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: subject.generation,
        last_transition_time: before(kind)
            .filter(|condition| condition.status == state)
            .map_or_else(|| now.clone(), |condition| condition.last_transition_time.clone()),
    };
    let told = |kind: &str, aspect: &Aspect| {
        condition(kind, state(aspect.holds), aspect.reason.as_str(), &bounded(&aspect.message))
    };
    let kept = |kind: &str| before(kind).map(|c| condition(kind, &c.status, &c.reason, &c.message));

    let mut conditions = vec![condition("Ready", ready, summary.reason.as_str(), &summary.message)];
    conditions.extend(abnormal.map(|kind| condition(kind, "True", summary.reason.as_str(), &summary.message)));
    let config = subject.observed.config.as_ref();
    let config = config.map(|aspect| told("ConfigApplied", aspect));
    conditions.extend(config.or_else(|| kept("ConfigApplied")));
    let replication = subject.observed.replication.as_ref();
    conditions.extend(replication.map(|replication| told("Replicated", &replication.aspect)));
    // A volume that always had its size needs no word about it.
    let storage = subject.observed.storage.as_ref();
    let storage = storage.filter(|aspect| aspect.holds != Some(true) || before("StorageResized").is_some());
    conditions.extend(storage.map_or_else(|| kept("StorageResized"), |aspect| Some(told("StorageResized", aspect))));
    let password = subject.observed.password.as_ref().map(|aspect| told("PasswordRotated", aspect));
    conditions.extend(password.or_else(|| kept("PasswordRotated")));
    conditions
}

const fn state(holds: Option<bool>) -> &'static str {
    match holds {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::v1::Phase::{Creating, Pending, Running, Terminated, Updating},
        domain::{
            instance::tests::validated,
            observed::{Replication, Rollout},
            writes::Refusal,
        },
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
        let rollout = Rollout { replicas, ready, complete, ..Rollout::default() };
        Finding::Applied(Observed { rollout: Some(rollout), ..Observed::default() })
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

    fn beside(config: Option<Aspect>, storage: Option<Aspect>) -> Finding {
        let Finding::Applied(serving) = seen(1, 1, true) else { unreachable!() };
        Finding::Applied(Observed { config, storage, ..serving })
    }

    fn aspect(holds: Option<bool>, reason: Reason, message: &str) -> Aspect {
        Aspect { holds, reason, message: message.to_owned() }
    }

    fn shown(status: &RedisInstanceStatus) -> Vec<(&str, &str, &str)> {
        status.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect()
    }

    #[test]
    fn a_password_that_changes_takes_nothing_from_the_clients_and_is_told_until_it_has() {
        let changing = |holds, reason| {
            let Finding::Applied(serving) = seen(1, 1, true) else { unreachable!() };
            let password = Some(Box::new(aspect(Some(holds), reason, "both are accepted")));
            Finding::Applied(Observed { password, ..serving })
        };
        let both = || changing(false, Reason::PasswordChanged);
        let status = after(&[both()]);
        assert_eq!(status.status, Running);
        assert_eq!(shown(&status), [("Ready", "True", "Ready"), ("PasswordRotated", "False", "PasswordChanged")]);
        assert_eq!(status.last_condition_message.unwrap(), "1 of 1 pods serve; both are accepted");
        let status = after(&[both(), changing(true, Reason::PasswordRotated), seen(1, 1, true)]);
        assert_eq!(shown(&status), [("Ready", "True", "Ready"), ("PasswordRotated", "True", "PasswordRotated")]);
        assert_eq!(status.last_condition_message.unwrap(), "1 of 1 pods serve");
    }

    #[test]
    fn volumes_that_cannot_grow_are_told_beside_a_server_that_serves() {
        let status =
            after(&[beside(None, Some(aspect(Some(false), Reason::ResizeUnsupported, "the volume cannot grow")))]);
        assert_eq!(status.status, Running);
        assert_eq!(shown(&status), [("Ready", "True", "Ready"), ("StorageResized", "False", "ResizeUnsupported")]);
        assert_eq!(status.last_condition_message.unwrap(), "1 of 1 pods serve; the volume cannot grow");
    }

    #[test]
    fn volumes_that_grow_take_nothing_from_the_clients_and_are_told_when_done() {
        let resized = || beside(None, Some(aspect(Some(true), Reason::Resized, "the volumes have 2Gi")));
        assert_eq!(
            shown(&after(&[resized()])),
            [("Ready", "True", "Ready")],
            "nothing to tell of a volume that never grew"
        );
        let growing = beside(None, Some(aspect(Some(false), Reason::Resizing, "grows")));
        let status = after(&[resized(), growing.clone()]);
        assert_eq!(status.status, Updating);
        assert_eq!(shown(&status)[0], ("Ready", "True", "Resizing"));
        let status = after(&[growing, resized()]);
        assert_eq!((status.status, shown(&status)[1]), (Running, ("StorageResized", "True", "Resized")));
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
    fn a_configuration_that_is_not_everywhere_yet_is_a_change_under_way_and_what_was_proved_is_kept() {
        let applied = beside(Some(aspect(Some(true), Reason::AppliedLive, "applied live: maxmemory")), None);
        let status = after(&[applied.clone(), seen(1, 1, true)]);
        assert_eq!(shown(&status), [("Ready", "True", "Ready"), ("ConfigApplied", "True", "AppliedLive")]);
        assert_eq!(status.conditions[1].message, "applied live: maxmemory");

        let status =
            after(&[applied, beside(Some(aspect(Some(false), Reason::Unreachable, "cannot reach cache-0")), None)]);
        assert_eq!((status.status, status.ready.as_deref()), (Updating, Some("False")));
        let status = after(&[beside(Some(aspect(None, Reason::PasswordDiffers, "cannot be asked")), None)]);
        assert_eq!((status.status, shown(&status)[1].1), (Running, "Unknown"));
        assert_eq!(status.last_condition_message.unwrap(), "1 of 1 pods serve; cannot be asked");
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
