//! `spec.pod.tolerations`, by the rules of core/v1 and in its words (`pkg/apis/core/validation`).

use k8s_openapi::api::core::v1::Toleration;

use super::selector::key_fault;
use crate::domain::{
    field_error::{Faults, FieldError, quoted},
    syntax,
};

const ONCE_RUNNING: &str = "NoExecute";
const OPERATORS: &[&str] = &["Equal", "Exists"];
const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", ONCE_RUNNING];

/// The toleration as the API server stores it: an empty text is an absent one.
pub(super) fn as_stored(toleration: &Toleration) -> Toleration {
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Toleration {
        effect: text(&toleration.effect),
        key: text(&toleration.key),
        operator: text(&toleration.operator),
        toleration_seconds: toleration.toleration_seconds,
        value: text(&toleration.value),
    }
}

pub(super) fn collect(errors: &mut Faults, field: &str, tolerations: &[Toleration]) {
    for (index, toleration) in tolerations.iter().enumerate() {
        if errors.is_full() {
            return;
        }
        errors.extend(of_one(&format!("{field}[{index}]"), toleration));
    }
}

fn of_one(field: &str, toleration: &Toleration) -> Vec<FieldError> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (key, operator) = (text(&toleration.key), text(&toleration.operator));
    let (value, effect) = (text(&toleration.value), text(&toleration.effect));
    let (operator_field, value_field) = (format!("{field}.operator"), format!("{field}.value"));
    let mut errors = Vec::new();
    if key.is_empty() && operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(FieldError::invalid(&operator_field, &operator, detail));
    } else if !key.is_empty() {
        errors.extend(key_fault(|| format!("{field}.key"), &key));
    }
    if toleration.toleration_seconds.is_some() && effect != ONCE_RUNNING {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(FieldError::invalid(format!("{field}.effect"), &effect, detail));
    }
    match operator.as_str() {
        "" | "Equal" => {
            let fault = syntax::label_value_fault(&value);
            errors.extend(fault.map(|fault| FieldError::invalid(&value_field, &value, fault)));
        }
        "Exists" if !value.is_empty() => {
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(&value_field, &value, detail));
        }
        "Exists" => {}
        other => errors.push(FieldError::not_supported(&operator_field, quoted(other), OPERATORS)),
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect.as_str()) {
        errors.push(FieldError::not_supported(format!("{field}.effect"), quoted(&effect), EFFECTS));
    }
    errors
}

#[cfg(test)]
mod tests {
    use crate::domain::pod_options::tests::hold;

    #[test]
    fn tolerations_pair_what_belongs_together() {
        hold(&[
            (
                "{tolerations: [{}]}",
                &[
                    "spec.pod.tolerations[0].operator: Invalid value: \"\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
                ],
            ),
            ("{tolerations: [{key: a b}]}", &["spec.pod.tolerations[0].key: Invalid value: \"a b\": name part..."]),
            (
                "{tolerations: [{key: a, operator: exists, effect: noexecute}]}",
                &[
                    "spec.pod.tolerations[0].operator: Unsupported value: \"exists\": supported values: \"Equal\", \"Exists\"",
                    "spec.pod.tolerations[0].effect: Unsupported value: \"noexecute\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
                ],
            ),
            (
                "{tolerations: [{key: a, operator: Exists, value: b}, {key: a, value: b c}]}",
                &[
                    "spec.pod.tolerations[0].value: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
                    "spec.pod.tolerations[1].value: Invalid value: \"b c\": a valid label must be...",
                ],
            ),
            (
                "{tolerations: [{key: a, effect: NoSchedule, tolerationSeconds: 5}]}",
                &[
                    "spec.pod.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set",
                ],
            ),
        ]);
    }
}
