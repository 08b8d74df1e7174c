//! Label keys, label values and selectors, wherever they stand below `spec.pod`, by the rules of Kubernetes and in its
//! words (apimachinery, `apis/meta/v1/validation`).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::domain::{
    field_error::{Faults, FieldError},
    syntax,
};

/// The faults of a map of labels, each named by its key.
pub(super) fn label_faults<'a>(
    field: &'a str,
    labels: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = FieldError> + 'a {
    labels.iter().flat_map(move |(key, value)| {
        let of_key = key_fault(|| entry(field, key), key);
        of_key.into_iter().chain(value_fault(|| entry(field, key), value))
    })
}

/// The path of an entry. A key that no label could have must not blow up the answer or a log line.
pub(super) fn entry(field: &str, key: &str) -> String {
    let bounded: String = key.chars().filter(char::is_ascii_graphic).take(317).collect();
    format!("{field}[{bounded}]")
}

/// `field` writes the path, which is needed for a faulty key only.
pub(super) fn key_fault(field: impl FnOnce() -> String, key: &str) -> Option<FieldError> {
    syntax::label_key_fault(key).map(|fault| FieldError::invalid(field(), key, fault))
}

pub(super) fn value_fault(field: impl FnOnce() -> String, value: &str) -> Option<FieldError> {
    syntax::label_value_fault(value).map(|fault| FieldError::invalid(field(), value, fault))
}

/// The faults of one value each, named by its index.
pub(super) fn value_faults<'a>(field: &'a str, values: &'a [String]) -> impl Iterator<Item = FieldError> + 'a {
    let fault = move |(index, value): (usize, &String)| value_fault(|| format!("{field}.values[{index}]"), value);
    values.iter().enumerate().filter_map(fault)
}

/// The error of an operator, or of its values.
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

/// Adds the faults of a label selector, if there is one.
pub(super) fn collect(errors: &mut Faults, field: &str, selector: Option<&LabelSelector>) {
    let Some(selector) = selector else { return };
    if let Some(labels) = &selector.match_labels {
        errors.extend(label_faults(&format!("{field}.matchLabels"), labels));
    }
    for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        if errors.is_full() {
            return;
        }
        let field = format!("{field}.matchExpressions[{index}]");
        let values = requirement.values.as_deref().unwrap_or_default();
        errors.extend(operator_fault(&field, &requirement.operator, values));
        errors.extend(key_fault(|| format!("{field}.key"), &requirement.key));
        errors.extend(value_faults(&field, values));
    }
}

/// Adds the faults of `matchLabelKeys` and `mismatchLabelKeys` beside their selector. A key that the selector has too passes
/// in a template and fails at each of its pods, so it is refused here.
pub(super) fn collect_key_lists(
    errors: &mut Faults,
    field: &str,
    (matching, differing): (&[String], &[String]),
    selector: Option<&LabelSelector>,
) {
    collect_key_list(errors, &format!("{field}.matchLabelKeys"), matching, selector);
    collect_key_list(errors, &format!("{field}.mismatchLabelKeys"), differing, selector);
    if matching.is_empty() {
        return;
    }
    let selected: BTreeSet<&String> = selector.into_iter().flat_map(keys).collect();
    let differing: BTreeSet<&String> = differing.iter().collect();
    let twice = |(index, key): (usize, &String)| {
        let fault = |with: &str| {
            let detail = format!("exists in both matchLabelKeys and {with}");
            FieldError::invalid(format!("{field}.matchLabelKeys[{index}]"), key, detail)
        };
        let with_selector = selected.contains(key).then(|| fault("labelSelector"));
        with_selector.into_iter().chain(differing.contains(key).then(|| fault("mismatchLabelKeys")))
    };
    errors.extend(matching.iter().enumerate().flat_map(twice));
}

fn collect_key_list(errors: &mut Faults, field: &str, names: &[String], selector: Option<&LabelSelector>) {
    if selector.is_none() && !names.is_empty() {
        errors.push(FieldError::forbidden(field, "must not be specified when labelSelector is not set"));
        return;
    }
    let fault = |(index, key): (usize, &String)| key_fault(|| format!("{field}[{index}]"), key);
    errors.extend(names.iter().enumerate().filter_map(fault));
}

fn keys(selector: &LabelSelector) -> impl Iterator<Item = &String> {
    let labels = selector.match_labels.iter().flat_map(BTreeMap::keys);
    labels.chain(selector.match_expressions.iter().flatten().map(|requirement| &requirement.key))
}
