//! Placement of the pods: according to the spec, or else spread over nodes and zones. The spread is only a preference,
//! because a pod on a shared node is better than a pending one. It also applies to a single pod, so that scaling out
//! does not restart it.

use k8s_openapi::{
    api::core::v1::{Affinity, PodAffinityTerm, PodAntiAffinity, TopologySpreadConstraint, WeightedPodAffinityTerm},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use crate::domain::{instance::ValidatedInstance, names::selector_labels};

const NODE: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
/// The most that a preference can weigh.
const WEIGHT: i32 = 100;

/// The affinity of the spec, unless it is empty; otherwise the default.
pub(super) fn affinity(instance: &ValidatedInstance) -> Option<Affinity> {
    match &instance.pod.affinity {
        Some(rules) => (*rules != Affinity::default()).then(|| rules.clone()),
        None => Some(apart(instance)),
    }
}

/// The spread over zones; an explicitly empty list disables it.
pub(super) fn spread(instance: &ValidatedInstance) -> Vec<TopologySpreadConstraint> {
    match &instance.pod.topology_spread_constraints {
        Some(constraints) => constraints.clone(),
        None => vec![over_zones(instance)],
    }
}

fn apart(instance: &ValidatedInstance) -> Affinity {
    let term = PodAffinityTerm {
        label_selector: Some(pods(instance)),
        topology_key: NODE.to_owned(),
        ..PodAffinityTerm::default()
    };
    let preferred = vec![WeightedPodAffinityTerm { pod_affinity_term: term, weight: WEIGHT }];
    let pod_anti_affinity = PodAntiAffinity {
        preferred_during_scheduling_ignored_during_execution: Some(preferred),
        ..PodAntiAffinity::default()
    };
    Affinity { pod_anti_affinity: Some(pod_anti_affinity), ..Affinity::default() }
}

fn over_zones(instance: &ValidatedInstance) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        label_selector: Some(pods(instance)),
        max_skew: 1,
        topology_key: ZONE.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    }
}

fn pods(instance: &ValidatedInstance) -> LabelSelector {
    LabelSelector { match_labels: Some(selector_labels(&instance.name)), ..LabelSelector::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        build::build,
        domain::{instance::tests::validated, live::Live},
    };

    /// What the pod template says of scheduling.
    fn scheduled(replicas: i32, pod: Value) -> (Value, Value) {
        let instance = validated(json!({ "replicas": replicas, "pod": pod }));
        let template = build(&instance).stateful_set.spec.unwrap().template.spec.unwrap();
        let (affinity, spread) = (template.affinity, template.topology_spread_constraints);
        (serde_json::to_value(affinity).unwrap(), serde_json::to_value(spread).unwrap())
    }

    fn default_affinity() -> Value {
        json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": {
            "labelSelector": {"matchLabels": {"app": "redis", "redis.github.com/instance": "cache"}},
            "topologyKey": "kubernetes.io/hostname"}}]}})
    }

    fn default_spread() -> Value {
        json!([{"labelSelector": {"matchLabels": {"app": "redis", "redis.github.com/instance": "cache"}},
            "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}])
    }

    #[test]
    fn several_pods_keep_off_each_other_unless_the_user_says_otherwise() {
        let rules = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]}}});
        let zones = json!([{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]);
        let (none, affinity, spread) = (Value::Null, default_affinity(), default_spread());
        for (replicas, pod, expected) in [
            (1, json!({}), (&affinity, &spread)),
            (3, json!({}), (&affinity, &spread)),
            (3, json!({"nodeSelector": {"a": "b"}}), (&affinity, &spread)),
            (3, json!({"affinity": {}}), (&none, &spread)),
            (3, json!({"topologySpreadConstraints": []}), (&affinity, &none)),
            (3, json!({"affinity": {}, "topologySpreadConstraints": []}), (&none, &none)),
            (3, json!({"affinity": rules}), (&rules, &spread)),
            (3, json!({"topologySpreadConstraints": zones}), (&affinity, &zones)),
            (1, json!({"affinity": rules, "topologySpreadConstraints": zones}), (&rules, &zones)),
        ] {
            let given = scheduled(replicas, pod.clone());
            assert_eq!((&given.0, &given.1), expected, "{replicas} pods with {pod}");
        }
    }

    /// The loop tells changes by the fingerprint and rolls by the template: one must not move without the other.
    #[test]
    fn the_fingerprint_differs_if_and_only_if_the_template_does() {
        let rules = json!({"podAffinity": {}});
        let pods = [
            json!({}),
            json!({"labels": {"a": "b"}}),
            json!({"labels": {"a": "c"}}),
            json!({"annotations": {"a": "b"}}),
            json!({"nodeSelector": {"a": "b"}}),
            json!({"affinity": {}}),
            json!({"affinity": rules}),
            json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}}),
            json!({"topologySpreadConstraints": []}),
            json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": []}]}),
            json!({"tolerations": []}),
            json!({"tolerations": [{"operator": "Exists"}]}),
            json!({"tolerations": [{"operator": "Exists", "key": "", "value": "", "effect": ""}]}),
            json!({"priorityClassName": ""}),
            json!({"priorityClassName": "high"}),
            json!({"imagePullSecrets": [{"name": "a"}]}),
            json!({"imagePullSecrets": []}),
        ];
        for replicas in [1, 3] {
            let seen = pods.iter().map(|pod| {
                let instance = validated(json!({ "replicas": replicas, "pod": pod }));
                let template = build(&instance).stateful_set.spec.unwrap().template;
                (Live::of(&instance).pod, serde_json::to_value(template).unwrap())
            });
            let seen: Vec<_> = seen.collect();
            for (fingerprint, template) in &seen {
                for (other, other_template) in &seen {
                    assert_eq!(fingerprint == other, template == other_template, "{fingerprint:?} and {other:?}");
                }
            }
        }
    }
}
