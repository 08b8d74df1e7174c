//! Label keys, label values and selectors, wherever they stand below `spec.pod`, by the rules of Kubernetes and in its
//! words (apimachinery, `apis/meta/v1/validation`).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::domain::{field_error::FieldError, syntax};

/// The faults of a map of labels, each named by its key.
pub(super) fn label_faults(field: &str, labels: &BTreeMap<String, String>) -> Vec<FieldError> {
    let faults = |(key, value): (&String, &String)| {
        let field = entry(field, key);
        key_fault(&field, key).into_iter().chain(value_fault(&field, value)).collect::<Vec<_>>()
    };
    labels.iter().flat_map(faults).collect()
}

/// The path of an entry. A key that no label could have must not blow up the answer or a log line.
pub(super) fn entry(field: &str, key: &str) -> String {
    let bounded: String = key.chars().filter(char::is_ascii_graphic).take(317).collect();
    format!("{field}[{bounded}]")
}

pub(super) fn key_fault(field: &str, key: &str) -> Option<FieldError> {
    syntax::label_key_fault(key).map(|fault| FieldError::invalid(field, key, fault))
}

pub(super) fn value_fault(field: &str, value: &str) -> Option<FieldError> {
    syntax::label_value_fault(value).map(|fault| FieldError::invalid(field, value, fault))
}

/// The faults of one value each, named by its index.
pub(super) fn value_faults(field: &str, values: &[String]) -> Vec<FieldError> {
    let fault = |(index, value): (usize, &String)| value_fault(&format!("{field}.values[{index}]"), value);
    values.iter().enumerate().filter_map(fault).collect()
}

/// What is wrong with an operator, and with values beside it.
pub(super) fn operator_fault(field: &str, operator: &str, values: &[String]) -> Option<FieldError> {
    let values_field = || format!("{field}.values");
    match operator {
        "In" | "NotIn" => values
            .is_empty()
            .then(|| FieldError::required(values_field(), "must be specified when `operator` is 'In' or 'NotIn'")),
        "Exists" | "DoesNotExist" => (!values.is_empty()).then(|| {
            FieldError::forbidden(values_field(), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        }),
        other => Some(FieldError::invalid(format!("{field}.operator"), other, "not a valid selector operator")),
    }
}

/// The faults of a label selector, if there is one.
pub(super) fn faults(field: &str, selector: Option<&LabelSelector>) -> Vec<FieldError> {
    let Some(selector) = selector else { return Vec::new() };
    let mut errors = selector
        .match_labels
        .as_ref()
        .map(|labels| label_faults(&format!("{field}.matchLabels"), labels))
        .unwrap_or_default();
    for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let field = format!("{field}.matchExpressions[{index}]");
        let values = requirement.values.as_deref().unwrap_or_default();
        errors.extend(operator_fault(&field, &requirement.operator, values));
        errors.extend(key_fault(&format!("{field}.key"), &requirement.key));
        errors.extend(value_faults(&field, values));
    }
    errors
}

/// The faults of `matchLabelKeys` and `mismatchLabelKeys` beside their selector. A key that the selector has too passes in
/// a template and fails at each of its pods, so it is refused here.
pub(super) fn key_list_faults(
    field: &str,
    (matching, differing): (&[String], &[String]),
    selector: Option<&LabelSelector>,
) -> Vec<FieldError> {
    let mut errors = list_faults(&format!("{field}.matchLabelKeys"), matching, selector);
    errors.extend(list_faults(&format!("{field}.mismatchLabelKeys"), differing, selector));
    let selected: BTreeSet<&String> = selector.into_iter().flat_map(keys).collect();
    for (index, key) in matching.iter().enumerate() {
        let twice = |with: &str| {
            let detail = format!("exists in both matchLabelKeys and {with}");
            FieldError::invalid(format!("{field}.matchLabelKeys[{index}]"), key, detail)
        };
        errors.extend(selected.contains(key).then(|| twice("labelSelector")));
        errors.extend(differing.contains(key).then(|| twice("mismatchLabelKeys")));
    }
    errors
}

fn list_faults(field: &str, names: &[String], selector: Option<&LabelSelector>) -> Vec<FieldError> {
    if selector.is_none() && !names.is_empty() {
        return vec![FieldError::forbidden(field, "must not be specified when labelSelector is not set")];
    }
    let fault = |(index, key): (usize, &String)| key_fault(&format!("{field}[{index}]"), key);
    names.iter().enumerate().filter_map(fault).collect()
}

fn keys(selector: &LabelSelector) -> impl Iterator<Item = &String> {
    let labels = selector.match_labels.iter().flat_map(BTreeMap::keys);
    labels.chain(selector.match_expressions.iter().flatten().map(|requirement| &requirement.key))
}
