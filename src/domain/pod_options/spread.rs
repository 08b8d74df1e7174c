//! `spec.pod.topologySpreadConstraints`, by the rules of core/v1 and in its words (`pkg/apis/core/validation`).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::TopologySpreadConstraint;

use super::selector::{self, key_fault};
use crate::domain::field_error::{Faults, FieldError, quoted};

const STRICT: &str = "DoNotSchedule";
const LENIENT: &str = "ScheduleAnyway";
const ACTIONS: &[&str] = &[STRICT, LENIENT];
const POLICIES: &[&str] = &["Honor", "Ignore"];

pub(super) fn collect(errors: &mut Faults, field: &str, constraints: &[TopologySpreadConstraint]) {
    let mut later = BTreeSet::new();
    let pairs = constraints.iter().enumerate().rev();
    let repeated = pairs.filter(|(_, one)| !later.insert((one.topology_key.as_str(), one.when_unsatisfiable.as_str())));
    let repeated: BTreeSet<usize> = repeated.map(|(index, _)| index).collect();
    for (index, constraint) in constraints.iter().enumerate() {
        if errors.is_full() {
            return;
        }
        let field = format!("{field}[{index}]");
        collect_of_one(errors, &field, constraint);
        if repeated.contains(&index) {
            let text = format!("{{{}, {}}}", constraint.topology_key, constraint.when_unsatisfiable);
            errors.push(FieldError::duplicate(format!("{field}.{{topologyKey, whenUnsatisfiable}}"), &text));
        }
    }
}

fn collect_of_one(errors: &mut Faults, field: &str, constraint: &TopologySpreadConstraint) {
    errors.extend(positive(&format!("{field}.maxSkew"), constraint.max_skew));
    let key_field = || format!("{field}.topologyKey");
    errors.extend(match constraint.topology_key.as_str() {
        "" => Some(FieldError::required(key_field(), "can not be empty")),
        // Kubernetes accepts any text; a key that cannot be a node label has no effect.
        key => key_fault(key_field, key),
    });
    let action = constraint.when_unsatisfiable.as_str();
    errors.extend(one_of(&format!("{field}.whenUnsatisfiable"), action, ACTIONS));
    if let Some(domains) = constraint.min_domains {
        let field = format!("{field}.minDomains");
        errors.extend(positive(&field, domains));
        if action == LENIENT {
            let detail = format!("can only use minDomains if whenUnsatisfiable={STRICT}, not {LENIENT}");
            errors.push(FieldError::invalid_number(field, domains.into(), detail));
        }
    }
    for (name, policy) in
        [("nodeAffinityPolicy", &constraint.node_affinity_policy), ("nodeTaintsPolicy", &constraint.node_taints_policy)]
    {
        errors.extend(policy.as_ref().and_then(|policy| one_of(&format!("{field}.{name}"), policy, POLICIES)));
    }
    let selector = constraint.label_selector.as_ref();
    let matching = constraint.match_label_keys.as_deref().unwrap_or_default();
    selector::collect_key_lists(errors, field, (matching, &[]), selector);
    selector::collect(errors, &format!("{field}.labelSelector"), selector);
}

fn positive(field: &str, number: i32) -> Option<FieldError> {
    (number < 1).then(|| FieldError::invalid_number(field, number.into(), "must be greater than zero"))
}

fn one_of(field: &str, word: &str, words: &[&str]) -> Option<FieldError> {
    (!words.contains(&word)).then(|| FieldError::not_supported(field, quoted(word), words))
}

#[cfg(test)]
mod tests {
    use crate::domain::pod_options::tests::hold;

    #[test]
    fn spreading_needs_a_key_a_skew_and_a_word_of_what_else() {
        hold(&[
            (
                "{topologySpreadConstraints: [{}]}",
                &[
                    "spec.pod.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                    "spec.pod.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
                    "spec.pod.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
                ],
            ),
            (
                "{topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway, minDomains: 0, \
                 nodeTaintsPolicy: honor, matchLabelKeys: [b]}]}",
                &[
                    "spec.pod.topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero",
                    "spec.pod.topologySpreadConstraints[0].minDomains: Invalid value: 0: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
                    "spec.pod.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: \"honor\": supported values: \"Honor\", \"Ignore\"",
                    "spec.pod.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
                ],
            ),
            (
                "{topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway}, {maxSkew: 2, \
                 topologyKey: a, whenUnsatisfiable: ScheduleAnyway}]}",
                &[
                    "spec.pod.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{a, ScheduleAnyway}\"",
                ],
            ),
            (
                "{topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule, matchLabelKeys: [b, c d], \
                 labelSelector: {matchLabels: {b: x}, matchExpressions: [{key: e, operator: Gt, values: ['1']}]}}]}",
                &[
                    "spec.pod.topologySpreadConstraints[0].matchLabelKeys[1]: Invalid value: \"c d\": name part...",
                    "spec.pod.topologySpreadConstraints[0].matchLabelKeys[0]: Invalid value: \"b\": exists in both matchLabelKeys and labelSelector",
                    "spec.pod.topologySpreadConstraints[0].labelSelector.matchExpressions[0].operator: Invalid value: \"Gt\": not a valid selector operator",
                ],
            ),
        ]);
    }
}
