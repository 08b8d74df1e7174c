//! Moves the volumes of several pods to another StorageClass: the claims are marked, the StatefulSet is made anew with the
//! other class, then one pod after another is given another volume. The only place that deletes a claim; whose turn it is,
//! and when, is `domain::migration`'s. Each step looks at the cluster first, so that a crash between any two is mended.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    runtime::reflector::ObjectRef,
};

use super::{
    context::Context,
    error::Error,
    events,
    expand::{self, Volumes},
    observe,
    replication::Roles,
    restart,
    stop::Stop,
};
use crate::domain::{
    instance::ValidatedInstance,
    migration::{self, MOVE_ANNOTATION, Step, Volume},
    names::{OPERATOR, pod},
    observed::{self, Aspect},
    reason::Reason,
    status::Finding,
};

/// Whether this claim is about to be replaced, so that nothing else is to be done with it.
pub(super) fn is_moving(claim: &PersistentVolumeClaim, instance: &ValidatedInstance) -> bool {
    Volume::of(claim, instance.storage.class.as_deref()) != Volume::Stays
}

/// Begins the move: writes the user's word on the claims, then lets go of the StatefulSet, whose claim template cannot be
/// changed in place.
pub(super) async fn begin(
    instance: &ValidatedInstance,
    class: &str,
    live: &StatefulSet,
    context: &Context,
) -> Result<Volumes, Stop> {
    let hindered = |reason, message| Ok(Volumes::Hindered(Aspect { holds: Some(false), reason, message }));
    if live.spec.as_ref().and_then(|spec| spec.replicas) != Some(instance.replicas) {
        let message = format!("the volumes move to StorageClass {class} when there are {} pods", instance.replicas);
        return hindered(Reason::Migrating, message);
    }
    if !is_there(class, context).await? {
        let message =
            format!("the volumes stay where they are: there is no StorageClass {class}; create it, or name another");
        return hindered(Reason::StorageClassNotFound, message);
    }
    for (_, claim) in observe::claims(instance, context) {
        mark(&claim, class, instance, context).await?;
    }
    expand::release(live, context).await?;
    let message = format!("the volumes move to StorageClass {class}, one pod at a time");
    Err(Finding::Changing(Reason::Migrating, message).into())
}

/// Whether there is such a StorageClass, as far as the operator may see that: one that looks after some namespaces only may not.
async fn is_there(class: &str, context: &Context) -> Result<bool, Error> {
    let api: Api<StorageClass> = Api::all(context.client.clone());
    match api.get_metadata_opt(class).await {
        Ok(found) => Ok(found.is_some()),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(true),
        Err(error) => Err(Error::request("get", "StorageClass", class)(error)),
    }
}

/// Writes on a claim of another class where its volume is to go, and takes off what an earlier word left there.
async fn mark(
    claim: &PersistentVolumeClaim,
    class: &str,
    instance: &ValidatedInstance,
    context: &Context,
) -> Result<(), Error> {
    let wanted = migration::is_of_another(claim, Some(class)).then_some(class);
    if claim.annotations().get(MOVE_ANNOTATION).map(String::as_str) == wanted {
        return Ok(());
    }
    let name = claim.name_any();
    let patch = serde_json::json!({"metadata": {"uid": claim.uid(), "annotations": {MOVE_ANNOTATION: wanted}}});
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &instance.namespace);
    match api.patch(&name, &params, &Patch::Merge(patch)).await {
        Ok(written) => {
            tracing::info!(claim = name, class = wanted, "marked the claim with the class that its volume moves to");
            context.wrote(&instance.uid, &written);
            Ok(())
        }
        Err(error) => Err(Error::request("patch", "PersistentVolumeClaim", &name)(error)),
    }
}

/// The next step, by what this pass found.
fn step(instance: &ValidatedInstance, roles: &Roles, context: &Context) -> Step {
    let class = instance.storage.class.as_deref();
    let volumes: Vec<(i32, Volume)> = observe::claims(instance, context)
        .iter()
        .map(|(ordinal, claim)| (*ordinal, Volume::of(claim, class)))
        .collect();
    let pods = observe::pods(observe::of(instance), instance.replicas, context);
    let serves = |ordinal: i32| pods.iter().any(|(at, pod)| *at == ordinal && observed::is_ready(pod) && stays(pod));
    // A pod without a claim gets one from the StatefulSet; until then it is no copy.
    let all = volumes.len() == pods.len() && i32::try_from(pods.len()) == Ok(instance.replicas);
    let seen = observe::observe(observe::of(instance), None, context);
    let is_rolling = !seen.rollout.is_some_and(|rollout| rollout.complete);
    let is_settled = |ordinal| all && roles.is_settled(ordinal) && serves(ordinal);
    migration::next(&volumes, roles.primary, is_rolling, is_settled)
}

fn stays(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
}

/// The primary that has to give up its role before its volume can be replaced, if it is its turn.
pub(super) fn next_left(instance: &ValidatedInstance, roles: Option<&Roles>, context: &Context) -> Option<i32> {
    match step(instance, roles?, context) {
        Step::HandOver(primary) => Some(primary),
        _ => None,
    }
}

/// Goes on with the move by one step; what is to be told of it, while it is not over.
pub(super) async fn advance(
    instance: &ValidatedInstance,
    roles: Option<&Roles>,
    context: &Context,
) -> Result<Option<Aspect>, Error> {
    let Some(roles) = roles else { return Ok(None) };
    let next = match step(instance, roles, context) {
        Step::Done => return Ok(None),
        Step::Replace(ordinal) => {
            replace(instance, ordinal, roles, context).await?;
            format!("giving {} another volume", pod(&instance.name, ordinal))
        }
        Step::HandOver(primary) => format!("the role of {} is handed over first", pod(&instance.name, primary)),
        Step::Wait => "waiting until all other pods have the data".to_owned(),
    };
    let claims = observe::claims(instance, context);
    let going = claims.iter().filter(|(_, claim)| is_moving(claim, instance));
    let what = match instance.storage.class.as_deref() {
        Some(class) if going.clone().any(|(_, claim)| claim.annotations().contains_key(MOVE_ANNOTATION)) => {
            format!("moved {} of {} volumes to StorageClass {class}", claims.len() - going.count(), instance.replicas)
        }
        _ => "a claim was deleted, whose volume is replaced".to_owned(),
    };
    Ok(Some(Aspect { holds: Some(false), reason: Reason::Migrating, message: format!("{what}: {next}") }))
}

/// Deletes the claim of a pod, then the pod, which holds it until it ends; the StatefulSet's controller makes both anew. Each
/// only as the very object that was seen, the claim only as it was last seen.
async fn replace(instance: &ValidatedInstance, ordinal: i32, roles: &Roles, context: &Context) -> Result<(), Error> {
    let name = pod(&instance.name, ordinal);
    let class = instance.storage.class.as_deref().unwrap_or_default();
    let claim = observe::claim(instance, ordinal, context);
    if let Some(claim) = claim.filter(|claim| claim.metadata.deletion_timestamp.is_none()) {
        let preconditions = Preconditions { uid: claim.uid(), resource_version: claim.resource_version() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &instance.namespace);
        match api.delete(&claim.name_any(), &params).await {
            Ok(_) => {
                tracing::info!(claim = claim.name_any(), class, "deleted a claim whose volume moves to another class");
                let primary = roles.primary.map(|primary| pod(&instance.name, primary)).unwrap_or_default();
                events::volume_replaced(instance, (&name, class, &primary), context).await;
            }
            // Changed since it was seen: the watch brings us back with what it is now.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => return Ok(()),
            Err(error) => return Err(Error::request("delete", "PersistentVolumeClaim", &claim.name_any())(error)),
        }
    }
    let seen = context.stores.pods.get(&ObjectRef::new(&name).within(&instance.namespace));
    if let Some(seen) = seen.filter(|pod| stays(pod))
        && restart::delete(&seen, context).await?
    {
        tracing::info!(pod = name, "deleted a pod, to start it with another volume");
    }
    Ok(())
}
