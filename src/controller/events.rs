//! Events for people, on the instance: what `kubectl describe` shows. An event that cannot be written is logged and
//! never holds up the work.

use kube::{
    Resource,
    runtime::events::{Event, EventType},
};

use super::context::Context;
use crate::api::v1::{Phase, RedisInstance, RedisInstanceStatus};

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
    if let Err(error) = context.recorder.publish(&event, &instance.object_ref(&())).await {
        tracing::warn!(%error, reason = change.reason, "cannot write an event");
    }
}
