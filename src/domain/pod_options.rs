//! `spec.pod`, checked as Kubernetes checks a pod template, so that none is refused after admission has let it through.
//! What the operator puts in the place of what is left out is `build`'s business.

mod affinity;
mod doubts;
mod metadata;
mod selector;
mod spread;
mod stored;
mod tolerations;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use serde::Serialize;

use super::{
    field_error::{Faults, FieldError},
    redis_conf::hash,
    syntax,
};
use crate::api::pod::{self, LabelValue, PullSecret};

/// Seconds that a pod has to end where the user says nothing: 20 for a handover, the others for Redis to save its data.
pub const DEFAULT_GRACE_SECONDS: i64 = 120;
/// Least and most seconds that a pod may have to end. The least has room for a handover and the default `shutdown-timeout`.
const GRACE_SECONDS: std::ops::RangeInclusive<i64> = 30..=3600;
/// Hex digits of the hash of a part; enough to distinguish two consecutive versions.
const DIGITS: usize = 16;

/// The pod options of the spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodOptions {
    /// Labels beside the operator's own.
    pub labels: BTreeMap<String, String>,
    /// Annotations beside the operator's own.
    pub annotations: BTreeMap<String, String>,
    /// Labels that a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// `None` = the operator's choice; an empty one = none at all.
    pub affinity: Option<Affinity>,
    /// Taints that do not keep the pods away.
    pub tolerations: Vec<Toleration>,
    /// `None` = the operator's choice; an empty list = none at all.
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// The priority class, for scheduling and preemption.
    pub priority_class_name: Option<String>,
    /// Names of Secrets for the image's registry.
    pub image_pull_secrets: Vec<String>,
    /// Seconds that a pod has to end; `None` = [`DEFAULT_GRACE_SECONDS`].
    pub grace_seconds: Option<i64>,
}

/// Checks every part; all faults at once, up to [`FAULT_LIMIT`](super::field_error::FAULT_LIMIT).
#[must_use]
pub fn validate(spec: &pod::PodOptions) -> (PodOptions, Vec<FieldError>) {
    let labels_of = |map: &Option<BTreeMap<String, LabelValue>>| -> BTreeMap<String, String> {
        map.iter().flatten().map(|(key, LabelValue(value))| (key.clone(), value.clone())).collect()
    };
    let annotations = spec.annotations.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    let options = PodOptions {
        labels: labels_of(&spec.labels),
        annotations: annotations.collect(),
        node_selector: labels_of(&spec.node_selector),
        affinity: spec.affinity.as_ref().map(stored::affinity),
        tolerations: spec.tolerations.iter().flatten().map(tolerations::as_stored).collect(),
        topology_spread_constraints: spec.topology_spread_constraints.as_deref().map(stored::constraints),
        priority_class_name: spec.priority_class_name.clone().filter(|name| !name.is_empty()),
        image_pull_secrets: spec.image_pull_secrets.iter().flatten().map(|PullSecret { name }| name.clone()).collect(),
        grace_seconds: spec.termination_grace_period_seconds,
    };
    let mut errors = Faults::default();
    metadata::collect_labels(&mut errors, "spec.pod.labels", &options.labels);
    metadata::collect_annotations(&mut errors, "spec.pod.annotations", &options.annotations);
    errors.extend(selector::label_faults("spec.pod.nodeSelector", &options.node_selector));
    if let Some(rules) = &options.affinity {
        affinity::collect(&mut errors, "spec.pod.affinity", rules);
    }
    tolerations::collect(&mut errors, "spec.pod.tolerations", &options.tolerations);
    let constraints = options.topology_spread_constraints.as_deref().unwrap_or_default();
    spread::collect(&mut errors, "spec.pod.topologySpreadConstraints", constraints);
    errors.extend(priority_fault(options.priority_class_name.as_deref()));
    errors.extend(pull_secret_faults(&options.image_pull_secrets));
    errors.extend(grace_fault(options.grace_seconds));
    (options, errors.into_vec())
}

fn priority_fault(name: Option<&str>) -> Option<FieldError> {
    let name = name.filter(|name| !syntax::is_subdomain(name))?;
    Some(FieldError::invalid("spec.pod.priorityClassName", name, syntax::SUBDOMAIN))
}

fn grace_fault(seconds: Option<i64>) -> Option<FieldError> {
    let seconds = seconds.filter(|seconds| !GRACE_SECONDS.contains(seconds))?;
    let detail = format!("must be between {} and {}, inclusive", GRACE_SECONDS.start(), GRACE_SECONDS.end());
    Some(FieldError::invalid_number("spec.pod.terminationGracePeriodSeconds", seconds, detail))
}

/// Kubernetes accepts any name. A name that no Secret can have is a mistake, and a duplicate name cannot be applied.
fn pull_secret_faults(names: &[String]) -> Vec<FieldError> {
    let mut seen = BTreeSet::new();
    let fault = |(index, name): (usize, &String)| {
        let field = format!("spec.pod.imagePullSecrets[{index}].name");
        match name.as_str() {
            "" => Some(FieldError::required(field, "")),
            text if !syntax::is_subdomain(text) => Some(FieldError::invalid(field, text, syntax::SUBDOMAIN)),
            text => (!seen.insert(text.to_owned())).then(|| FieldError::duplicate(field, text)),
        }
    };
    names.iter().enumerate().filter_map(fault).collect()
}

impl PodOptions {
    /// Warnings about legal options that have no effect.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        doubts::doubts(self)
    }

    /// Seconds from the order to end until the pod is killed.
    #[must_use]
    pub fn termination_grace_period_seconds(&self) -> i64 {
        self.grace_seconds.unwrap_or(DEFAULT_GRACE_SECONDS)
    }

    /// The pod options as they appear in the pod template: a short hash per part. Equal hashes give equal templates, so
    /// that a change is detected by comparing them.
    #[must_use]
    pub fn fingerprint(&self) -> BTreeMap<String, String> {
        let parts = [
            ("affinity", self.affinity.as_ref().and_then(short)),
            ("annotations", unless_empty(&self.annotations, self.annotations.is_empty())),
            ("imagePullSecrets", unless_empty(&self.image_pull_secrets, self.image_pull_secrets.is_empty())),
            ("labels", unless_empty(&self.labels, self.labels.is_empty())),
            ("nodeSelector", unless_empty(&self.node_selector, self.node_selector.is_empty())),
            ("priorityClassName", self.priority_class_name.as_ref().and_then(short)),
            (
                "terminationGracePeriodSeconds",
                self.grace_seconds.filter(|seconds| *seconds != DEFAULT_GRACE_SECONDS).as_ref().and_then(short),
            ),
            ("tolerations", unless_empty(&self.tolerations, self.tolerations.is_empty())),
            ("topologySpreadConstraints", self.topology_spread_constraints.as_ref().and_then(short)),
        ];
        parts.into_iter().filter_map(|(name, mark)| Some((name.to_owned(), mark?))).collect()
    }
}

fn unless_empty<T: Serialize>(part: &T, is_empty: bool) -> Option<String> {
    if is_empty { None } else { short(part) }
}

fn short<T: Serialize>(part: &T) -> Option<String> {
    let text = serde_json::to_string(part).ok()?;
    Some(hash(&text).chars().take(DIGITS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults of a pod section, written as YAML.
    pub(super) fn faults(yaml: &str) -> Vec<String> {
        validate(&serde_saphyr::from_str(yaml).unwrap()).1.iter().map(ToString::to_string).collect()
    }

    /// Holds that each section has exactly the faults beside it.
    pub(super) fn hold(table: &[(&str, &[&str])]) {
        for (yaml, expected) in table {
            let found = faults(yaml);
            // Kubernetes ends its words with the regular expression; the beginning tells which rule it is.
            let as_expected = found.len() == expected.len()
                && found.iter().zip(*expected).all(|(found, expected)| {
                    expected.strip_suffix("...").map_or(found == expected, |start| found.starts_with(start))
                });
            assert!(as_expected, "{yaml}\n  has {found:#?}\n  not {expected:#?}");
        }
    }

    #[test]
    fn a_whole_section_is_taken() {
        hold(&[
            ("{}", &[]),
            (
                "{labels: {team: shop, example.com/tier: '1', empty: ''}, annotations: {example.com/Note: any text, \
                 controller.kubernetes.io/pod-deletion-cost: '-5'}, nodeSelector: {disk: ssd, kubernetes.io/os: linux}, \
                 tolerations: [{operator: Exists}, {key: a, value: b, effect: NoSchedule}, {key: a, operator: Exists, \
                 effect: NoExecute, tolerationSeconds: -1}], priorityClassName: system-cluster-critical, \
                 imagePullSecrets: [{name: a}, {name: b.c}]}",
                &[],
            ),
            (
                "{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{}, \
                 {matchExpressions: [{key: a, operator: Gt, values: ['1']}, {key: b, operator: NotIn, values: [x, '']}, {key: c, \
                 operator: DoesNotExist}], matchFields: [{key: metadata.name, operator: In, values: [node-1]}]}]}, \
                 preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: [{key: a, \
                 operator: In, values: ['not a label']}]}}, {weight: 100, preference: {}}]}, podAffinity: {}, podAntiAffinity: \
                 {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: \
                 {matchLabels: {a: b}}, namespaceSelector: {}, namespaces: [a], matchLabelKeys: [c], mismatchLabelKeys: [a]}]}}}",
                &[],
            ),
            (
                "{topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, minDomains: 2, \
                 nodeAffinityPolicy: Honor, nodeTaintsPolicy: Ignore, labelSelector: {}, matchLabelKeys: [a]}, {maxSkew: 1, \
                 topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}",
                &[],
            ),
        ]);
    }

    #[test]
    fn names_of_other_objects() {
        hold(&[
            ("{priorityClassName: ''}", &[]),
            (
                "{priorityClassName: High}",
                &["spec.pod.priorityClassName: Invalid value: \"High\": a lowercase RFC 1123 subdomain..."],
            ),
            (
                "{imagePullSecrets: [{name: a}, {name: ''}, {name: A_b}, {name: a}]}",
                &[
                    "spec.pod.imagePullSecrets[1].name: Required value",
                    "spec.pod.imagePullSecrets[2].name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain...",
                    "spec.pod.imagePullSecrets[3].name: Duplicate value: \"a\"",
                ],
            ),
        ]);
    }

    #[test]
    fn what_the_api_server_drops_is_no_difference() {
        let options = |yaml: &str| validate(&serde_saphyr::from_str(yaml).unwrap()).0;
        for (one, other) in [
            (
                "{}",
                "{labels: {}, annotations: {}, nodeSelector: {}, tolerations: [], imagePullSecrets: [], priorityClassName: ''}",
            ),
            (
                "{tolerations: [{operator: Exists}]}",
                "{tolerations: [{operator: Exists, key: '', value: '', effect: ''}]}",
            ),
            (
                "{affinity: {podAffinity: {}}}",
                "{affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: []}}}",
            ),
            (
                "{topologySpreadConstraints: [{maxSkew: 1, labelSelector: {}}]}",
                "{topologySpreadConstraints: [{maxSkew: 1, matchLabelKeys: [], labelSelector: {matchLabels: {}, matchExpressions: []}}]}",
            ),
        ] {
            assert_eq!(options(one), options(other));
        }
        for (one, other) in [
            ("{}", "{affinity: {}}"),
            ("{}", "{topologySpreadConstraints: []}"),
            ("{topologySpreadConstraints: [{}]}", "{topologySpreadConstraints: [{labelSelector: {}}]}"),
        ] {
            assert_ne!(options(one), options(other));
        }
    }
}
