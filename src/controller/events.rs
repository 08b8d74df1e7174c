//! Events for people, on the instance: what `kubectl describe` shows. An event that cannot be written is logged and
//! never holds up the work.

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
    domain::instance::ValidatedInstance,
};

/// Tells that an instance began to serve, or needs a person.
pub(super) async fn phase_changed(instance: &RedisInstance, status: &RedisInstanceStatus, context: &Context) {
    let type_ = match status.status {
        Phase::Failed => EventType::Warning,
        Phase::Running => EventType::Normal,
        _ => return,
    };
    let Some(change) = status.history.last() else { return };
    let event = Event {
        type_,
        reason: change.reason.clone(),
        note: Some(change.message.clone()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    publish(&event, &instance.object_ref(&()), context).await;
}

/// Tells that the Secret holds another password than the one that Redis started with, and why.
pub(super) async fn password_changed(instance: &ValidatedInstance, why: &str, context: &Context) {
    let (secret, name) = (instance.auth_secret(), &instance.name);
    let note = format!(
        "Secret {secret} {why}; Redis takes the new password when its pods next start: \
         kubectl rollout restart statefulset/{name}"
    );
    let event = Event {
        type_: EventType::Warning,
        reason: "PasswordChanged".to_owned(),
        note: Some(note),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let reference = ObjectReference {
        api_version: Some(format!("{}/v1", api::GROUP)),
        kind: Some(api::KIND.to_owned()),
        name: Some(instance.name.clone()),
        namespace: Some(instance.namespace.clone()),
        uid: Some(instance.uid.clone()),
        ..ObjectReference::default()
    };
    publish(&event, &reference, context).await;
}

async fn publish(event: &Event, subject: &ObjectReference, context: &Context) {
    if let Err(error) = context.recorder.publish(event, subject).await {
        tracing::warn!(%error, reason = event.reason, "cannot write an event");
    }
}
