//! The marks on the claims, which outlive pods and operators: whose volume has the data of which term. Written only where they
//! differ.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::reflector::ObjectRef,
};

use super::{Group, labels::is_another};
use crate::{
    controller::{context::Context, error::Error, folded::Folded, seen::version},
    domain::{
        names::{self, INSTANCE_LABEL, OPERATOR},
        replication::record::{Mark, REPLICATION_ANNOTATION},
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

/// Marks the claim of a pod.
pub(super) async fn ensure(group: &Group<'_>, ordinal: i32, mark: Mark, context: &Context) -> Result<(), Error> {
    let name = names::claim(&group.name, ordinal);
    let claim = context.stores.claims.glance(&ObjectRef::new(&name).within(&group.namespace));
    let Some(claim) = claim.filter(|claim| claim.meta().deletion_timestamp.is_none()) else { return Ok(()) };
    if present(&claim, &group.uid, context).as_ref() == Some(&mark) {
        return Ok(());
    }
    let uid = claim.uid().unwrap_or_default();
    let patch =
        serde_json::json!({"metadata": {"uid": uid, "annotations": {REPLICATION_ANNOTATION: mark.to_string()}}});
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &group.namespace);
    match api.patch_metadata(&name, &params, &Patch::Merge(&patch)).await {
        Ok(written) => {
            tracing::info!(claim = name, %mark, "marked the claim");
            let version = written.metadata.resource_version.as_ref();
            context.remember(&group.uid, |memory| memory.replication.marks.wrote(uid, version, mark));
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
