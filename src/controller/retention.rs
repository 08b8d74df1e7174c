//! Whether the claims go with the instance: by an ownerReference on them, and by nothing else. Deleting the StatefulSet, by
//! hand or to make it anew, never takes data along. A generated password lives as long as the claims. Deletes nothing itself.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};

use super::{adoption, context::Context, error::Error, observe};
use crate::{
    api::v1::Retention,
    build::{claim_ownership, claims_as_owners},
    domain::{
        instance::{Auth, ValidatedInstance},
        validate::REPLICAS_BOUND,
    },
};

/// Field manager of the one field that is written here; another part of the operator writes the claims' size.
const MANAGER: &str = "redis-operator-retention";

/// Brings the owners of the claims, and of the Secret with a generated password, to what the spec says.
pub(super) async fn ensure(instance: &ValidatedInstance, settled: bool, context: &Context) -> Result<(), Error> {
    mark_claims(instance, context).await?;
    keep_password(instance, settled, context).await
}

/// Marks the claims as the spec says: owned by the instance with `Delete`, by nobody with `Retain`.
async fn mark_claims(instance: &ValidatedInstance, context: &Context) -> Result<(), Error> {
    let wants_owner = instance.storage.retention == Retention::Delete;
    let differing: Vec<_> = observe::claims(instance, context)
        .into_iter()
        .filter(|(_, claim)| claim.metadata.deletion_timestamp.is_none())
        .filter(|(_, claim)| claim.owner_references().iter().any(|owner| owner.uid == instance.uid) != wants_owner)
        .collect();
    // A claim that an instance owns again in its last moment would be deleted with it.
    if wants_owner && !differing.is_empty() && !adoption::may_adopt(instance, context).await? {
        return Ok(());
    }
    for (_, claim) in differing {
        let (name, uid) = (claim.name_any(), claim.uid().unwrap_or_default());
        let ownership = claim_ownership(instance, &name, &uid);
        let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &instance.namespace);
        match api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&ownership)).await {
            Ok(_) => tracing::info!(claim = name, retention = ?instance.storage.retention, "marked the claim"),
            // Gone, or another claim of this name by now: the watch brings us back.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(error) => return Err(Error::request("patch", "PersistentVolumeClaim", &name)(error)),
        }
    }
    Ok(())
}

/// Makes the claims owners of the Secret with a generated password, beside the instance. The garbage collector deletes an
/// object when the last of its owners is gone: with `Retain` the Secret stays with the claims, and an instance that is created
/// again adopts both, so that its clients go on with their password.
pub(super) async fn keep_password(instance: &ValidatedInstance, settled: bool, context: &Context) -> Result<(), Error> {
    if instance.auth != Auth::Generated || instance.storage.retention != Retention::Retain {
        return Ok(());
    }
    let claims: Vec<_> = (0..REPLICAS_BOUND)
        .filter_map(|ordinal| observe::claim(instance, ordinal, context))
        .filter(|claim| claim.metadata.deletion_timestamp.is_none())
        .collect();
    let uids: BTreeSet<String> = claims.iter().filter_map(|claim| claim.uid()).collect();
    let known = context.recall(&instance.uid, |memory| memory.passwords.owners.clone());
    // The operator before this one did it; the next look at the Secret shows whether that holds.
    let known = if settled { known } else { known.or_else(|| Some(BTreeSet::new())) };
    if known.is_none_or(|known| known.is_superset(&uids)) {
        return Ok(());
    }
    let owners = claims_as_owners(claims.iter().map(AsRef::as_ref));
    let name = instance.auth_secret();
    // Merged by uid; a Secret that is gone is not created by it.
    let patch = Patch::Strategic(serde_json::json!({"metadata": {"ownerReferences": owners}}));
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &instance.namespace);
    match api.patch_metadata(&name, &params, &patch).await {
        Ok(_) => tracing::info!(secret = name, "the claims own the Secret of the password too"),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => return Ok(()),
        // With the admission plugin OwnerReferencesPermissionEnforcement this needs the permission to delete Secrets, which the
        // operator does not ask for. The instance works without it.
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            tracing::warn!(secret = name, error = %status.message, "the password will not outlive the instance");
        }
        Err(error) => return Err(Error::request("patch", "Secret", &name)(error)),
    }
    context.remember(&instance.uid, |memory| memory.passwords.owners = Some(uids));
    Ok(())
}
