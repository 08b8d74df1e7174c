//! Every child object of an instance, as pure functions of a checked instance. Nothing here can fail on user input,
//! and the same instance always gives the same bytes.

mod config_map;
mod disruption;
mod pod;
mod scheduling;
mod secret;
mod service;
mod stateful_set;
pub mod webhooks;

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Service},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

pub use self::{
    secret::{auth_secret, auth_secret_with},
    stateful_set::{claim_ownership, claims_as_owners},
};
use crate::{
    api,
    domain::{instance::ValidatedInstance, names::CONFIG_KEY, redis_conf},
};

/// Every child that holds no secret, as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Children {
    /// redis.conf and the probe.
    pub config_map: ConfigMap,
    /// The headless Service behind the pods' DNS names.
    pub pods_service: Service,
    /// The Service that clients use.
    pub service: Service,
    /// The Service for clients that only read; present with several pods.
    pub replicas_service: Option<Service>,
    /// The disruption budget; present with several pods.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// The pods and their volumes.
    pub stateful_set: StatefulSet,
}

/// The partition of the rollout and the cause of the last template change: the fields of the StatefulSet that do not
/// follow from the spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Pods of this ordinal and above follow; 0 = all.
    pub partition: i32,
    /// The cause of the last template change, for users.
    pub cause: Option<String>,
}

/// Builds every child of an instance.
#[must_use]
pub fn build(instance: &ValidatedInstance) -> Children {
    build_with(instance, instance.replicas, instance.replicas > 1)
}

/// The children with another number of pods: during a scale-in the surplus pods stay until the primary is among the
/// others. `replicated` is true while any pod but the first exists, which keeps the Service for reads and the
/// disruption budget.
#[must_use]
pub fn build_with(instance: &ValidatedInstance, pods: i32, replicated: bool) -> Children {
    Children {
        stateful_set: stateful_set::stateful_set(instance, pods),
        config_map: config_map::config_map(instance, redis_conf::render(instance)),
        pods_service: service::pods_service(instance),
        service: service::service(instance, pods > 1),
        replicas_service: replicated.then(|| service::replicas_service(instance)),
        disruption_budget: replicated.then(|| disruption::disruption_budget(instance)),
    }
}

impl Children {
    /// The children with this partition and cause in the StatefulSet.
    #[must_use]
    pub fn gated(mut self, gate: Gate) -> Self {
        self.stateful_set = stateful_set::gated(self.stateful_set, gate);
        self
    }

    /// The children with servers that take no writes when they start, until the operator has determined which one has
    /// the newest data.
    #[must_use]
    pub fn fenced(mut self) -> Self {
        let conf = self.config_map.data.get_or_insert_default().entry(CONFIG_KEY.to_owned()).or_default();
        redis_conf::fence(conf);
        self
    }

    /// The children with a Service for clients that selects only the first pod, because the primary has no role label
    /// yet.
    #[must_use]
    pub fn led_by_the_first(mut self, instance: &ValidatedInstance) -> Self {
        self.service = service::service(instance, false);
        self
    }

    /// The children with another text for redis.conf: a configuration that the servers have not accepted stays out of
    /// the ConfigMap.
    #[must_use]
    pub fn with_conf(mut self, conf: String) -> Self {
        self.config_map.data.get_or_insert_default().insert(CONFIG_KEY.to_owned(), conf);
        self
    }
}

/// Metadata of a child: its name, the common labels, and the owner whose deletion takes it along.
fn metadata(instance: &ValidatedInstance, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(instance.namespace.clone()),
        labels: Some(instance.labels()),
        owner_references: Some(vec![owner_reference(instance)]),
        ..ObjectMeta::default()
    }
}

/// The instance as the controlling owner. `blockOwnerDeletion` makes a foreground deletion wait for the child.
fn owner_reference(instance: &ValidatedInstance) -> OwnerReference {
    OwnerReference {
        api_version: format!("{}/v1", api::GROUP),
        kind: api::KIND.to_owned(),
        name: instance.name.clone(),
        uid: instance.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{
        directives::release::release,
        instance::tests::{checked, validated},
        live::Live,
    };

    #[test]
    fn the_objects_tell_what_the_spec_tells() {
        for spec in [
            json!({}),
            json!({"auth": {"enabled": false}, "storage": {"size": "1.5Gi", "storageClassName": ""}}),
            json!({"resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}, "requests": {"cpu": "1m"}}}),
            json!({"config": {"save": "900 1 300 10", "slave-read-only": "NO", "maxmemory": "1GB", "databases": "4"}}),
            json!({"pod": {"labels": {"a": "b"}, "affinity": {"podAffinity": {}}, "tolerations": [{"operator": "Exists"}]}}),
            json!({"config": {"notify-keyspace-events": "", "maxmemory": "64mb"}, "updatePolicy": {"config": "Recreate"}}),
        ] {
            let instance = validated(spec);
            let children = build(&instance);
            let observed = Live::observed(&children.stateful_set, Some(&children.config_map), release(&instance.image));
            assert_eq!(observed, Live::of(&instance), "the loop must come to what admission told");
        }
    }

    #[test]
    fn what_the_operator_puts_on_the_pods_is_not_the_users_to_set() {
        let template = build(&validated(json!({}))).stateful_set.spec.unwrap().template.metadata.unwrap();
        for (section, own) in [("labels", template.labels.unwrap()), ("annotations", template.annotations.unwrap())] {
            assert!(!own.is_empty());
            for key in own.keys() {
                let errors = checked(json!({"pod": {section: {key: "x"}}})).unwrap_err();
                assert!(
                    errors.iter().all(|error| error.reason() == "FieldValueForbidden"),
                    "{section} {key}: {errors:?}"
                );
            }
        }
    }

    #[test]
    fn the_gate_does_not_touch_the_pods() {
        let instance = validated(json!({}));
        let closed = Gate { partition: 2, cause: Some("image changed".to_owned()) };
        let template = |children: Children| children.stateful_set.spec.map(|spec| spec.template);
        assert_eq!(template(build(&instance).gated(closed)), template(build(&instance)));
    }
}
