//! Whether the claims go with the instance: by an ownerReference on them, and by nothing else. Deleting the StatefulSet, by
//! hand or to make it anew, never takes data along. Deletes nothing itself.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};

use super::{context::Context, error::Error, observe};
use crate::{api::v1::Retention, build::claim_ownership, domain::instance::ValidatedInstance};

/// Field manager of the one field that is written here; another part of the operator writes the claims' size.
const MANAGER: &str = "redis-operator-retention";

/// Marks the claims as the spec says: owned by the instance with `Delete`, by nobody with `Retain`.
pub(super) async fn ensure(instance: &ValidatedInstance, context: &Context) -> Result<(), Error> {
    for (_, claim) in observe::claims(instance, context) {
        let owned = claim.owner_references().iter().any(|owner| owner.uid == instance.uid);
        let leaving = claim.metadata.deletion_timestamp.is_some();
        if leaving || owned == (instance.storage.retention == Retention::Delete) {
            continue;
        }
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
