//! Events for people, on the instance: what `kubectl describe` shows, each with a reason that `docs/events.md` explains.
//! An event that cannot be written is logged and never holds up the work.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Resource,
    runtime::events::{Event, EventType},
};

use super::context::Context;
use crate::{
    api::{
        self,
        v1::{Phase, RedisInstance, RedisInstanceStatus},
    },
    domain::{
        change::{Change, Class},
        instance::ValidatedInstance,
        reason::{Reason, Urgency},
        redis_conf::hash,
    },
};

/// The longest note of an event, in bytes.
const NOTE_LIMIT: usize = 1024;
/// What stands at the end of a note that was longer.
const CUT: &str = "...";
/// Reasons of a phase that waits, for something that a person may have to mend.
const WAITS: [Reason; 9] = [
    Reason::Unschedulable,
    Reason::SecretNotFound,
    Reason::PasswordUnusable,
    Reason::PrimaryUnreachable,
    Reason::Busy,
    Reason::MaxClientsReached,
    Reason::NotEnoughReplicas,
    Reason::ReadOnly,
    Reason::ReconcileFailing,
];

/// Tells what is about to be done about each change, and why.
pub(super) async fn changing(instance: &ValidatedInstance, changes: &[Change], context: &Context) {
    for change in changes {
        // Told when it is proved.
        if change.class == Class::Live {
            continue;
        }
        publish(change.class.reason(), change.reason.clone(), &reference(instance), context).await;
    }
}

/// Tells that the running servers took a change of the configuration.
pub(super) async fn config_applied(instance: &ValidatedInstance, names: &str, context: &Context) {
    let note = format!("applied live, no restart: {names}");
    publish(Reason::AppliedLive, note, &reference(instance), context).await;
}

/// Tells that a running server held something else than the spec says, and got it back.
pub(super) async fn config_drifted(instance: &ValidatedInstance, names: &str, context: &Context) {
    let note = format!(
        "restored directives for which a running server held another value than spec.config, as after CONFIG SET or a start with the former file: {names}"
    );
    publish(Reason::ConfigDrift, note, &reference(instance), context).await;
}

/// Tells that a pod whose server accepts no connection was deleted.
pub(super) async fn full_pod_restarted(instance: &ValidatedInstance, pod: &str, context: &Context) {
    let note = format!("deleted pod {pod}, whose redis accepts no connection, to start it with a larger maxclients");
    publish(Reason::MaxClientsRestart, note, &reference(instance), context).await;
}

/// Tells that a pod whose Redis could not run is replaced, to start with the corrected spec.
pub(super) async fn pod_replaced(instance: &ValidatedInstance, pod: &str, context: &Context) {
    let note = format!("deleted pod {pod}, whose redis could not run, to start it with the changed spec");
    publish(Reason::PodReplaced, note, &reference(instance), context).await;
}

/// Tells that this pod is given a volume of this StorageClass, and whence its data come.
pub(super) async fn volume_replaced(
    instance: &ValidatedInstance,
    (pod, class, primary): (&str, &str, &str),
    context: &Context,
) {
    let note = format!(
        "deleted the PVC of {pod}: the pod gets a volume of StorageClass {class} and copies the data from primary {primary}"
    );
    publish(Reason::VolumeReplaced, note, &reference(instance), context).await;
}

/// Tells what a person cares about of a new status: that it serves, that it needs somebody, what it waits for, and what
/// became of its configuration, its volumes and its password.
pub(super) async fn status_changed(
    instance: &RedisInstance,
    previous: &RedisInstanceStatus,
    status: &RedisInstanceStatus,
    context: &Context,
) {
    let subject = instance.object_ref(&());
    let state = |status: &RedisInstanceStatus, kind: &str| {
        let condition = status.conditions.iter().find(|condition| condition.type_ == kind)?;
        Some((condition.status.clone(), Reason::of(&condition.reason)?, condition.message.clone()))
    };
    let reason = |status: &RedisInstanceStatus| state(status, "Ready").map(|(_, reason, _)| reason);
    let entered = status.status != previous.status || reason(status) != reason(previous);
    let matters = match status.status {
        Phase::Failed => true,
        Phase::Running => status.status != previous.status,
        _ => reason(status).is_some_and(|reason| WAITS.contains(&reason)),
    };
    if let (true, true, Some((_, reason, message))) = (entered, matters, state(status, "Ready")) {
        publish(reason, message, &subject, context).await;
    }
    for kind in ["ConfigApplied", "StorageResized", "PasswordRotated"] {
        let (before, Some((holds, reason, message))) = (state(previous, kind), state(status, kind)) else { continue };
        let turned = before.is_none_or(|(held, why, _)| held != holds || why != reason);
        // That it holds is told where it came to hold, or was no news.
        if turned && (holds != "True" || matches!(reason, Reason::Resized | Reason::PasswordRotated)) {
            publish(reason, message, &subject, context).await;
        }
    }
}

/// Tells that the role of the primary moved.
pub(super) async fn role_changed(subject: &ObjectReference, reason: Reason, note: String, context: &Context) {
    publish(reason, note, subject, context).await;
}

fn reference(instance: &ValidatedInstance) -> ObjectReference {
    ObjectReference {
        api_version: Some(format!("{}/v1", api::GROUP)),
        kind: Some(api::KIND.to_owned()),
        name: Some(instance.name.clone()),
        namespace: Some(instance.namespace.clone()),
        uid: Some(instance.uid.clone()),
        ..ObjectReference::default()
    }
}

/// A note that the API server takes: a longer one would lose the event.
fn cut(mut note: String) -> String {
    if note.len() > NOTE_LIMIT {
        note.truncate(note.floor_char_boundary(NOTE_LIMIT - CUT.len()));
        note.push_str(CUT);
    }
    note
}

async fn publish(reason: Reason, note: String, subject: &ObjectReference, context: &Context) {
    let type_ = match reason.urgency() {
        Some(Urgency::Normal) => EventType::Normal,
        Some(Urgency::Warning) => EventType::Warning,
        None => return,
    };
    // Events of one reason and action are counted under the first one's words: others must not get lost under them.
    let action = format!("Reconcile-{:.8}", hash(&note));
    let event = Event { type_, reason: reason.to_string(), note: Some(cut(note)), action, secondary: None };
    if let Err(error) = context.recorder.publish(&event, subject).await {
        tracing::warn!(%error, reason = event.reason, "cannot write an event");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_to_what_the_api_server_takes_between_two_characters() {
        for note in ["", "image changed from a to b", &"x".repeat(NOTE_LIMIT), &"\u{1F600}".repeat(NOTE_LIMIT / 4)] {
            assert_eq!(cut(note.to_owned()), note);
        }
        for (text, length) in [("x", 1024), ("é", 1023), ("\u{1F600}", 1023)] {
            let cut = cut(text.repeat(NOTE_LIMIT + 1));
            assert_eq!(cut.len(), length);
            assert!(cut.trim_end_matches(CUT).chars().all(|c| text.starts_with(c)), "{cut}");
        }
    }
}
