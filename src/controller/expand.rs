//! Growth of the volumes while Redis runs: the claims are patched, then the StatefulSet, whose claim template cannot be
//! changed, is deleted without its pods, to be created anew with the larger one. Never deletes a claim.
//! Each step looks at the cluster first, so a crash between any two is mended by the next pass.

use std::time::{Duration, Instant};

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy},
    runtime::reflector::ObjectRef,
};

use super::{
    context::Context,
    error::Error,
    migration::{self, is_moving},
    observe,
    ownership::{is_leaving, is_ours},
    stop::Stop,
};
use crate::domain::{
    instance::ValidatedInstance,
    live::{claim_template, requested},
    migration::obstacle,
    names::OPERATOR,
    observed::Aspect,
    reason::Reason,
    status::Finding,
};

/// How long a refused growth is not asked for again.
const REFUSED: Duration = Duration::from_mins(5);

/// What stands between the volumes and what is desired of them.
pub(super) enum Volumes {
    /// They are, or will be, as desired: the StatefulSet can be applied as it is.
    AsDesired,
    /// They cannot be so: all else is applied over the StatefulSet's present claim template.
    Hindered(Aspect),
}

/// Brings the claims to the desired size. While the StatefulSet is being replaced there is nothing to apply, which stops the reconcile.
pub(super) async fn ensure_claims(
    instance: &ValidatedInstance,
    desired: &StatefulSet,
    context: &Context,
) -> Result<Volumes, Stop> {
    let live = context.stores.stateful_sets.get(&ObjectRef::from_obj(desired));
    let class = instance.storage.class.as_deref();
    let is_of_another = |live: &StatefulSet| {
        is_ours(&live.metadata, instance)
            && claim_template(live).is_some_and(|claim| claim.storage_class_name.as_deref() != class)
    };
    let moves = live.as_deref().filter(|live| is_of_another(live));
    let hindrance = obstacle(class, instance.replicas).filter(|_| moves.is_some());
    if let (Some(live), None, Some(class)) = (moves, hindrance, class) {
        return migration::begin(instance, class, live, context).await;
    }
    for (_, claim) in observe::claims(instance, context) {
        if let Some(hindrance) = grow(instance, &claim, context).await? {
            return Ok(hindrance);
        }
    }
    let Some((live, claim)) = live.as_ref().and_then(|live| Some((live, claim_template(live)?))) else {
        return Ok(Volumes::AsDesired);
    };
    if is_leaving(&live.metadata, instance) {
        let message = "waiting for the former StatefulSet and its pods to be gone".to_owned();
        return Err(Finding::Changing(Reason::Recreating, message).into());
    }
    if !is_ours(&live.metadata, instance) {
        return Ok(Volumes::AsDesired);
    }
    if let Some(why) = hindrance {
        return Ok(hindered(Reason::Refused, format!("spec.storage.storageClassName cannot be changed so: {why}")));
    }
    match requested(claim) {
        Some(size) if size > instance.storage.size => {
            let cure = "create a new RedisInstance with the smaller size and move the data";
            Ok(hindered(Reason::Refused, format!("spec.storage.size cannot be changed so; {cure}")))
        }
        Some(size) if size < instance.storage.size => {
            release(live, context).await?;
            let message = "the volumes grow; the pods keep running".to_owned();
            Err(Finding::Changing(Reason::Expanding, message).into())
        }
        _ => Ok(Volumes::AsDesired),
    }
}

/// The desired StatefulSet with the claim template of the live one, which cannot be changed in place.
pub(super) fn with_present_claims(mut desired: StatefulSet, context: &Context) -> StatefulSet {
    let live = context.stores.stateful_sets.get(&ObjectRef::from_obj(&desired));
    let present = live.and_then(|live| live.spec.as_ref()?.volume_claim_templates.as_ref()?.first()?.spec.clone());
    let template = desired.spec.as_mut().and_then(|spec| spec.volume_claim_templates.as_mut()?.first_mut());
    if let Some((template, present)) = template.and_then(|template| Some((template.spec.as_mut()?, present?))) {
        template.resources = present.resources;
        template.storage_class_name = present.storage_class_name;
    }
    desired
}

fn hindered(reason: Reason, message: String) -> Volumes {
    Volumes::Hindered(Aspect { holds: Some(false), reason, message })
}

/// Asks for a larger volume where the claim is smaller, also one that an earlier instance of this name left behind.
async fn grow(
    instance: &ValidatedInstance,
    claim: &PersistentVolumeClaim,
    context: &Context,
) -> Result<Option<Volumes>, Error> {
    let name = claim.name_any();
    if is_moving(claim, instance) {
        return Ok(None);
    }
    let Some(size) = claim.spec.as_ref().and_then(requested) else { return Ok(None) };
    if size >= instance.storage.size {
        return Ok(None);
    }
    // A refusal is remembered: asking again in every pass would be a write for nothing.
    if let Some((at, of, told)) = context.recall(&instance.uid, |memory| memory.growth_refused.clone())
        && of == instance.storage.size
        && at.elapsed() < REFUSED
    {
        return Ok(Some(Volumes::Hindered(told)));
    }
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &instance.namespace);
    let patch =
        serde_json::json!({"spec": {"resources": {"requests": {"storage": instance.storage.size.to_string()}}}});
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    match api.patch(&name, &params, &Patch::Merge(patch)).await {
        Ok(_) => {
            tracing::info!(claim = name, size = %instance.storage.size, "asked for a larger volume");
            Ok(None)
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            let Some((reason, cure)) = refusal(&status.message) else {
                return Err(Error::request("patch", "PersistentVolumeClaim", &name)(kube::Error::Api(status)));
            };
            let message = format!("the volume of {name} cannot grow from {size}: {}; {cure}", status.message);
            let told = Aspect { holds: Some(false), reason, message };
            let kept = (Instant::now(), instance.storage.size, told.clone());
            context.remember(&instance.uid, |memory| memory.growth_refused = Some(kept));
            Ok(Some(Volumes::Hindered(told)))
        }
        Err(error) => Err(Error::request("patch", "PersistentVolumeClaim", &name)(error)),
    }
}

/// What the API server refuses about the growth itself, with the way to mend it; its word about permissions is none.
fn refusal(message: &str) -> Option<(Reason, &'static str)> {
    let unsupported = "set allowVolumeExpansion on its StorageClass, or delete the instance with --cascade=orphan and create it with the present size";
    [
        ("must support resize", (Reason::ResizeUnsupported, unsupported)),
        ("exceeded quota", (Reason::QuotaExceeded, "raise the quota")),
    ]
    .into_iter()
    .find(|(words, _)| message.contains(words))
    .map(|(_, told)| told)
}

/// Deletes the StatefulSet and leaves its pods: only this very object, and only as it was last seen.
pub(super) async fn release(live: &StatefulSet, context: &Context) -> Result<(), Error> {
    let (name, namespace) = (live.name_any(), live.namespace().unwrap_or_default());
    let preconditions = Preconditions { uid: live.uid(), resource_version: live.resource_version() };
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    let api: Api<StatefulSet> = Api::namespaced(context.client.clone(), &namespace);
    match api.delete(&name, &params).await {
        Ok(_) => {
            tracing::info!(child = name, "deleted the StatefulSet without its pods, to create it with other claims");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::request("delete", "StatefulSet", &name)(error)),
    }
}
