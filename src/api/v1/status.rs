//! The status of a `RedisInstance`. Field comments become `kubectl explain`.

#![allow(unreachable_pub, reason = "the schema derive repeats each struct inside a function, where pub has no effect")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator has seen and done.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisInstanceStatus {
    /// The phase, for people: Unknown, Creating, Pending, Running, Failed, Terminated or Updating.
    #[serde(default)]
    pub status: Phase,
    /// "True" when every pod serves, else "False".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub ready: Option<String>,
    /// Summary of the current state, for users.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub last_condition_message: Option<String>,
    /// Ready always; Reconciling and Stalled only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The last 10 changes of phase, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<PhaseChange>,
    /// Pods that exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Pods that serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Pods that serve, of those wanted, as "1/1".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub ready_pods: Option<String>,
    /// Name of the pod that takes writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub primary: Option<String>,
    /// Version of Redis that served last, from its image's tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub version: Option<String>,
    /// Engine and version of the last Redis that served and whose image names them, as "redis 7.2.5": it wrote the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 160))]
    pub data_version: Option<String>,
    /// Label selector of the pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub selector: Option<String>,
}

/// One change of phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseChange {
    /// The phase that was entered.
    pub phase: Phase,
    /// Why, as one CamelCase word.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// Why, as a sentence.
    #[schemars(length(max = 2048))]
    pub message: String,
    /// When.
    pub time: Time,
}

/// Summary of the conditions for people. Derived, never parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Phase {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// The children are being created.
    Creating,
    /// The children exist; the pods do not serve yet.
    Pending,
    /// Everything serves as specified.
    Running,
    /// User action is required.
    Failed,
    /// The instance is being deleted.
    Terminated,
    /// A change is on its way to the pods.
    Updating,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 7] =
        [Self::Unknown, Self::Creating, Self::Pending, Self::Running, Self::Failed, Self::Terminated, Self::Updating];
}
