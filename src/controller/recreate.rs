//! The destructive way that a user may ask for (`updatePolicy.config: Recreate`): the StatefulSet is deleted with its pods
//! and, when all of them are gone, made anew. The claims stay: that is made sure of before anything is deleted.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy},
};

use super::{apply, context::Context, error::Error, observe, stop::Stop};
use crate::{
    build::Children,
    domain::{
        change::{Change, Class},
        instance::ValidatedInstance,
        names::OPERATOR,
        reason::Reason,
        status::Finding,
    },
};

/// Brings everything but the StatefulSet up to date, and takes that away.
pub(super) async fn stateful_set(
    instance: &ValidatedInstance,
    children: Children,
    changes: &[Change],
    context: &Context,
) -> Result<Finding, Stop> {
    // What is rejected of the rest is reported when the StatefulSet is back.
    apply::around_the_pods(instance, children, context).await?;
    if let Some(live) = observe::stateful_set(instance, context) {
        delete(&live, instance, context).await?;
    }
    let reasons = changes.iter().filter(|change| change.class == Class::Recreate).map(|change| change.reason.as_str());
    Ok(Finding::Changing(Reason::Recreating, reasons.collect::<Vec<_>>().join("; ")))
}

/// Deletes the StatefulSet and its pods: only this very object, and only as it was last seen. The garbage collector takes
/// it away when the last pod has ended, and not before.
async fn delete(live: &StatefulSet, instance: &ValidatedInstance, context: &Context) -> Result<(), Error> {
    let api: Api<StatefulSet> = Api::namespaced(context.client.clone(), &instance.namespace);
    let name = live.name_any();
    if would_take_claims(live) {
        keep_claims(&api, live).await?;
        return Ok(());
    }
    if observe::claims(instance, context).iter().any(|(_, claim)| is_owned_by(claim, live)) {
        tracing::info!(child = name, "waiting for the StatefulSet controller to let go of the claims");
        return Ok(());
    }
    let preconditions = Preconditions { uid: live.uid(), resource_version: live.resource_version() };
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    match api.delete(&name, &params).await {
        Ok(_) => {
            tracing::info!(child = name, "deleted the StatefulSet with its pods, to create it again");
            Ok(())
        }
        // Changed since it was seen: the watch brings us back with what it is now.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(Error::request("delete", "StatefulSet", &name)(error)),
    }
}

fn would_take_claims(live: &StatefulSet) -> bool {
    let policy = live.spec.as_ref().and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
    policy.and_then(|policy| policy.when_deleted.as_deref()) == Some("Delete")
}

fn is_owned_by(claim: &PersistentVolumeClaim, set: &StatefulSet) -> bool {
    claim.owner_references().iter().any(|owner| Some(&owner.uid) == set.uid().as_ref())
}

/// Takes back what an earlier version of this operator, or somebody by hand, asked for.
async fn keep_claims(api: &Api<StatefulSet>, live: &StatefulSet) -> Result<(), Error> {
    let name = live.name_any();
    let patch = serde_json::json!({
        "metadata": {"uid": live.uid(), "resourceVersion": live.resource_version()},
        "spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}},
    });
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    match api.patch(&name, &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(Error::request("patch", "StatefulSet", &name)(error)),
    }
}
