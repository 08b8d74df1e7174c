//! The running state that changes are classified against: derived from a validated spec, or read from the objects in
//! the cluster. Both give the same result for one instance, so that admission and the reconcile agree.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Container, PersistentVolumeClaimSpec, PodTemplateSpec},
    },
    apimachinery::pkg::{api::resource::Quantity as Amount, apis::meta::v1::ObjectMeta},
};

use super::{
    directives::release::{Release, release},
    effective::Effective,
    instance::ValidatedInstance,
    names::{
        AUTH_VOLUME, CONFIG_HASH_ANNOTATION, CONFIG_KEY, CONTAINER, PASSWORD_ANNOTATION, PASSWORD_REQUIRED,
        POD_OPTIONS_ANNOTATION,
    },
    quantity::Quantity,
    redis_conf::restart_hash,
    resources::Resources,
};
use crate::api::v1::Durability;

/// The running state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Image reference as it was typed.
    pub image: String,
    /// Pods that are wanted.
    pub replicas: i32,
    /// CPU and memory of the container.
    pub resources: Resources,
    /// The hashes of the pod options, by the names of the parts.
    pub pod: BTreeMap<String, String>,
    /// Size that each claim is made with; `None` when it cannot be read.
    pub size: Option<Quantity>,
    /// StorageClass of the claims: `None` = the default class, `Some("")` = no class.
    pub class: Option<String>,
    /// Whether clients need a password.
    pub auth: bool,
    /// The directives; `None` if the ConfigMap does not exist.
    pub config: Option<Effective>,
    /// sha256 of the configuration that the pods were started with, in lower-case hex; empty if it is unknown.
    pub restart_hash: String,
}

impl Live {
    /// The state that this instance would run with.
    #[must_use]
    pub fn of(instance: &ValidatedInstance) -> Self {
        let rounded = |of: &BTreeMap<String, Quantity>| {
            of.iter().map(|(name, amount)| (name.clone(), amount.rounded_up_to_milli())).collect()
        };
        Self {
            image: instance.image.as_str().to_owned(),
            replicas: instance.replicas,
            resources: Resources {
                limits: rounded(&instance.resources.limits),
                requests: rounded(&instance.resources.requests),
            },
            pod: instance.pod.fingerprint(),
            size: Some(instance.storage.size),
            class: instance.storage.class.clone(),
            auth: instance.auth.is_enabled(),
            config: Some(Effective::of(instance, release(&instance.image))),
            restart_hash: restart_hash(instance),
        }
    }

    /// The state of the objects in the cluster; the directives are read with the rules of this release.
    #[must_use]
    pub fn observed(set: &StatefulSet, config_map: Option<&ConfigMap>, release: Release) -> Self {
        let spec = set.spec.as_ref();
        let template = spec.map(|spec| &spec.template);
        let pod = template.and_then(|template| template.spec.as_ref());
        let container = pod.and_then(|pod| pod.containers.iter().find(|container| container.name == CONTAINER));
        let annotations = template.and_then(|template| template.metadata.as_ref()?.annotations.as_ref());
        let conf = config_map.and_then(|map| map.data.as_ref()?.get(CONFIG_KEY));
        let claim = claim_template(set);
        Self {
            image: container.and_then(|container| container.image.clone()).unwrap_or_default(),
            replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            resources: container.map(resources).unwrap_or_default(),
            pod: pod_options(set),
            size: claim.and_then(requested),
            class: claim.and_then(|claim| claim.storage_class_name.clone()),
            auth: template.is_some_and(requires_password),
            config: conf.map(|conf| Effective::read(conf, release)),
            restart_hash: annotations
                .and_then(|annotations| annotations.get(CONFIG_HASH_ANNOTATION).cloned())
                .unwrap_or_default(),
        }
    }
}

impl Live {
    /// The spec that can be applied now. An instance that had one pod does not wait for replicas before they have its
    /// data; otherwise no client could write until then.
    #[must_use]
    pub fn eased(&self, desired: &ValidatedInstance, has_replicas: bool) -> Option<ValidatedInstance> {
        let waits = |config: &Effective| config.words("min-replicas-to-write").is_some_and(|words| words != ["0"]);
        let alone = self.config.as_ref().is_some_and(|config| !waits(config));
        (desired.bounds_divergence() && alone && !has_replicas)
            .then(|| ValidatedInstance { durability: Durability::Available, ..desired.clone() })
    }
}

/// The claim template of a StatefulSet of ours.
#[must_use]
pub fn claim_template(set: &StatefulSet) -> Option<&PersistentVolumeClaimSpec> {
    set.spec.as_ref()?.volume_claim_templates.as_ref()?.first()?.spec.as_ref()
}

/// The size that a claim asks for.
#[must_use]
pub fn requested(claim: &PersistentVolumeClaimSpec) -> Option<Quantity> {
    Quantity::parse(&claim.resources.as_ref()?.requests.as_ref()?.get("storage")?.0).ok()
}

fn resources(container: &Container) -> Resources {
    let parsed = |of: Option<&BTreeMap<String, Amount>>| {
        of.into_iter()
            .flatten()
            .filter_map(|(name, amount)| Some((name.clone(), Quantity::parse(&amount.0).ok()?)))
            .collect()
    };
    let Some(resources) = &container.resources else { return Resources::default() };
    Resources { limits: parsed(resources.limits.as_ref()), requests: parsed(resources.requests.as_ref()) }
}

/// Read from the annotation of the StatefulSet and not from its template, which other controllers may have extended:
/// their additions are not changes.
fn pod_options(set: &StatefulSet) -> BTreeMap<String, String> {
    let annotation = set.metadata.annotations.as_ref().and_then(|annotations| annotations.get(POD_OPTIONS_ANNOTATION));
    annotation.and_then(|annotation| serde_json::from_str(annotation).ok()).unwrap_or_default()
}

/// Whether the servers of this template ask for a password.
#[must_use]
pub fn requires_password(template: &PodTemplateSpec) -> bool {
    let spec = template.spec.as_ref();
    let mounted = spec.into_iter().flat_map(|pod| pod.volumes.iter().flatten()).find(|one| one.name == AUTH_VOLUME);
    // A template from before the annotation has the volume only with a password.
    let before = mounted.and_then(|volume| volume.secret.as_ref()).is_some_and(|secret| secret.optional != Some(true));
    before || template.metadata.as_ref().is_some_and(has_password)
}

/// Whether the server of a pod with these metadata asks for a password.
#[must_use]
pub fn has_password(metadata: &ObjectMeta) -> bool {
    let annotation = metadata.annotations.as_ref().and_then(|annotations| annotations.get(PASSWORD_ANNOTATION));
    annotation.is_some_and(|value| value == PASSWORD_REQUIRED)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::instance::tests::validated;

    #[test]
    fn replicas_are_not_waited_for_before_the_first_of_them_has_the_data() {
        let (alone, three) = (validated(json!({})), validated(json!({"replicas": 3})));
        assert_eq!(Live::of(&alone).eased(&three, false).map(|eased| eased.durability), Some(Durability::Available));
        assert_eq!(Live::of(&alone).eased(&three, true), None);
        assert_eq!(Live::of(&three).eased(&three, false), None, "a primary that lost its replicas has to stop");
        assert_eq!(Live::of(&alone).eased(&validated(json!({"replicas": 2})), false), None);
    }
}
