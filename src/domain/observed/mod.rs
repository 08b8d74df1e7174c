//! The observed state of a running instance, reduced to what its status needs. Pure: reads objects, makes no requests.

mod pod;
mod pod_problem;

use k8s_openapi::{
    api::{apps::v1::StatefulSet, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};

use crate::domain::{names::CAUSE_ANNOTATION, reason::Reason};

pub(super) use self::pod_problem::one_line;
pub use self::{
    pod::{container, is_crash_looping, is_ready, revision, unready_seconds, waits_since},
    pod_problem::trouble_of,
};

/// The state of the pods of an instance, as the StatefulSet and the pods report it, and of the servers in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// `None` while the StatefulSet does not exist or its controller has not observed it yet.
    pub rollout: Option<Rollout>,
    /// The problem of the first pod that does not serve, if it is known.
    pub trouble: Option<Trouble>,
    /// Why the primary accepts no writes, or why that is unknown.
    pub writes: Option<Box<Trouble>>,
    /// Whether the running servers have the desired configuration; `None` if they were not queried in this pass.
    pub config: Option<Aspect>,
    /// The roles of several pods; `None` for a single pod.
    pub replication: Option<Replication>,
    /// Whether the servers accept exactly one password; `None` if no password changes.
    pub password: Option<Box<Aspect>>,
    /// Whether the volumes have the desired size; `None` while there are none.
    pub storage: Option<Aspect>,
}

/// The roles of several pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication {
    /// Name of the pod that takes the writes, if one does.
    pub primary: Option<String>,
    /// Whether all replicas have its data.
    pub aspect: Aspect,
}

/// The state that the StatefulSet controller reports; counts are pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Pods that exist.
    pub replicas: i32,
    /// Pods that pass their readiness probe, according to both the controller and the pods.
    pub ready: i32,
    /// Pods of the newest template, ready or not.
    pub updated: i32,
    /// True if every pod was updated to the newest template and became ready.
    pub complete: bool,
    /// The cause of the last template change.
    pub cause: Option<String>,
}

/// The problem of a pod that does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The word for it.
    pub reason: Reason,
    /// True if it does not recover without user action.
    pub stalled: bool,
    /// A sentence without its end: `cache-0: image cannot be pulled: ...`.
    pub message: String,
}

/// A state beside the phase, reported as a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aspect {
    /// `None` if it is unknown.
    pub holds: Option<bool>,
    /// The word for it.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
}

impl Trouble {
    /// True if no node accepts the pod.
    #[must_use]
    pub fn is_unscheduled(&self) -> bool {
        self.reason == Reason::Unschedulable
    }
}

/// Reads the StatefulSet and its pods. Reports a pod that still exists long after its grace period.
#[must_use]
pub fn observe(stateful_set: Option<&StatefulSet>, pods: &[&Pod], now: &Time) -> Observed {
    Observed {
        rollout: stateful_set.and_then(|set| rollout(set, pods)),
        trouble: pods.iter().filter(|pod| !is_leaving(stateful_set, pod)).find_map(|pod| trouble_of(pod, now)),
        ..Observed::default()
    }
}

fn rollout(stateful_set: &StatefulSet, pods: &[&Pod]) -> Option<Rollout> {
    let status = stateful_set.status.as_ref()?;
    let current = status.observed_generation? >= stateful_set.metadata.generation.unwrap_or(0);
    // A recreated StatefulSet begins with equal revisions, while its pods are of an older one.
    let outdated = pods.iter().any(|pod| revision(pod).is_some() && revision(pod) != status.update_revision.as_ref());
    // The controller makes both revisions equal when all pods are of the newest template and ready.
    let complete = current && !outdated && status.current_revision == status.update_revision;
    let cause = stateful_set.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CAUSE_ANNOTATION));
    // The controller counts a pod for a moment after it is gone, and no other field shows that the rollout is not
    // complete.
    let there = i32::try_from(pods.iter().filter(|pod| is_ready(pod)).count()).unwrap_or(i32::MAX);
    Some(Rollout {
        replicas: status.replicas,
        ready: status.ready_replicas.unwrap_or(0).min(there),
        updated: status.updated_replicas.unwrap_or(0),
        complete,
        cause: cause.cloned(),
    })
}

/// True if the controller is about to replace this pod by one of a newer template, which may correct its problem.
fn is_leaving(stateful_set: Option<&StatefulSet>, pod: &Pod) -> bool {
    let Some((set, status)) = stateful_set.and_then(|set| Some((set, set.status.as_ref()?))) else { return false };
    let seen = status.observed_generation >= set.metadata.generation;
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref()?.rolling_update.as_ref());
    let partition = strategy.and_then(|strategy| strategy.partition).unwrap_or(0);
    let ordinal = pod.metadata.name.as_deref().and_then(|name| name.rsplit('-').next()?.parse::<i32>().ok());
    let outdated = revision(pod).is_some() && revision(pod) != status.update_revision.as_ref();
    !seen || (outdated && ordinal.is_none_or(|ordinal| ordinal >= partition))
}

#[cfg(test)]
mod fixtures;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::observed::fixtures::{now, waiting};

    #[test]
    fn what_ails_a_pod_that_is_about_to_be_replaced_is_no_news() {
        let set = |observed: i64, partition: i32| -> StatefulSet {
            serde_json::from_value(json!({"metadata": {"generation": 2}, "spec": {"selector": {}, "template": {},
                "updateStrategy": {"rollingUpdate": {"partition": partition}}},
                "status": {"replicas": 1, "observedGeneration": observed, "updateRevision": "new"}}))
            .unwrap()
        };
        let broken = |revision: &str| {
            let mut pod = waiting("ErrImagePull", &json!(null));
            pod.metadata.labels = Some([("controller-revision-hash".to_owned(), revision.to_owned())].into());
            pod
        };
        let told =
            |set: &StatefulSet, revision: &str| observe(Some(set), &[&broken(revision)], &now()).trouble.is_some();
        assert!(told(&set(2, 0), "new") && !told(&set(2, 0), "old"));
        assert!(told(&set(2, 1), "old"), "it is not its turn, so it stays as it is");
        assert!(!told(&set(1, 0), "new"), "the controller has not seen the new template");
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
        let complete = |revision: &str| observe(Some(&set), &[&pod(revision)], &now()).rollout.unwrap().complete;
        assert!(!complete("a") && complete("b"));
    }

    #[test]
    fn a_rollout_is_complete_when_the_newest_revision_is_everywhere_and_ready() {
        let rollout_of = |pods: usize, generation: i64, status: Value| {
            let set = json!({"metadata": {"generation": generation, "annotations": {"kubernetes.io/change-cause": "why"}},
                "spec": {"replicas": 1, "selector": {}, "template": {}}, "status": status});
            let pod = json!({"metadata": {"name": "cache-0"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
            let pods: Vec<Pod> = vec![serde_json::from_value(pod).unwrap(); pods];
            observe(Some(&serde_json::from_value(set).unwrap()), &pods.iter().collect::<Vec<_>>(), &now()).rollout
        };
        let rollout = |generation: i64, status: Value| rollout_of(1, generation, status);
        assert_eq!(rollout(1, json!({"replicas": 0})), None);
        let seen = json!({"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "a"});
        let complete = Rollout { replicas: 1, ready: 1, updated: 1, complete: true, cause: Some("why".to_owned()) };
        assert_eq!(rollout(1, seen.clone()).unwrap(), complete);
        assert_eq!(
            rollout_of(0, 1, seen.clone()).unwrap().ready,
            0,
            "its pod is gone, which the controller has not seen"
        );
        assert!(!rollout(2, seen).unwrap().complete);
        let unready = json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"});
        assert!(!rollout(2, unready).unwrap().complete, "a new pod that is not ready yet is no end");
    }
}
