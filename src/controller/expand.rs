//! Growth of the volumes while Redis runs: the claims are patched, then the StatefulSet, whose claim template cannot be
//! changed, is deleted without its pods, to be created anew with the larger one. Never deletes a claim.
//! Each step looks at the cluster first, so a crash between any two is mended by the next pass.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy},
    runtime::reflector::ObjectRef,
};

use super::{context::Context, error::Error, ownership::obstacle};
use crate::domain::{
    instance::ValidatedInstance,
    names::{DATA_VOLUME, OPERATOR, pod},
    quantity::Quantity,
    status::Finding,
};

/// Brings the claims to the desired size; `None` when the StatefulSet can be applied as it is desired.
pub(super) async fn ensure_claims(
    instance: &ValidatedInstance,
    desired: &StatefulSet,
    context: &Context,
) -> Result<Option<Finding>, Error> {
    let live = context.stores.stateful_sets.get(&ObjectRef::from_obj(desired));
    let Some((live, claim)) = live.as_ref().and_then(|live| Some((live, claim_template(live)?))) else {
        return Ok(None);
    };
    if obstacle("StatefulSet", &live.metadata, instance).is_some() {
        return Ok(live.metadata.deletion_timestamp.is_some().then(growing));
    }
    if claim_template(desired).is_some_and(|desired| desired.storage_class_name != claim.storage_class_name) {
        return Ok(Some(refused("spec.storage.storageClassName", "another class")));
    }
    let (Some(size), wanted) = (requested(claim), instance.storage.size) else { return Ok(None) };
    if size == wanted {
        return Ok(None);
    }
    if size > wanted {
        return Ok(Some(refused("spec.storage.size", "the smaller size")));
    }
    for ordinal in 0..live.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0) {
        if let Some(finding) =
            grow(instance, &format!("{DATA_VOLUME}-{}", pod(&instance.name, ordinal)), context).await?
        {
            return Ok(Some(finding));
        }
    }
    release(live, context).await?;
    Ok(Some(growing()))
}

fn growing() -> Finding {
    Finding::Changing("Expanding", "the volumes grow; the pods keep running".to_owned())
}

fn refused(field: &str, what: &str) -> Finding {
    Finding::Stalled(
        "Refused",
        format!(
            "{field} cannot be changed so; set it back, or create a new RedisInstance with {what} and move the data"
        ),
    )
}

fn claim_template(set: &StatefulSet) -> Option<&PersistentVolumeClaimSpec> {
    set.spec.as_ref()?.volume_claim_templates.as_ref()?.first()?.spec.as_ref()
}

fn requested(claim: &PersistentVolumeClaimSpec) -> Option<Quantity> {
    Quantity::parse(&claim.resources.as_ref()?.requests.as_ref()?.get("storage")?.0).ok()
}

/// Asks for a larger volume; what the class cannot do is said and not asked again before the next pass.
async fn grow(instance: &ValidatedInstance, name: &str, context: &Context) -> Result<Option<Finding>, Error> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &instance.namespace);
    let Some(claim) = api.get_opt(name).await.map_err(Error::request("get", "PersistentVolumeClaim", name))? else {
        return Ok(None);
    };
    if claim.spec.as_ref().and_then(requested).is_some_and(|size| size >= instance.storage.size) {
        return Ok(None);
    }
    let patch =
        serde_json::json!({"spec": {"resources": {"requests": {"storage": instance.storage.size.to_string()}}}});
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    match api.patch(name, &params, &Patch::Merge(patch)).await {
        Ok(_) => {
            tracing::info!(claim = name, size = %instance.storage.size, "asked for a larger volume");
            Ok(None)
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Some(Finding::Stalled(
            "ResizeUnsupported",
            format!(
                "the volume of {name} cannot grow; set spec.storage.size back, or use a class that allows expansion: {}",
                status.message
            ),
        ))),
        Err(error) => Err(Error::request("patch", "PersistentVolumeClaim", name)(error)),
    }
}

/// Deletes the StatefulSet and leaves its pods: only this very object, and only as it was last seen.
async fn release(live: &StatefulSet, context: &Context) -> Result<(), Error> {
    let (name, namespace) = (live.name_any(), live.namespace().unwrap_or_default());
    let preconditions = Preconditions { uid: live.uid(), resource_version: live.resource_version() };
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    let api: Api<StatefulSet> = Api::namespaced(context.client.clone(), &namespace);
    match api.delete(&name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::request("delete", "StatefulSet", &name)(error)),
    }
}
