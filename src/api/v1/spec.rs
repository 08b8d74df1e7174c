//! The spec of a `RedisInstance`. Field comments become `kubectl explain`; the CEL rules also apply without the webhook.

#![allow(unreachable_pub, reason = "the schema derive repeats each struct inside a function, where pub has no effect")]
#![allow(clippy::duplicated_attributes, reason = "each printcolumn is an attribute list of its own")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::RedisInstanceStatus;
use crate::api::{pod::PodOptions, resources::ResourceRequirements};

/// What the user wants: one Redis, kept running as written here.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "redis.github.com",
    version = "v1",
    kind = "RedisInstance",
    plural = "redisinstances",
    shortname = "ri",
    category = "redis",
    namespaced,
    doc = "RedisInstance is one Redis with its configuration, storage and password, kept running by redis-operator.",
    status = "RedisInstanceStatus",
    derive = "Default",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.status"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.readyPods"),
    printcolumn(name = "Primary", type_ = "string", json_path = ".status.primary"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", priority = 1),
    printcolumn(name = "Size", type_ = "string", json_path = ".spec.storage.size", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.lastConditionMessage", priority = 1)
)]
#[cfg_attr(test, kube(cel))]
#[x_kube(validation = Rule::new(
    "!has(self.storage) || !has(oldSelf.storage) || (has(self.storage.storageClassName) && ((has(oldSelf.storage.storageClassName) && self.storage.storageClassName == oldSelf.storage.storageClassName) || (self.storage.storageClassName != '' && has(self.replicas) && self.replicas >= 2))) || (!has(self.storage.storageClassName) && !has(oldSelf.storage.storageClassName))"
).message("volumes move only to a class that is named and with replicas of 2 or more: set replicas first, or create a new RedisInstance with the other class and move the data").field_path(".storage.storageClassName"))]
#[x_kube(validation = Rule::new(
    "!has(self.replicas) || self.replicas < 2 || (has(oldSelf.replicas) && oldSelf.replicas > 1) || !has(self.config) || ['replica-read-only', 'slave-read-only'].all(name, !(name in self.config) || self.config[name].matches('^[yY][eE][sS]$'))"
).message("replica-read-only must be yes with several replicas: writes to a replica would be lost").field_path(".config"))]
#[x_kube(validation = Rule::new(
    "!has(self.replicas) || self.replicas < 2 || (has(oldSelf.replicas) && oldSelf.replicas > 1) || !has(self.config) || ['busy-reply-threshold', 'lua-time-limit'].all(name, !(name in self.config) || self.config[name].matches('^([1-9][0-9]{0,2}|[1-4][0-9]{3}|5000)$'))"
).message("busy-reply-threshold must be between 1 and 5000 with several replicas: a primary that runs a script has to say so before it is taken for dead").field_path(".config"))]
#[x_kube(validation = Rule::new(
    "!has(self.replicas) || (has(oldSelf.replicas) && self.replicas >= oldSelf.replicas) || !has(self.config) || ['min-replicas-to-write', 'min-slaves-to-write'].all(name, !(name in self.config) || (self.config[name].matches('^[0-9]{1,10}$') && int(self.config[name]) < self.replicas))"
).message("min-replicas-to-write must be at most replicas - 1, the number of replicas beside the primary: every write would be refused").field_path(".config"))]
#[serde(rename_all = "camelCase")]
pub struct RedisInstanceSpec {
    /// Container image with redis-server and redis-cli; the tag names the version. Default: the operator's --default-image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub image: Option<String>,
    /// Number of Redis pods, 1 to 16: one primary, the others its replicas. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("must be greater than or equal to 1"))]
    #[x_kube(validation = Rule::new("self <= 16").message("must be less than or equal to 16"))]
    pub replicas: Option<i32>,
    /// How the pods of an instance with several stay copies of each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication: Option<ReplicationSpec>,
    /// CPU and memory of each Redis container, as in a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Where the pods run, and what they carry beside Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    // Boxed: most instances have none, and every one is kept in memory.
    pub pod: Option<Box<PodOptions>>,
    /// The volume behind /data of each pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageSpec>,
    /// Directives of redis.conf by name; values are strings, so quote yes, no and numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 256))]
    pub config: Option<BTreeMap<String, ConfigValue>>,
    /// How clients authenticate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,
    /// How changes reach running pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_policy: Option<UpdatePolicySpec>,
}

/// The value of one redis.conf directive, as it would stand after the directive's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ConfigValue(#[schemars(length(max = 1024))] pub String);

/// The volume behind /data.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageSpec {
    /// Size of the volume of each pod, a quantity from 1Mi to 64Ti; may grow, never shrink. Default 1Gi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0")
        .message("may not be reduced: create a new RedisInstance with the smaller size and move the data"))]
    pub size: Option<String>,
    /// StorageClass of the volumes; absent = the cluster's default class, "" = no class. With 2 replicas or more another one may be named: the volumes move to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// What happens to the volumes when the instance is deleted: Retain keeps them, Delete deletes them. Default Retain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// What happens to the volumes when the instance is deleted: Retain keeps them, Delete deletes them. Default Retain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Retention {
    /// The claims, and the data, stay.
    #[default]
    Retain,
    /// The claims, and the data, go with the instance.
    Delete,
}

/// How the pods of an instance with several stay copies of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationSpec {
    /// What a primary that no replica hears may acknowledge: Bounded stops it within 10 s, Available never. Default Bounded with 3 replicas or more, else Available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// Seconds, 3 to 3600, that a primary may not answer the operator nor its replicas before its pod is ended and another is promoted. Default 6.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3, max = 3600))]
    pub failover_after_seconds: Option<i32>,
}

/// What a primary that no replica hears may acknowledge: Bounded stops it within 10 s, Available never. Default Bounded with 3 replicas or more, else Available.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Durability {
    /// At most the writes of 10 s can be lost with a primary that is cut off; none are taken while no replica is connected.
    Bounded,
    /// Writes are taken also while no replica is connected.
    #[default]
    Available,
}

/// How clients authenticate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthSpec {
    /// Whether clients need a password. false opens Redis to every pod that can reach it. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Secret with the password under the key `password`. Default: the operator generates NAME-auth once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_name: Option<String>,
}

/// How changes reach running pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdatePolicySpec {
    /// How a change of config is carried out: Auto picks the least disruptive way. Default Auto.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigUpdate>,
}

/// How a change of config is carried out: Auto picks the least disruptive way. Default Auto.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ConfigUpdate {
    /// The least disruptive way that works.
    #[default]
    Auto,
    /// Pods restart one at a time.
    RollingUpdate,
    /// All pods restart at once.
    Recreate,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What the CRD's own rules, run as the API server runs them, say to a spec or to a change of one.
    fn rules(old: Option<Value>, new: Value) -> Vec<String> {
        let instance = |spec: Value| -> RedisInstance {
            let metadata = json!({"name": "cache", "namespace": "shop"});
            serde_json::from_value(json!({"apiVersion": "redis.github.com/v1", "kind": "RedisInstance", "metadata": metadata, "spec": spec}))
                .unwrap()
        };
        let answer = match old {
            None => instance(new).validate_cel(),
            Some(old) => instance(new).validate_cel_update(&instance(old)),
        };
        let text = answer.err().map(|errors| errors.to_string()).unwrap_or_default();
        text.lines().filter_map(|line| line.trim_start().strip_prefix("- ")).map(str::to_owned).collect()
    }

    #[test]
    fn the_number_of_pods_has_bounds() {
        for (replicas, words) in
            [(0, "greater than or equal to 1"), (-1, "greater than or equal to 1"), (17, "less than or equal to 16")]
        {
            let faults = rules(None, json!({ "replicas": replicas }));
            assert!(faults.len() == 1 && faults[0].contains(words), "{replicas}: {faults:?}");
        }
        assert!(rules(None, json!({"replicas": 16})).is_empty() && rules(None, json!({})).is_empty());
    }

    #[test]
    fn scaling_is_held_against_the_directives_that_depend_on_the_number_of_pods() {
        let spec = |replicas: i32, name: &str, value: &str| json!({"replicas": replicas, "config": {name: value}});
        for (name, value, from, to, faults) in [
            ("replica-read-only", "no", 1, 2, 1),
            ("slave-read-only", "NO", 1, 16, 1),
            ("replica-read-only", "'no'", 1, 2, 1),
            ("slave-read-only", "\"\\x6eo\"", 1, 2, 1),
            ("replica-read-only", "Yes", 1, 2, 0),
            ("replica-read-only", "no", 2, 1, 0),
            ("replica-read-only", "no", 2, 3, 0), // stored before there was a rule: not held against another change
            ("min-replicas-to-write", "2", 3, 1, 1),
            ("min-slaves-to-write", "2", 4, 2, 1),
            ("min-replicas-to-write", "1", 3, 2, 0),
            ("min-replicas-to-write", "2147483647", 3, 2, 1),
            ("min-replicas-to-write", "5", 1, 2, 0),
            ("busy-reply-threshold", "0", 1, 3, 1),
            ("lua-time-limit", "30000", 1, 2, 1),
            ("lua-time-limit", "5001", 1, 2, 1),
            ("busy-reply-threshold", "5000", 1, 2, 0),
        ] {
            let told = rules(Some(spec(from, name, value)), spec(to, name, value));
            assert_eq!(told.len(), faults, "{name} {value}: {from} to {to}: {told:?}");
        }
        assert!(rules(Some(json!({"replicas": 1})), json!({"replicas": 3})).is_empty());
    }

    #[test]
    fn storage_grows_and_never_shrinks() {
        let sized = |size: &str| json!({"storage": {"size": size}});
        assert!(rules(Some(sized("1Gi")), sized("2Gi")).is_empty());
        assert!(rules(Some(sized("1Gi")), sized("1024Mi")).is_empty());
        assert_eq!(rules(Some(sized("1Gi")), sized("1023Mi")).len(), 1);
        assert!(rules(Some(sized("10GiB")), sized("1Gi")).is_empty(), "what was never a size can be mended");
    }

    #[test]
    fn the_storage_class_stays_but_where_a_replica_has_the_data() {
        let classed = |class: Option<&str>| {
            class.map_or_else(|| json!({"storage": {}}), |class| json!({"storage": {"storageClassName": class}}))
        };
        assert!(rules(Some(classed(Some("a"))), classed(Some("a"))).is_empty());
        for (old, new) in [(Some("a"), Some("b")), (Some("a"), None), (None, Some("")), (Some(""), None)] {
            assert_eq!(rules(Some(classed(old)), classed(new)).len(), 1, "{old:?} to {new:?}");
        }
        let several = |class: Option<&str>, replicas: i32| {
            let mut spec = classed(class);
            spec["replicas"] = replicas.into();
            spec
        };
        for (old, new, faults) in [
            (Some("a"), several(Some("b"), 2), 0),
            (None, several(Some("b"), 3), 0),
            (Some("a"), several(Some("b"), 1), 1),
            (Some("a"), several(Some(""), 3), 1),
            (Some("a"), several(None, 3), 1),
            (Some("a"), json!({"replicas": 3}), 0), // the webhook fills storage in, and judges it then
        ] {
            assert_eq!(rules(Some(classed(old)), new.clone()).len(), faults, "{old:?} to {new}");
        }
    }
}
