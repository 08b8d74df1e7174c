//! How far a new pod template may go: one pod at a time from the last, each only after those above it serve with it.
//! The gate is the StatefulSet's own partition, so it stands in the cluster while the operator is away.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};

use super::{
    names::TEMPLATE_HASH_ANNOTATION,
    observed::{is_ready, revision},
};

/// Whether the StatefulSet was last applied with another pod template than this hash stands for.
#[must_use]
pub fn is_outdated(live: &StatefulSet, template_hash: Option<&String>) -> bool {
    live.metadata.annotations.as_ref().and_then(|annotations| annotations.get(TEMPLATE_HASH_ANNOTATION))
        != template_hash
}

/// The partition to apply next, which is the ordinal of the next pod to be restarted. `pods` are those that exist, each with
/// its ordinal; `outdated` says that this write brings a new template, whose first pod is the last one: if it breaks there,
/// the others never see it. `is_settled` says of a pod that serves whether it also has the data that it should have.
#[must_use]
pub fn partition(
    live: Option<&StatefulSet>,
    pods: &[(i32, &Pod)],
    replicas: i32,
    outdated: bool,
    is_settled: impl Fn(i32) -> bool,
) -> i32 {
    let Some(live) = live else {
        // A StatefulSet that was released from several pods: until it is back and their roles are known, none restarts.
        return if pods.len() > 1 { replicas } else { 0 };
    };
    if outdated {
        return (replicas - 1).max(0);
    }
    let present = live.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref()?.rolling_update.as_ref()?.partition);
    let present = present.unwrap_or(0).clamp(0, replicas);
    let status = live.status.as_ref();
    let seen = status.and_then(|status| status.observed_generation) >= live.metadata.generation;
    let newest = status.and_then(|status| status.update_revision.as_ref());
    let serves = |ordinal: i32| {
        let updated = |pod: &Pod| newest.is_some() && revision(pod) == newest && is_ready(pod);
        is_settled(ordinal) && pods.iter().any(|(at, pod)| *at == ordinal && updated(pod))
    };
    if seen && (present..replicas).all(serves) {
        (0..present).rev().find(|ordinal| !serves(*ordinal)).unwrap_or(0)
    } else {
        present
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(partition: i32, observed: i64) -> StatefulSet {
        serde_json::from_value(
            json!({"metadata": {"generation": 2}, "spec": {"replicas": 3, "selector": {}, "template": {},
            "updateStrategy": {"rollingUpdate": {"partition": partition}}},
            "status": {"replicas": 3, "observedGeneration": observed, "updateRevision": "new"}}),
        )
        .unwrap()
    }

    fn pod(revision: &str, ready: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"labels": {"controller-revision-hash": revision}},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
        .unwrap()
    }

    fn next(partition: i32, pods: [(&str, &str); 3]) -> i32 {
        let pods = pods.map(|(revision, ready)| pod(revision, ready));
        let pods: Vec<(i32, &Pod)> = (0..).zip(&pods).collect();
        super::partition(Some(&set(partition, 2)), &pods, 3, false, |_| true)
    }

    #[test]
    fn a_new_template_begins_with_the_last_pod() {
        assert_eq!(partition(Some(&set(0, 2)), &[], 3, true, |_| true), 2);
        assert_eq!(partition(Some(&set(0, 2)), &[], 1, true, |_| true), 0);
        assert_eq!(partition(None, &[], 3, true, |_| true), 0, "there is nothing to protect yet");
    }

    #[test]
    fn a_set_that_was_released_from_its_pods_restarts_none_and_skips_those_that_need_it_not() {
        let pods = [pod("old", "True"), pod("old", "True"), pod("old", "True")];
        let pods: Vec<(i32, &Pod)> = (0..).zip(&pods).collect();
        assert_eq!(partition(None, &pods, 3, false, |_| true), 3);
        assert_eq!(partition(None, &pods[..1], 1, false, |_| true), 0);
        let (old, new) = (("old", "True"), ("new", "True"));
        assert_eq!(next(3, [old, old, old]), 2);
        assert_eq!(next(3, [new, new, new]), 0, "the same template as before");
        assert_eq!(next(3, [new, old, new]), 1);
    }

    #[test]
    fn the_next_pod_follows_when_those_above_serve_with_the_new_template() {
        let (old, new, unready) = (("old", "True"), ("new", "True"), ("new", "False"));
        assert_eq!(next(2, [old, old, old]), 2);
        assert_eq!(next(2, [old, old, unready]), 2, "a broken canary stops it");
        assert_eq!(next(2, [old, old, new]), 1);
        assert_eq!(next(1, [old, unready, new]), 1);
        assert_eq!(next(1, [old, new, unready]), 1, "one that was updated before and fell over stops it too");
        assert_eq!(next(1, [old, new, new]), 0);
        assert_eq!(next(0, [new, new, new]), 0);
    }

    #[test]
    fn a_pod_that_serves_without_its_data_is_waited_for() {
        let pods = [pod("old", "True"), pod("old", "True"), pod("new", "True")];
        let pods: Vec<(i32, &Pod)> = (0..).zip(&pods).collect();
        assert_eq!(partition(Some(&set(2, 2)), &pods, 3, false, |ordinal| ordinal != 2), 2);
        assert_eq!(partition(Some(&set(3, 2)), &pods, 3, false, |_| false), 2, "held back before the first");
    }

    #[test]
    fn what_the_controller_has_not_seen_decides_nothing() {
        let pods = [pod("new", "True"), pod("new", "True"), pod("new", "True")];
        let pods: Vec<(i32, &Pod)> = (0..).zip(&pods).collect();
        assert_eq!(partition(Some(&set(2, 1)), &pods, 3, false, |_| true), 2);
    }

    #[test]
    fn another_template_is_known_by_its_hash() {
        let mut set = set(0, 2);
        let hash = "abc".to_owned();
        assert!(is_outdated(&set, Some(&hash)));
        set.metadata.annotations = Some([(TEMPLATE_HASH_ANNOTATION.to_owned(), hash.clone())].into());
        assert!(!is_outdated(&set, Some(&hash)));
    }
}
