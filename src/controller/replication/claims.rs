//! The claims of a group: which may hold data of an earlier life, and how a claim that was made by hand becomes one of the
//! instance's. A claim without the label of the instance is not shown by the watch.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::reflector::ObjectRef,
};

use super::{Group, labels::is_another};
use crate::{
    controller::{context::Context, error::Error, observe},
    domain::{
        names::{ADOPTED_ANNOTATION, INSTANCE_LABEL, OPERATOR, claim},
        observed::container,
        validate::REPLICAS_BOUND,
    },
};

/// How much older than the youngest claim one may be that was made with it.
const TOGETHER: Duration = Duration::from_secs(10);
/// How old a pod is at least when its claim must have been shown: the StatefulSet's controller makes the claim first.
const SHOWN: Duration = Duration::from_secs(2);

/// Labels the claims that the pods mount and that were made by hand or restored from a snapshot. Each is tried once a pod.
pub(super) async fn adopt(namespace: &str, name: &str, uid: &str, context: &Context) -> Result<(), Error> {
    let pods = observe::pods((namespace, name, uid), REPLICAS_BOUND, context);
    for ordinal in 0..REPLICAS_BOUND {
        let place = ObjectRef::new(&claim(name, ordinal)).within(namespace);
        if context.stores.claims.glance(&place).is_some() {
            continue;
        }
        let Some((_, pod)) = pods.iter().find(|(at, _)| *at == ordinal) else { continue };
        let pod_uid = pod.uid().unwrap_or_default();
        let tried = context.recall(uid, |memory| memory.replication.adopted.get(&ordinal) == Some(&pod_uid));
        if tried || !mounts(pod) {
            continue;
        }
        label(namespace, name, ordinal, context).await?;
        context.remember(uid, |memory| memory.replication.adopted.insert(ordinal, pod_uid));
    }
    Ok(())
}

/// Whether the claim of this pod exists: its volume is mounted, or the pod is not new.
fn mounts(pod: &Pod) -> bool {
    let runs = container(pod).is_some_and(|container| container.container_id.is_some());
    let age = pod.creation_timestamp().map(|made| Timestamp::now().duration_since(made.0));
    runs || age.is_some_and(|age| age.unsigned_abs() >= SHOWN)
}

async fn label(namespace: &str, name: &str, ordinal: i32, context: &Context) -> Result<(), Error> {
    let claim = claim(name, ordinal);
    let patch = serde_json::json!({"metadata": {
        "labels": {INSTANCE_LABEL: name},
        "annotations": {ADOPTED_ANNOTATION: "true"},
    }});
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
    match api.patch_metadata(&claim, &params, &Patch::Merge(&patch)).await {
        Ok(_) => {
            tracing::info!(claim, "labelled a claim that was not made from the template");
            Ok(())
        }
        Err(kube::Error::Api(status)) if is_another(&status) => Ok(()),
        Err(error) => Err(Error::request("patch", "PersistentVolumeClaim", &claim)(error)),
    }
}

/// Whether the volume of this pod may hold data that no record tells of.
pub(super) fn is_inherited(group: &Group<'_>, ordinal: i32, context: &Context) -> bool {
    let seen = |ordinal| {
        let name = claim(&group.name, ordinal);
        context.stores.claims.glance(&ObjectRef::new(&name).within(&group.namespace))
    };
    // A pod whose claim is not shown may mount one that was made by hand.
    let Some(own) = seen(ordinal) else { return group.object(ordinal).is_some() };
    let made = own.creation_timestamp().map(|made| made.0);
    let instance = group.stored.creation_timestamp().map(|made| made.0);
    let youngest = (0..group.running).filter_map(|other| Some(seen(other)?.creation_timestamp()?.0)).max();
    let older = |than: Option<Timestamp>, margin: Duration| {
        made.zip(than).is_some_and(|(made, than)| {
            let age = than.duration_since(made);
            age.is_positive() && age.unsigned_abs() > margin
        })
    };
    own.annotations().contains_key(ADOPTED_ANNOTATION) || older(instance, Duration::ZERO) || older(youngest, TOGETHER)
}
