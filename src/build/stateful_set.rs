//! The StatefulSet: identity, volumes and update strategy. The pod itself is in `pod`.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{
            RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy,
            StatefulSetSpec, StatefulSetUpdateStrategy,
        },
        core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, PodTemplateSpec, VolumeResourceRequirements},
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference},
    },
};

use super::{Gate, metadata, owner_reference, pod};
use crate::{
    api::v1::Retention,
    domain::{
        instance::ValidatedInstance,
        names::{
            CAUSE_ANNOTATION, DATA_VOLUME, POD_OPTIONS_ANNOTATION, TEMPLATE_HASH_ANNOTATION, pods_service,
            selector_labels,
        },
        redis_conf::hash,
        rollout::resting_partition,
    },
};

pub(super) fn stateful_set(instance: &ValidatedInstance, pods: i32) -> StatefulSet {
    let template = pod::template(instance);
    let mut metadata = metadata(instance, instance.name.clone());
    let mut annotations = BTreeMap::from([(TEMPLATE_HASH_ANNOTATION.to_owned(), template_hash(&template))]);
    annotations.extend(pod_options(instance).map(|options| (POD_OPTIONS_ANNOTATION.to_owned(), options)));
    metadata.annotations = Some(annotations);
    let spec = StatefulSetSpec {
        replicas: Some(pods),
        selector: LabelSelector { match_labels: Some(selector_labels(&instance.name)), ..LabelSelector::default() },
        service_name: Some(pods_service(&instance.name)),
        template,
        volume_claim_templates: Some(vec![volume_claim(instance)]),
        // With OrderedReady a broken revision is never replaced by a corrected one (kubernetes#67250).
        pod_management_policy: Some("Parallel".to_owned()),
        persistent_volume_claim_retention_policy: Some(retention(instance.storage.retention)),
        update_strategy: Some(StatefulSetUpdateStrategy {
            type_: Some("RollingUpdate".to_owned()),
            rolling_update: Some(rolling_update(resting_partition(pods))),
        }),
        ..StatefulSetSpec::default()
    };
    StatefulSet { metadata, spec: Some(spec), ..StatefulSet::default() }
}

/// The StatefulSet behind a gate.
pub(super) fn gated(mut set: StatefulSet, gate: Gate) -> StatefulSet {
    if let Some(strategy) = set.spec.as_mut().and_then(|spec| spec.update_strategy.as_mut()) {
        strategy.rolling_update = Some(rolling_update(gate.partition));
    }
    if let Some(cause) = gate.cause {
        set.metadata.annotations.get_or_insert_default().insert(CAUSE_ANNOTATION.to_owned(), cause);
    }
    set
}

fn rolling_update(partition: i32) -> RollingUpdateStatefulSetStrategy {
    RollingUpdateStatefulSetStrategy { partition: Some(partition), ..RollingUpdateStatefulSetStrategy::default() }
}

/// The annotation from which `domain::live` reads the user's options.
fn pod_options(instance: &ValidatedInstance) -> Option<String> {
    let parts = instance.pod.fingerprint();
    if parts.is_empty() { None } else { serde_json::to_string(&parts).ok() }
}

/// sha256 of a pod template, in lower-case hex; a template that cannot be written has none, which equals no other.
fn template_hash(template: &PodTemplateSpec) -> String {
    serde_json::to_string(template).map(|text| hash(&text)).unwrap_or_default()
}

/// Deleting the StatefulSet, by hand or to create it again, never deletes data: the claims are deleted with the
/// instance through an ownerReference on them. Claims of a scale-in are left to the StatefulSet controller.
fn retention(retention: Retention) -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    let scaled = match retention {
        Retention::Retain => "Retain",
        Retention::Delete => "Delete",
    };
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: Some("Retain".to_owned()),
        when_scaled: Some(scaled.to_owned()),
    }
}

/// The ownerReference that deletes a claim with the instance, or its absence; applied with a separate field manager.
/// The uid prevents that the claim is created again after it was deleted.
#[must_use]
pub fn claim_ownership(instance: &ValidatedInstance, claim: &str, uid: &str) -> PersistentVolumeClaim {
    let owners = match instance.storage.retention {
        Retention::Retain => Vec::new(),
        Retention::Delete => vec![OwnerReference { controller: None, ..owner_reference(instance) }],
    };
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(claim.to_owned()),
            namespace: Some(instance.namespace.clone()),
            uid: Some(uid.to_owned()),
            owner_references: Some(owners),
            ..ObjectMeta::default()
        },
        ..PersistentVolumeClaim::default()
    }
}

/// The claims as owners of an object that is to live as long as any of them. None of them controls it.
#[must_use]
pub fn claims_as_owners<'a>(claims: impl Iterator<Item = &'a PersistentVolumeClaim>) -> Vec<OwnerReference> {
    let owner = |claim: &PersistentVolumeClaim| {
        let ObjectMeta { name, uid, .. } = &claim.metadata;
        Some(OwnerReference {
            api_version: "v1".to_owned(),
            kind: "PersistentVolumeClaim".to_owned(),
            name: name.clone()?,
            uid: uid.clone()?,
            controller: None,
            block_owner_deletion: None,
        })
    };
    claims.filter_map(owner).collect()
}

fn volume_claim(instance: &ValidatedInstance) -> PersistentVolumeClaim {
    let requests = BTreeMap::from([("storage".to_owned(), Quantity(instance.storage.size.to_string()))]);
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(DATA_VOLUME.to_owned()),
            labels: Some(selector_labels(&instance.name)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(requests),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: instance.storage.class.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
