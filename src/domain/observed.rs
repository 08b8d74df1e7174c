//! What is seen of a running instance, reduced to what its status needs. Pure: takes objects, makes no calls.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ContainerStateWaiting, ContainerStatus, Pod},
};

use super::names::DATA_VOLUME;

/// Label by which a StatefulSet's controller marks the revision a pod was made from.
const REVISION_LABEL: &str = "controller-revision-hash";

/// The pods of an instance as its StatefulSet and they themselves tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// `None` while the StatefulSet does not exist or its controller has not looked at it yet.
    pub rollout: Option<Rollout>,
    /// Why the first pod that does not serve does not, as far as it is known: `cache-0: image cannot be pulled: ...`.
    pub trouble: Option<String>,
    /// What keeps the volumes from being as the spec wants them: a reason of one CamelCase word, and a sentence.
    pub hindrance: Option<(&'static str, String)>,
}

/// What the StatefulSet's controller reports; counts are pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Pods that exist.
    pub replicas: i32,
    /// Pods that pass their readiness probe.
    pub ready: i32,
    /// Whether the template's newest revision has reached every pod.
    pub complete: bool,
}

/// Reads the StatefulSet and its pods.
#[must_use]
pub fn observe(stateful_set: Option<&StatefulSet>, pods: &[&Pod]) -> Observed {
    Observed {
        rollout: stateful_set.and_then(|set| rollout(set, pods)),
        trouble: pods.iter().find_map(|pod| trouble(pod)),
        hindrance: None,
    }
}

fn rollout(stateful_set: &StatefulSet, pods: &[&Pod]) -> Option<Rollout> {
    let status = stateful_set.status.as_ref()?;
    let current = status.observed_generation? >= stateful_set.metadata.generation.unwrap_or(0);
    let wanted = stateful_set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or(0) >= wanted;
    // The controller counts no pod as updated while the very first revision is coming up, so equal revisions are complete.
    // A set that was replaced under its pods also begins with equal revisions, while its pods are of an older one.
    let outdated = pods.iter().any(|pod| {
        let revision = pod.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION_LABEL));
        revision.is_some() && revision != status.update_revision.as_ref()
    });
    let complete = current && !outdated && (status.current_revision == status.update_revision || updated);
    Some(Rollout { replicas: status.replicas, ready: status.ready_replicas.unwrap_or(0), complete })
}

/// Why a pod does not serve, in words for a person; `None` when it serves or nothing is known yet.
fn trouble(pod: &Pod) -> Option<String> {
    let name = pod.metadata.name.as_deref()?;
    let status = pod.status.as_ref()?;
    let condition = |kind: &str| status.conditions.iter().flatten().find(|c| c.type_ == kind);
    if condition("Ready").is_some_and(|c| c.status == "True") {
        return None;
    }
    if let Some(unscheduled) = condition("PodScheduled").filter(|c| c.status == "False") {
        let message = one_line(unscheduled.message.as_deref());
        // The scheduler's word for the first moments of every new volume.
        if message.contains("unbound immediate PersistentVolumeClaims") {
            return Some(format!("{name}: its volume is not there yet (PersistentVolumeClaim {DATA_VOLUME}-{name})"));
        }
        return Some(format!("{name}: cannot be scheduled: {message}"));
    }
    let container = status.container_statuses.iter().flatten().find_map(container_trouble);
    container.map(|why| format!("{name}: {why}"))
}

fn container_trouble(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let message = one_line(waiting.message.as_deref());
    match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            Some(format!("image cannot be pulled: {message}"))
        }
        "CrashLoopBackOff" => Some(format!("redis ends again and again: {}", last_words(container, waiting))),
        "ContainerCreating" | "PodInitializing" => None,
        reason => Some(format!("{reason}: {message}")),
    }
}

/// What the container last wrote as it ended: for a refused redis.conf that is Redis' own line about it.
fn last_words(container: &ContainerStatus, waiting: &ContainerStateWaiting) -> String {
    let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let said = ended.and_then(|ended| ended.message.as_deref()).and_then(|text| text.trim().lines().last());
    match (said, ended) {
        (_, Some(ended)) if ended.reason.as_deref() == Some("OOMKilled") => {
            "killed for using more than its memory limit".to_owned()
        }
        (Some(said), _) => one_line(Some(said)),
        (None, Some(ended)) => format!("exit code {}", ended.exit_code),
        (None, None) => one_line(waiting.message.as_deref()),
    }
}

/// Text from outside as one printable line of at most 300 characters.
fn one_line(text: Option<&str>) -> String {
    let clean = text.unwrap_or("no reason given").chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(300).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "cache-0"}, "status": status})).unwrap()
    }

    #[test]
    fn the_first_pod_that_does_not_serve_says_why() {
        let serving = pod(json!({"conditions": [{"type": "Ready", "status": "True"}]}));
        let waiting = |reason: &str| {
            pod(
                json!({"containerStatuses": [{"name": "redis", "image": "", "imageID": "", "ready": false, "restartCount": 2,
                "state": {"waiting": {"reason": reason, "message": "no\nsuch tag"}},
                "lastState": {"terminated": {"exitCode": 1, "message": "*** FATAL ***\n>>> 'maxmemroy 1'\nBad directive\n"}}}]}),
            )
        };
        let trouble = |pods: &[&Pod]| observe(None, pods).trouble;
        assert_eq!(trouble(&[&serving]), None);
        assert_eq!(
            trouble(&[&serving, &waiting("ErrImagePull")]).unwrap(),
            "cache-0: image cannot be pulled: no such tag"
        );
        assert_eq!(
            trouble(&[&waiting("CrashLoopBackOff")]).unwrap(),
            "cache-0: redis ends again and again: Bad directive"
        );
        assert_eq!(trouble(&[&waiting("ContainerCreating")]), None);
    }

    #[test]
    fn a_set_that_was_replaced_under_its_pods_is_not_complete_before_they_are_of_its_revision() {
        let set = json!({"metadata": {"generation": 1}, "spec": {"replicas": 1, "selector": {}, "template": {}},
            "status": {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "currentRevision": "b", "updateRevision": "b"}});
        let set: StatefulSet = serde_json::from_value(set).unwrap();
        let pod = |revision: &str| -> Pod {
            serde_json::from_value(
                json!({"metadata": {"name": "cache-0", "labels": {"controller-revision-hash": revision}}}),
            )
            .unwrap()
        };
        assert!(!observe(Some(&set), &[&pod("a")]).rollout.unwrap().complete);
        assert!(observe(Some(&set), &[&pod("b")]).rollout.unwrap().complete);
    }

    #[test]
    fn a_rollout_is_complete_when_the_newest_revision_is_everywhere() {
        let rollout = |generation: i64, status: Value| {
            let set = json!({"metadata": {"generation": generation}, "spec": {"replicas": 1, "selector": {}, "template": {}}, "status": status});
            observe(Some(&serde_json::from_value(set).unwrap()), &[]).rollout
        };
        assert_eq!(rollout(1, json!({"replicas": 0})), None);
        let seen = json!({"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "currentRevision": "a", "updateRevision": "a"});
        assert_eq!(rollout(1, seen.clone()).unwrap(), Rollout { replicas: 1, ready: 1, complete: true });
        assert!(!rollout(2, seen).unwrap().complete);
        let rolling = json!({"observedGeneration": 2, "replicas": 1, "currentRevision": "a", "updateRevision": "b"});
        assert!(!rollout(2, rolling).unwrap().complete);
    }
}
