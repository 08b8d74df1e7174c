//! Labels and annotations that users put on the pods, and which keys are not theirs.

use std::collections::BTreeMap;

use super::selector::{entry, label_faults as forms};
use crate::domain::{
    field_error::{Faults, FieldError},
    names::{CONFIG_HASH_ANNOTATION, owned_label},
    syntax,
};

/// The most bytes of all annotations of an object together.
const ANNOTATIONS_LIMIT: usize = 256 << 10;
/// sha256 in hex digits.
const HASH_LENGTH: usize = 64;
/// An annotation whose value Kubernetes reads as a number.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The security context is the operator's; these say the same in the old way, and Kubernetes refuses a contradiction.
const SECURITY: &str = "the operator sets the security context of the pods";
/// Keys, or beginnings of them if they end in `/`, that Kubernetes gives a meaning of its own, and what to say of them.
const KUBERNETES_LABELS: &[(&str, &str)] = &[
    ("controller-revision-hash", "is set by Kubernetes on the pods of a StatefulSet"),
    ("statefulset.kubernetes.io/", "is set by Kubernetes on the pods of a StatefulSet"),
    ("apps.kubernetes.io/", "is set by Kubernetes on the pods of a StatefulSet"),
];
const KUBERNETES_ANNOTATIONS: &[(&str, &str)] = &[
    ("kubernetes.io/config.mirror", "marks pods that a kubelet runs from a file"),
    ("scheduler.alpha.kubernetes.io/tolerations", "use spec.pod.tolerations"),
    ("seccomp.security.alpha.kubernetes.io/", SECURITY),
    ("container.seccomp.security.alpha.kubernetes.io/", SECURITY),
    ("container.apparmor.security.beta.kubernetes.io/", SECURITY),
];

pub(super) fn collect_labels(errors: &mut Faults, field: &str, labels: &BTreeMap<String, String>) {
    let owned = |key: &String| {
        let reason = owned_label(key).or_else(|| meaning(KUBERNETES_LABELS, key))?;
        Some(FieldError::forbidden(entry(field, key), reason))
    };
    errors.extend(forms(field, labels));
    errors.extend(labels.keys().filter_map(owned));
}

pub(super) fn collect_annotations(errors: &mut Faults, field: &str, annotations: &BTreeMap<String, String>) {
    errors.extend(annotations.iter().filter_map(|(key, value)| annotation_fault(&entry(field, key), key, value)));
    let own = if annotations.is_empty() { 0 } else { CONFIG_HASH_ANNOTATION.len() + HASH_LENGTH };
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size + own > ANNOTATIONS_LIMIT {
        errors.push(FieldError::too_long(field, ANNOTATIONS_LIMIT - own));
    }
}

fn annotation_fault(field: &str, key: &str, value: &str) -> Option<FieldError> {
    // Case does not matter in the key of an annotation.
    if let Some(fault) = syntax::label_key_fault(&key.to_lowercase()) {
        return Some(FieldError::invalid(field, key, fault));
    }
    let ours = || key.starts_with("redis.github.com/").then_some("is the operator's own");
    if let Some(reason) = ours().or_else(|| meaning(KUBERNETES_ANNOTATIONS, key)) {
        return Some(FieldError::forbidden(field, reason));
    }
    (key == DELETION_COST && !is_whole(value)).then(|| FieldError::invalid(field, value, "must be a 32bit integer"))
}

/// Kubernetes takes no sign but minus here, and no leading zero.
fn is_whole(text: &str) -> bool {
    text.parse::<i32>().is_ok_and(|number| number.to_string() == text)
}

fn meaning(keys: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    let meant = |(own, _): &&(&str, &str)| if own.ends_with('/') { key.starts_with(own) } else { key == *own };
    keys.iter().find(meant).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::domain::pod_options::{tests::hold, validate};

    #[test]
    fn labels_and_annotations_have_kubernetes_form_and_the_operators_stay_its_own() {
        hold(&[
            ("{labels: {a b: x}}", &["spec.pod.labels[ab]: Invalid value: \"a b\": name part must consist of..."]),
            (
                "{labels: {A/b: x}}",
                &["spec.pod.labels[A/b]: Invalid value: \"A/b\": prefix part a lowercase RFC 1123 subdomain..."],
            ),
            (
                "{labels: {a: b c}}",
                &["spec.pod.labels[a]: Invalid value: \"b c\": a valid label must be an empty string or..."],
            ),
            (
                "{labels: {app: x}}",
                &["spec.pod.labels[app]: Forbidden: is the operator's own: the pods are selected by it"],
            ),
            (
                "{labels: {redis.github.com/instance: x, app.kubernetes.io/name: '7', controller-revision-hash: x, \
                 apps.kubernetes.io/pod-index: '0', statefulset.kubernetes.io/pod-name: x}}",
                &[
                    "spec.pod.labels[app.kubernetes.io/name]: Forbidden: is set by the operator, so that tools recognize what it manages",
                    "spec.pod.labels[apps.kubernetes.io/pod-index]: Forbidden: is set by Kubernetes on the pods of a StatefulSet",
                    "spec.pod.labels[controller-revision-hash]: Forbidden: is set by Kubernetes on the pods of a StatefulSet",
                    "spec.pod.labels[redis.github.com/instance]: Forbidden: is the operator's own",
                    "spec.pod.labels[statefulset.kubernetes.io/pod-name]: Forbidden: is set by Kubernetes on the pods of a StatefulSet",
                ],
            ),
            (
                "{annotations: {a b: x}}",
                &["spec.pod.annotations[ab]: Invalid value: \"a b\": name part must consist of..."],
            ),
            (
                "{annotations: {redis.github.com/config-hash: x}}",
                &["spec.pod.annotations[redis.github.com/config-hash]: Forbidden: is the operator's own"],
            ),
            (
                "{annotations: {scheduler.alpha.kubernetes.io/tolerations: '[]', kubernetes.io/config.mirror: x, \
                 container.apparmor.security.beta.kubernetes.io/redis: unconfined}}",
                &[
                    "spec.pod.annotations[container.apparmor.security.beta.kubernetes.io/redis]: Forbidden: the operator sets the security context of the pods",
                    "spec.pod.annotations[kubernetes.io/config.mirror]: Forbidden: marks pods that a kubelet runs from a file",
                    "spec.pod.annotations[scheduler.alpha.kubernetes.io/tolerations]: Forbidden: use spec.pod.tolerations",
                ],
            ),
            (
                "{annotations: {controller.kubernetes.io/pod-deletion-cost: '+1'}}",
                &[
                    "spec.pod.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+1\": must be a 32bit integer",
                ],
            ),
            (
                "{nodeSelector: {a b: c d, app: x}}",
                &[
                    "spec.pod.nodeSelector[ab]: Invalid value: \"a b\": name part must consist of...",
                    "spec.pod.nodeSelector[ab]: Invalid value: \"c d\": a valid label must be...",
                ],
            ),
        ]);
    }

    #[test]
    fn all_annotations_together_have_a_limit_the_operators_among_them() {
        let own = "redis.github.com/config-hash".len() + 64;
        let of = |bytes: usize| {
            let spec = json!({"annotations": {"a": "x".repeat(bytes - 1)}});
            validate(&serde_json::from_value(spec).unwrap()).1
        };
        assert!(of((256 << 10) - own).is_empty());
        let errors = of((256 << 10) - own + 1);
        assert_eq!(errors[0].to_string(), "spec.pod.annotations: Too long: may not be more than 262052 bytes");
    }
}
