//! Every child object of an instance, as pure functions of a checked instance. Nothing here can fail on user input,
//! and the same instance always gives the same bytes.

mod config_map;
mod pod;
mod secret;
mod service;
mod stateful_set;

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Service},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

pub use self::secret::{auth_secret, generated_secret};
use crate::{
    api,
    domain::{instance::ValidatedInstance, redis_conf},
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
    /// The pods and their volumes.
    pub stateful_set: StatefulSet,
}

/// Builds every child of an instance.
#[must_use]
pub fn build(instance: &ValidatedInstance) -> Children {
    let conf = redis_conf::render(instance);
    Children {
        stateful_set: stateful_set::stateful_set(instance, &redis_conf::directives_hash(&conf)),
        config_map: config_map::config_map(instance, conf),
        pods_service: service::pods_service(instance),
        service: service::service(instance),
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
