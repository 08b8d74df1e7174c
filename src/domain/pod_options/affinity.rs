//! `spec.pod.affinity`, by the rules of core/v1 and in its words (`pkg/apis/core/validation`).

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, WeightedPodAffinityTerm,
};

use super::selector::{self, key_fault, operator_fault, value_faults};
use crate::domain::{
    field_error::{Faults, FieldError},
    syntax,
};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
/// The one field of a node that can be selected by.
const NODE_NAME: &str = "metadata.name";

pub(super) fn collect(errors: &mut Faults, field: &str, affinity: &Affinity) {
    if let Some(rules) = &affinity.node_affinity {
        of_nodes(errors, &format!("{field}.nodeAffinity"), rules);
    }
    if let Some(rules) = &affinity.pod_affinity {
        let (required, preferred) = (
            &rules.required_during_scheduling_ignored_during_execution,
            &rules.preferred_during_scheduling_ignored_during_execution,
        );
        of_pods(errors, &format!("{field}.podAffinity"), required.as_deref(), preferred.as_deref());
    }
    if let Some(rules) = &affinity.pod_anti_affinity {
        let (required, preferred) = (
            &rules.required_during_scheduling_ignored_during_execution,
            &rules.preferred_during_scheduling_ignored_during_execution,
        );
        of_pods(errors, &format!("{field}.podAntiAffinity"), required.as_deref(), preferred.as_deref());
    }
}

fn of_nodes(errors: &mut Faults, field: &str, rules: &NodeAffinity) {
    if let Some(required) = &rules.required_during_scheduling_ignored_during_execution {
        let field = format!("{field}.{REQUIRED}.nodeSelectorTerms");
        if required.node_selector_terms.is_empty() {
            errors.push(FieldError::required(&field, "must have at least one node selector term"));
        }
        for (index, term) in required.node_selector_terms.iter().enumerate() {
            of_term(errors, &format!("{field}[{index}]"), term, true);
        }
    }
    for (index, preferred) in rules.preferred_during_scheduling_ignored_during_execution.iter().flatten().enumerate() {
        let field = format!("{field}.{PREFERRED}[{index}]");
        errors.extend(weight_fault(&field, preferred.weight));
        // Kubernetes accepts preferences that no node can satisfy; they have no effect.
        of_term(errors, &format!("{field}.preference"), &preferred.preference, false);
    }
}

fn of_term(errors: &mut Faults, field: &str, term: &NodeSelectorTerm, values_matter: bool) {
    for (index, requirement) in term.match_expressions.iter().flatten().enumerate() {
        if errors.is_full() {
            return;
        }
        let field = format!("{field}.matchExpressions[{index}]");
        let values = requirement.values.as_deref().unwrap_or_default();
        errors.extend(match requirement.operator.as_str() {
            "Gt" | "Lt" => (values.len() != 1).then(|| {
                FieldError::required(
                    format!("{field}.values"),
                    "must be specified single value when `operator` is 'Lt' or 'Gt'",
                )
            }),
            operator => operator_fault(&field, operator, values),
        });
        errors.extend(key_fault(|| format!("{field}.key"), &requirement.key));
        if values_matter {
            errors.extend(value_faults(&field, values));
        }
    }
    for (index, requirement) in term.match_fields.iter().flatten().enumerate() {
        if errors.is_full() {
            return;
        }
        errors.extend(of_node_field(&format!("{field}.matchFields[{index}]"), requirement));
    }
}

fn of_node_field(field: &str, requirement: &NodeSelectorRequirement) -> Vec<FieldError> {
    let values = requirement.values.as_deref().unwrap_or_default();
    let mut errors = Vec::new();
    match requirement.operator.as_str() {
        "In" | "NotIn" => errors.extend((values.len() != 1).then(|| {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            FieldError::required(format!("{field}.values"), detail)
        })),
        other => errors.push(FieldError::invalid(format!("{field}.operator"), other, "not a valid selector operator")),
    }
    if requirement.key != NODE_NAME {
        let detail = "not a valid field selector key";
        errors.push(FieldError::invalid(format!("{field}.key"), &requirement.key, detail));
        return errors;
    }
    let wrong = values.iter().enumerate().filter(|(_, name)| !syntax::is_subdomain(name));
    errors.extend(
        wrong.map(|(index, name)| FieldError::invalid(format!("{field}.values[{index}]"), name, syntax::SUBDOMAIN)),
    );
    errors
}

fn of_pods(
    errors: &mut Faults,
    field: &str,
    required: Option<&[PodAffinityTerm]>,
    preferred: Option<&[WeightedPodAffinityTerm]>,
) {
    for (index, term) in required.into_iter().flatten().enumerate() {
        of_pod_term(errors, &format!("{field}.{REQUIRED}[{index}]"), term);
    }
    for (index, weighted) in preferred.into_iter().flatten().enumerate() {
        let field = format!("{field}.{PREFERRED}[{index}]");
        errors.extend(weight_fault(&field, weighted.weight));
        of_pod_term(errors, &format!("{field}.podAffinityTerm"), &weighted.pod_affinity_term);
    }
}

fn of_pod_term(errors: &mut Faults, field: &str, term: &PodAffinityTerm) {
    if errors.is_full() {
        return;
    }
    let selector = term.label_selector.as_ref();
    selector::collect(errors, &format!("{field}.labelSelector"), selector);
    selector::collect(errors, &format!("{field}.namespaceSelector"), term.namespace_selector.as_ref());
    let namespaces = term.namespaces.iter().flatten().enumerate();
    errors.extend(namespaces.filter_map(|(index, name)| {
        let fault = syntax::namespace_fault(name)?;
        Some(FieldError::invalid(format!("{field}.namespaces[{index}]"), name, fault))
    }));
    let lists =
        (term.match_label_keys.as_deref().unwrap_or_default(), term.mismatch_label_keys.as_deref().unwrap_or_default());
    selector::collect_key_lists(errors, field, lists, selector);
    let field = || format!("{field}.topologyKey");
    errors.extend(match term.topology_key.as_str() {
        "" => Some(FieldError::required(field(), "can not be empty")),
        key => key_fault(field, key),
    });
}

fn weight_fault(field: &str, weight: i32) -> Option<FieldError> {
    (!(1..=100).contains(&weight))
        .then(|| FieldError::invalid_number(format!("{field}.weight"), weight.into(), "must be in the range 1-100"))
}

#[cfg(test)]
mod tests {
    use crate::domain::pod_options::tests::faults;

    #[test]
    fn affinity_to_nodes() {
        let required =
            "spec.pod.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
        let of = |rules: &str| faults(&format!("{{affinity: {{nodeAffinity: {rules}}}}}"));
        assert_eq!(
            of("{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}"),
            [format!("{required}: Required value: must have at least one node selector term")]
        );
        let found = of(
            "{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, \
             operator: In}, {key: a, operator: Exists, values: [x]}, {key: a, operator: Lt, values: ['1', '2']}, {key: a, \
             operator: is, values: [x]}, {key: '', operator: In, values: [x y]}], matchFields: [{key: a, operator: In, values: \
             [x]}, {key: metadata.name, operator: Exists}, {key: metadata.name, operator: NotIn, values: [A]}]}]}}",
        );
        let expected = [
            ".matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ".matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ".matchExpressions[2].values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'",
            ".matchExpressions[3].operator: Invalid value: \"is\": not a valid selector operator",
            ".matchExpressions[4].key: Invalid value: \"\": name part must be non-empty",
            ".matchExpressions[4].values[0]: Invalid value: \"x y\": a valid label must be",
            ".matchFields[0].key: Invalid value: \"a\": not a valid field selector key",
            ".matchFields[1].operator: Invalid value: \"Exists\": not a valid selector operator",
            ".matchFields[2].values[0]: Invalid value: \"A\": a lowercase RFC 1123 subdomain",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(&format!("{required}[0]{expected}")), "{found} not {expected}");
        }
        let found = of(
            "{preferredDuringSchedulingIgnoredDuringExecution: [{weight: 0, preference: {}}, {weight: 101, preference: {}}]}",
        );
        let preferred = "spec.pod.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution";
        assert_eq!(
            found,
            [
                format!("{preferred}[0].weight: Invalid value: 0: must be in the range 1-100"),
                format!("{preferred}[1].weight: Invalid value: 101: must be in the range 1-100"),
            ]
        );
    }

    #[test]
    fn affinity_to_pods_and_against_them() {
        for kind in ["podAffinity", "podAntiAffinity"] {
            let (required, preferred) = (
                format!("spec.pod.affinity.{kind}.requiredDuringSchedulingIgnoredDuringExecution[0]"),
                format!("spec.pod.affinity.{kind}.preferredDuringSchedulingIgnoredDuringExecution[0]"),
            );
            let found = faults(&format!(
                "{{affinity: {{{kind}: {{requiredDuringSchedulingIgnoredDuringExecution: [{{labelSelector: {{matchLabels: {{a: b c}}}}, \
                 namespaceSelector: {{matchExpressions: [{{key: a, operator: In}}]}}, namespaces: [A], matchLabelKeys: [a, d], \
                 mismatchLabelKeys: [d]}}], preferredDuringSchedulingIgnoredDuringExecution: [{{weight: -1, podAffinityTerm: \
                 {{topologyKey: a b, mismatchLabelKeys: [x]}}}}]}}}}}}"
            ));
            let expected = [
                format!("{required}.labelSelector.matchLabels[a]: Invalid value: \"b c\": a valid label"),
                format!(
                    "{required}.namespaceSelector.matchExpressions[0].values: Required value: must be specified when"
                ),
                format!("{required}.namespaces[0]: Invalid value: \"A\": a lowercase RFC 1123 label"),
                format!(
                    "{required}.matchLabelKeys[0]: Invalid value: \"a\": exists in both matchLabelKeys and labelSelector"
                ),
                format!(
                    "{required}.matchLabelKeys[1]: Invalid value: \"d\": exists in both matchLabelKeys and mismatchLabelKeys"
                ),
                format!("{required}.topologyKey: Required value: can not be empty"),
                format!("{preferred}.weight: Invalid value: -1: must be in the range 1-100"),
                format!(
                    "{preferred}.podAffinityTerm.mismatchLabelKeys: Forbidden: must not be specified when labelSelector is not set"
                ),
                format!("{preferred}.podAffinityTerm.topologyKey: Invalid value: \"a b\": name part must consist of"),
            ];
            assert_eq!(found.len(), expected.len(), "{found:#?}");
            for (found, expected) in found.iter().zip(&expected) {
                assert!(found.starts_with(expected), "{found}\n  not {expected}");
            }
        }
    }
}
