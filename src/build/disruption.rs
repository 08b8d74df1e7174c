//! The `PodDisruptionBudget` of a replicated instance: a drain takes one pod at a time. An instance of one pod has none,
//! which would only keep a node from being drained.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::metadata;
use crate::domain::{instance::ValidatedInstance, names::selector_labels};

pub(super) fn disruption_budget(instance: &ValidatedInstance) -> PodDisruptionBudget {
    let selector = LabelSelector { match_labels: Some(selector_labels(&instance.name)), ..LabelSelector::default() };
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(1)),
        selector: Some(selector),
        // An unready pod serves no clients and must not block a drain.
        unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        ..PodDisruptionBudgetSpec::default()
    };
    PodDisruptionBudget {
        metadata: metadata(instance, instance.name.clone()),
        spec: Some(spec),
        ..PodDisruptionBudget::default()
    }
}
