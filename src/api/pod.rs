//! `spec.pod`: what users may say about the pods. The deep parts are core/v1's own types, with the bounds that a schema of
//! ours has; what they may hold is `domain`'s business.

#![allow(unreachable_pub, reason = "the schema derive repeats each struct inside a function, where pub has no effect")]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounded::{bounded, list};

/// Where the pods run, and what they carry beside Redis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodOptions {
    /// Rules of where the pods run. Default for several pods: on different nodes if possible; {} turns that off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounded::<Affinity>")]
    pub affinity: Option<Affinity>,
    /// Annotations of the pods, beside the operator's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: Option<BTreeMap<String, AnnotationValue>>,
    /// Secrets of the namespace that hold the credentials of the image's registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Option<Vec<PullSecret>>,
    /// Labels of the pods, beside the operator's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub labels: Option<BTreeMap<String, LabelValue>>,
    /// Labels that a node must have for a pod to run there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub node_selector: Option<BTreeMap<String, LabelValue>>,
    /// Name of the PriorityClass, which decides whom the scheduler prefers and evicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub priority_class_name: Option<String>,
    /// Seconds from the order to end until a pod is killed, 30 to 3600: the time Redis has to save its data. Default 120.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 3600))]
    pub termination_grace_period_seconds: Option<i64>,
    /// Taints of nodes that do not keep the pods away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "list::<Toleration>")]
    pub tolerations: Option<Vec<Toleration>>,
    /// How the pods spread over zones and the like. Default for several pods: over zones if possible; [] turns that off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "list::<TopologySpreadConstraint>")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
}

/// The value of a label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct LabelValue(#[schemars(length(max = 317))] pub String);

/// The value of an annotation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct AnnotationValue(#[schemars(length(max = 65536))] pub String);

/// A Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PullSecret {
    /// Name of the Secret.
    #[schemars(length(max = 317))]
    pub name: String,
}
