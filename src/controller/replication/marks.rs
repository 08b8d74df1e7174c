//! The marks on the claims, which outlive pods and operators: whose volume has the data of which term. Written only where they
//! differ.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::reflector::ObjectRef,
};

use super::{Group, labels::is_another, written::Written};
use crate::{
    controller::{context::Context, error::Error, folded::Folded, seen::version},
    domain::{
        instance::ValidatedInstance,
        names::{self, INSTANCE_LABEL, OPERATOR},
        replication::record::{Mark, REPLICATION_ANNOTATION, Record},
        validate::REPLICAS_BOUND,
    },
};

/// The marks of all claims of this name, also of those that no pod uses any more.
pub(super) fn read(namespace: &str, name: &str, uid: &str, context: &Context) -> Vec<(i32, Mark)> {
    let claim = |ordinal| context.stores.claims.glance(&ObjectRef::new(&names::claim(name, ordinal)).within(namespace));
    let ours =
        |claim: &Folded<PersistentVolumeClaim>| claim.labels().get(INSTANCE_LABEL).is_some_and(|owner| owner == name);
    (0..REPLICAS_BOUND)
        .filter_map(|ordinal| {
            let claim = claim(ordinal).filter(|claim| ours(claim) && claim.meta().deletion_timestamp.is_none())?;
            Some((ordinal, present(&claim, uid, context)?))
        })
        .collect()
}

/// The mark of a claim: what was written last, until the watch shows it.
fn present(claim: &Folded<PersistentVolumeClaim>, uid: &str, context: &Context) -> Option<Mark> {
    let written =
        context.recall(uid, |memory| memory.replication.marks.since(&claim.uid().unwrap_or_default(), version(claim)));
    written.or_else(|| Mark::parse(claim.annotations().get(REPLICATION_ANNOTATION)?))
}

/// The mark of the claim of a pod of this group.
pub(super) fn of(group: &Group<'_>, ordinal: i32, written: &Written<Mark>, context: &Context) -> Option<Mark> {
    let name = names::claim(&group.name, ordinal);
    let claim = context.stores.claims.glance(&ObjectRef::new(&name).within(&group.namespace))?;
    let written = written.since(&claim.uid().unwrap_or_default(), version(claim.as_ref()));
    written.or_else(|| Mark::parse(claim.annotations().get(REPLICATION_ANNOTATION)?))
}

/// Marks claim 0 of an instance that is about to get more pods, and that has no mark because it always ran alone: its pod has
/// the data, whether it can be asked now or not.
pub(in crate::controller) async fn record_alone(
    instance: &ValidatedInstance,
    running: Option<i32>,
    context: &Context,
) -> Result<(), Error> {
    let (namespace, name, uid) = (&instance.namespace, &instance.name, &instance.uid);
    let alone = running.map_or_else(|| has_one_claim(namespace, name, context), |running| running == 1);
    if instance.replicas <= 1 || !alone || !read(namespace, name, uid, context).is_empty() {
        return Ok(());
    }
    write(namespace, name, uid, 0, Mark::alone(), context).await
}

/// Whether claim 0 is there and no other: of an instance that had one pod and whose StatefulSet is gone.
fn has_one_claim(namespace: &str, name: &str, context: &Context) -> bool {
    let is_there = |ordinal| {
        context.stores.claims.glance(&ObjectRef::new(&names::claim(name, ordinal)).within(namespace)).is_some()
    };
    is_there(0) && !(1..REPLICAS_BOUND).any(is_there)
}

/// Whether the newest data of an instance with this many pods may be in a volume other than theirs, so that none of them may
/// take writes when it starts.
pub(in crate::controller) fn is_elsewhere(instance: &ValidatedInstance, pods: i32, context: &Context) -> bool {
    let record = Record::of(&read(&instance.namespace, &instance.name, &instance.uid, context));
    record.is_some_and(|record| record.primary.is_none_or(|primary| primary >= pods))
}

/// Marks the claim of a pod.
pub(super) async fn ensure(group: &Group<'_>, ordinal: i32, mark: Mark, context: &Context) -> Result<(), Error> {
    let name = names::claim(&group.name, ordinal);
    let claim = context.stores.claims.glance(&ObjectRef::new(&name).within(&group.namespace));
    let Some(claim) = claim.filter(|claim| claim.meta().deletion_timestamp.is_none()) else { return Ok(()) };
    if present(&claim, &group.uid, context).as_ref() == Some(&mark) {
        return Ok(());
    }
    write(&group.namespace, &group.name, &group.uid, ordinal, mark, context).await
}

async fn write(
    namespace: &str,
    instance: &str,
    instance_uid: &str,
    ordinal: i32,
    mark: Mark,
    context: &Context,
) -> Result<(), Error> {
    let name = names::claim(instance, ordinal);
    let claim = context.stores.claims.glance(&ObjectRef::new(&name).within(namespace));
    let mut patch = serde_json::json!({"metadata": {"annotations": {REPLICATION_ANNOTATION: mark.to_string()}}});
    // One that the watch does not show was made by hand, and gets the label by which it is found.
    let known = match claim.and_then(|claim| claim.uid()) {
        Some(uid) => serde_json::json!({"metadata": {"uid": uid}}),
        None => serde_json::json!({"metadata": {"labels": {INSTANCE_LABEL: instance}}}),
    };
    json_patch::merge(&mut patch, &known);
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
    match api.patch_metadata(&name, &params, &Patch::Merge(&patch)).await {
        Ok(written) => {
            tracing::info!(claim = name, %mark, "marked the claim");
            let (uid, version) = (written.uid().unwrap_or_default(), written.metadata.resource_version.as_ref());
            context.remember(instance_uid, |memory| memory.replication.marks.wrote(uid, version, mark));
            Ok(())
        }
        Err(kube::Error::Api(status)) if is_another(&status) => Ok(()),
        Err(error) => Err(Error::request("patch", "PersistentVolumeClaim", &name)(error)),
    }
}

/// Whether the claim of a pod is there to stay.
pub(super) fn is_lasting(group: &Group<'_>, ordinal: i32, context: &Context) -> bool {
    let claim =
        context.stores.claims.glance(&ObjectRef::new(&names::claim(&group.name, ordinal)).within(&group.namespace));
    claim.is_some_and(|claim| claim.meta().deletion_timestamp.is_none())
}

/// The term of a primary that is there: the recorded one, or a new one if another was recorded. One whose claim cannot be
/// marked, because it is on its way out, begins none.
pub(super) fn term(group: &Group<'_>, primary: i32, context: &Context) -> u64 {
    match &group.record {
        Some(record) if record.primary == Some(primary) => record.term,
        Some(record) if !is_lasting(group, primary, context) => record.term,
        _ => group.term() + 1,
    }
}
