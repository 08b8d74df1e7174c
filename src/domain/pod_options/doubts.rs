//! Warnings about legal parts of `spec.pod` that have no effect, as Kubernetes itself warns about pods. Refuses
//! nothing.

use super::PodOptions;

/// One line a doubt.
pub(super) fn doubts(options: &PodOptions) -> Vec<String> {
    let mut warnings = Vec::new();
    for (index, constraint) in options.topology_spread_constraints.iter().flatten().enumerate() {
        if constraint.label_selector.is_none() {
            warnings.push(format!(
                "spec.pod.topologySpreadConstraints[{index}].labelSelector: a null labelSelector results in matching no pod"
            ));
        }
    }
    let affinity = options.affinity.as_ref();
    let (near, far) = (
        affinity.and_then(|rules| rules.pod_affinity.as_ref()),
        affinity.and_then(|rules| rules.pod_anti_affinity.as_ref()),
    );
    let terms = [
        (
            "podAffinity",
            near.and_then(|rules| rules.required_during_scheduling_ignored_during_execution.as_ref()),
            near.and_then(|rules| rules.preferred_during_scheduling_ignored_during_execution.as_ref()),
        ),
        (
            "podAntiAffinity",
            far.and_then(|rules| rules.required_during_scheduling_ignored_during_execution.as_ref()),
            far.and_then(|rules| rules.preferred_during_scheduling_ignored_during_execution.as_ref()),
        ),
    ];
    for (kind, required, preferred) in terms {
        let preferred = preferred.into_iter().flatten().map(|weighted| &weighted.pod_affinity_term);
        if required.into_iter().flatten().chain(preferred).any(|term| term.label_selector.is_none()) {
            warnings.push(format!("spec.pod.affinity.{kind}: a null labelSelector results in matching no pod"));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::domain::{instance::tests::validated, warnings::warnings};

    #[test]
    fn rules_that_match_no_pod_are_told() {
        let told = |pod: Value| {
            warnings(&validated(json!({"image": "redis:7.4", "pod": pod, "config": {"maxmemory": "64mb"}})))
        };
        let constraint = |selector: Value| {
            json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": selector}]})
        };
        assert_eq!(told(constraint(json!({}))), [""; 0]);
        let nobody = "a null labelSelector results in matching no pod";
        assert_eq!(
            told(constraint(Value::Null)),
            [format!("spec.pod.topologySpreadConstraints[0].labelSelector: {nobody}")]
        );
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        for kind in ["podAffinity", "podAntiAffinity"] {
            let expected = [format!("spec.pod.affinity.{kind}: {nobody}")];
            assert_eq!(
                told(json!({"affinity": {kind: {required: [{"topologyKey": "a"}, {"topologyKey": "b"}]}}})),
                expected
            );
            let weighted = json!([{"weight": 1, "podAffinityTerm": {"topologyKey": "a"}}]);
            assert_eq!(told(json!({"affinity": {kind: {preferred: weighted}}})), expected);
            let sound = json!([{"topologyKey": "a", "labelSelector": {}}]);
            assert_eq!(told(json!({"affinity": {kind: {required: sound}}})), [""; 0]);
        }
    }
}
