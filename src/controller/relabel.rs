//! Restores the labels of a pod that lost them. The StatefulSet controller releases such a pod, cannot create another of that
//! name, and the Services lead past it, so the instance would stay broken until somebody repairs the labels by hand.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    runtime::reflector::ObjectRef,
};

use super::{
    context::Context,
    error::Error,
    observe,
    ownership::{PodHolder, pod_holder},
};
use crate::{
    api::v1::RedisInstance,
    domain::{
        names::{self, OPERATOR},
        observed::container,
    },
};

/// How old the StatefulSet is before a pod that is not shown is looked for: a new one has no pods yet.
const NEW: Duration = Duration::from_secs(10);
/// The least time between two looks for the hidden pods of one instance.
const PAUSE: Duration = Duration::from_secs(5);

/// Looks for the pods of the StatefulSet that the watch does not show, and labels those that run without their labels. Nothing
/// else depends on it: a failure is logged, and it is tried again.
pub(super) async fn restore(stored: &RedisInstance, context: &Context) {
    if let Err(error) = look(stored, context).await {
        tracing::warn!(%error, "cannot restore the labels of a pod");
    }
}

async fn look(stored: &RedisInstance, context: &Context) -> Result<(), Error> {
    let (namespace, name) = (stored.namespace().unwrap_or_default(), stored.name_any());
    let uid = stored.uid().unwrap_or_default();
    for ordinal in missing(&namespace, &name, &uid, context) {
        let pod = names::pod(&name, ordinal);
        let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
        let named = ListParams::default().fields(&format!("metadata.name={pod}"));
        let found = api.list(&named).await.map_err(Error::request("list", "Pod", &pod))?;
        let set = context.stores.stateful_sets.glance(&ObjectRef::new(&name).within(&namespace));
        let set = set.and_then(|set| set.uid());
        if let Some(hidden) = found.items.iter().find(|pod| has_lost_labels(pod, &name, ordinal, set.as_deref())) {
            label(&api, hidden, &name).await?;
        }
    }
    Ok(())
}

/// The ordinals whose pods the watch does not show, if it is time to look for them.
fn missing(namespace: &str, name: &str, uid: &str, context: &Context) -> Vec<i32> {
    let Some(set) = context.stores.stateful_sets.glance(&ObjectRef::new(name).within(namespace)) else {
        return Vec::new();
    };
    let age = set.creation_timestamp().map(|made| Timestamp::now().duration_since(made.0));
    let is_ours = set.owner_references().iter().any(|owner| owner.uid == uid);
    if !is_ours || set.meta().deletion_timestamp.is_some() || age.is_none_or(|age| age.unsigned_abs() < NEW) {
        return Vec::new();
    }
    let is_shown = |ordinal| {
        let place = ObjectRef::new(&names::pod(name, ordinal)).within(namespace);
        let pod = context.stores.pods.get(&place);
        pod.is_some_and(|pod| pod_holder(&pod.metadata, name, set.uid().as_deref()) != PodHolder::Foreign)
    };
    let missing: Vec<i32> = (0..observe::running(&set)).filter(|ordinal| !is_shown(*ordinal)).collect();
    let is_due = context.remember(uid, |memory| {
        let now = Instant::now();
        let is_due = !missing.is_empty() && memory.looked_for_pods.is_none_or(|last| now - last >= PAUSE);
        if is_due {
            memory.looked_for_pods = Some(now);
        }
        is_due
    });
    if is_due { missing } else { Vec::new() }
}

/// Whether this is the pod with this ordinal, without the labels by which the StatefulSet selects it. A pod that has another
/// controller, or does not mount the volume of this ordinal, is not the instance's.
fn has_lost_labels(pod: &Pod, name: &str, ordinal: i32, set: Option<&str>) -> bool {
    let metadata = &pod.metadata;
    let controller = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let is_free = controller.is_none_or(|owner| Some(owner.uid.as_str()) == set);
    let claim = names::claim(name, ordinal);
    let volumes = pod.spec.iter().filter_map(|spec| spec.volumes.as_ref()).flatten();
    let mut claims = volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref());
    metadata.deletion_timestamp.is_none()
        && is_free
        && container(pod).is_some()
        && claims.any(|mounted| mounted.claim_name == claim)
        && pod_holder(metadata, name, set) == PodHolder::Foreign
}

async fn label(api: &Api<Pod>, pod: &Pod, instance: &str) -> Result<(), Error> {
    let name = pod.name_any();
    let patch = serde_json::json!({"metadata": {
        "uid": pod.uid(), "resourceVersion": pod.resource_version(), "labels": names::labels(instance),
    }});
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    match api.patch_metadata(&name, &params, &Patch::Merge(&patch)).await {
        Ok(_) => {
            tracing::warn!(pod = name, "restored the labels of a pod that had lost them");
            Ok(())
        }
        // Changed or gone since it was read: it is looked for again.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(Error::request("patch", "Pod", &name)(error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_the_pod_of_the_instance_gets_its_labels_back() {
        let owner = |uid: &str| json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "cache", "uid": uid, "controller": true}]);
        let pod = |metadata: Value, claim: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": metadata,
                "spec": {"containers": [], "volumes": [
                    {"name": "conf", "configMap": {"name": "cache"}},
                    {"name": "redis-data", "persistentVolumeClaim": {"claimName": claim}},
                ]},
                "status": {"containerStatuses": [
                    {"name": "redis", "image": "", "imageID": "", "ready": true, "restartCount": 0}
                ]},
            }))
            .unwrap()
        };
        let lost = |metadata: Value| has_lost_labels(&pod(metadata, "redis-data-cache-1"), "cache", 1, Some("set"));
        assert!(lost(json!({"name": "cache-1"})), "released");
        assert!(lost(json!({"name": "cache-1", "ownerReferences": owner("set")})), "not released yet");
        assert!(lost(json!({"name": "cache-1", "labels": {"app": "redis", names::INSTANCE_LABEL: "other"}})));
        assert!(!lost(json!({"name": "cache-1", "ownerReferences": owner("another")})));
        assert!(!lost(json!({"name": "cache-1", "deletionTimestamp": "2026-01-01T00:00:00Z"})));
        assert!(!lost(json!({"name": "cache-1", "labels": names::labels("cache")})), "it has them");
        let other = pod(json!({"name": "cache-1"}), "redis-data-cache-2");
        assert!(!has_lost_labels(&other, "cache", 1, Some("set")), "a volume of another pod");
    }
}
