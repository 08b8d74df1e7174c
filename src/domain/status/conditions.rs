//! Builds the conditions of the status from the summary and from what was observed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{Subject, bounded, summary::Summary};
use crate::{api::v1::Phase, domain::observed::Aspect};

/// `Ready` always; `Reconciling` and `Stalled` only while true, as kstatus expects; `ConfigApplied` once the servers
/// were queried; `StorageResized` once the volumes had another size than the spec; `PasswordRotated` once the password
/// has changed.
pub(super) fn conditions(
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
    let from_aspect = |kind: &str, aspect: &Aspect| {
        condition(kind, state(aspect.holds), aspect.reason.as_str(), &bounded(&aspect.message))
    };
    let kept = |kind: &str| before(kind).map(|c| condition(kind, &c.status, &c.reason, &c.message));

    let mut conditions = vec![condition("Ready", ready, summary.reason.as_str(), &summary.message)];
    conditions.extend(abnormal.map(|kind| condition(kind, "True", summary.reason.as_str(), &summary.message)));
    let config = subject.observed.config.as_ref();
    let config = config.map(|aspect| from_aspect("ConfigApplied", aspect));
    conditions.extend(config.or_else(|| kept("ConfigApplied")));
    let replication = subject.observed.replication.as_ref();
    conditions.extend(replication.map(|replication| from_aspect("Replicated", &replication.aspect)));
    // A volume that always had the desired size gets no condition.
    let storage = subject.observed.storage.as_ref();
    let storage = storage.filter(|aspect| aspect.holds != Some(true) || before("StorageResized").is_some());
    conditions
        .extend(storage.map_or_else(|| kept("StorageResized"), |aspect| Some(from_aspect("StorageResized", aspect))));
    let password = subject.observed.password.as_ref().map(|aspect| from_aspect("PasswordRotated", aspect));
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
    use crate::{
        api::v1::Phase::{Running, Updating},
        domain::{
            observed::Observed,
            reason::Reason,
            status::{
                Finding,
                fixtures::{after, aspect, beside, seen, shown},
            },
        },
    };

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
}
