//! Facts about one pod, read from its metadata and status.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

use crate::domain::names::{CONTAINER, REVISION_LABEL};

/// The template that a pod was made from, as its controller names it.
#[must_use]
pub fn revision(pod: &Pod) -> Option<&String> {
    pod.metadata.labels.as_ref()?.get(REVISION_LABEL)
}

/// True if the pod passes its readiness probe.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// How long a pod has not been ready, in seconds, according to its condition; `None` while it is ready.
#[must_use]
pub fn unready_seconds(pod: &Pod, now: Timestamp) -> Option<u64> {
    if is_ready(pod) {
        return None;
    }
    let since = condition(pod, "Ready").and_then(|condition| condition.last_transition_time.as_ref());
    Some(since.map_or(0, |since| u64::try_from(now.duration_since(since.0).as_secs()).unwrap_or(0)))
}

/// The status of the Redis container as last reported by the kubelet.
#[must_use]
pub fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|container| container.name == CONTAINER)
}

/// The time since which a scheduled pod waits for its container to be created, for example because a Secret for a
/// volume is missing.
#[must_use]
pub fn waits_since(pod: &Pod) -> Option<Timestamp> {
    let started = pod.status.as_ref()?.start_time.as_ref()?.0;
    let state = container(pod).and_then(|container| container.state.as_ref());
    let waits = match state.map(|state| state.waiting.as_ref()) {
        // The kubelet has not processed the container yet.
        None => true,
        Some(waiting) => waiting.and_then(|waiting| waiting.reason.as_deref()).is_some_and(|reason| {
            ["ContainerCreating", "PodInitializing", "CreateContainerConfigError"].contains(&reason)
        }),
    };
    (waits && pod.metadata.deletion_timestamp.is_none()).then_some(started)
}

/// True if Redis repeatedly exits and the kubelet delays its restart (`CrashLoopBackOff`).
#[must_use]
pub fn is_crash_looping(pod: &Pod) -> bool {
    let waiting = container(pod).and_then(|container| container.state.as_ref()?.waiting.as_ref());
    waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff"))
}

pub(super) fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_pod_waits_until_its_container_is_created() {
        let waits = |state: Value, start: Value, deleted: Value| {
            let containers = json!([{"name": "redis", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
            let pod = json!({"metadata": {"name": "cache-0", "deletionTimestamp": deleted}, "status": {"startTime": start,
                "containerStatuses": if state.is_null() { json!([]) } else { containers }}});
            waits_since(&serde_json::from_value(pod).unwrap()).is_some()
        };
        let at = || json!("2026-11-24T10:00:00Z");
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        assert!(waits(waiting("ContainerCreating"), at(), json!(null)));
        assert!(waits(waiting("CreateContainerConfigError"), at(), json!(null)));
        assert!(waits(json!(null), at(), json!(null)), "not looked at by the kubelet");
        assert!(!waits(json!(null), json!(null), json!(null)), "on no node");
        assert!(!waits(waiting("ContainerCreating"), at(), at()), "on its way out");
        for running in [waiting("CrashLoopBackOff"), waiting("ImagePullBackOff"), json!({"running": {}})] {
            assert!(!waits(running, at(), json!(null)));
        }
    }
}
