//! The StatefulSet: identity, volumes and update strategy. The pod itself is in `pod`.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{
            StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
        },
        core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
    },
};

use super::{metadata, pod};
use crate::{
    api::v1::Retention,
    domain::{
        instance::ValidatedInstance,
        names::{DATA_VOLUME, pods_service, selector_labels},
    },
};

pub(super) fn stateful_set(instance: &ValidatedInstance, config_hash: &str) -> StatefulSet {
    let spec = StatefulSetSpec {
        replicas: Some(instance.replicas),
        selector: LabelSelector { match_labels: Some(selector_labels(&instance.name)), ..LabelSelector::default() },
        service_name: Some(pods_service(&instance.name)),
        template: pod::template(instance, config_hash),
        volume_claim_templates: Some(vec![volume_claim(instance)]),
        // With OrderedReady a broken revision is never replaced by a corrected one (kubernetes#67250).
        pod_management_policy: Some("Parallel".to_owned()),
        persistent_volume_claim_retention_policy: Some(retention(instance.storage.retention)),
        update_strategy: Some(StatefulSetUpdateStrategy {
            type_: Some("RollingUpdate".to_owned()),
            ..StatefulSetUpdateStrategy::default()
        }),
        ..StatefulSetSpec::default()
    };
    StatefulSet { metadata: metadata(instance, instance.name.clone()), spec: Some(spec), ..StatefulSet::default() }
}

/// The one choice covers both ways in which a claim loses its pod: deletion of the instance, and fewer replicas.
fn retention(retention: Retention) -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    let policy = match retention {
        Retention::Retain => "Retain",
        Retention::Delete => "Delete",
    };
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: Some(policy.to_owned()),
        when_scaled: Some(policy.to_owned()),
    }
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
