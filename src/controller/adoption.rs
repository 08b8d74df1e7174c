//! Whether an instance may adopt an object without a controller. A deletion with `--cascade=orphan` first takes the owner off
//! the children: an instance that adopted them again in its last moment would take them along.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, ResourceExt, api::ListParams};

use super::{context::Context, error::Error, ownership::is_orphan, stop::Stop};
use crate::{
    api::v1::RedisInstance,
    domain::{instance::ValidatedInstance, reason::Reason, status::Finding},
};

/// Stops an instance that is being deleted before it writes to an object without a controller: a write adopts the object.
pub(super) async fn check(
    kind: &str,
    metadata: &ObjectMeta,
    instance: &ValidatedInstance,
    context: &Context,
) -> Result<(), Stop> {
    if !is_orphan(metadata) || may_adopt(instance, context).await? {
        return Ok(());
    }
    Err(finding(&format!("{kind} {}", metadata.name.as_deref().unwrap_or_default())).into())
}

/// Asks the API server whether the instance is still there to stay: the watch may not have shown its deletion yet. The
/// controllers of Kubernetes do the same before they adopt.
pub(super) async fn may_adopt(instance: &ValidatedInstance, context: &Context) -> Result<bool, Error> {
    let api: Api<RedisInstance> = Api::namespaced(context.client.clone(), &instance.namespace);
    let named = ListParams::default().fields(&format!("metadata.name={}", instance.name));
    let found = api.list_metadata(&named).await.map_err(Error::request("list", "RedisInstance", &instance.name))?;
    let stays = found
        .items
        .iter()
        .any(|found| found.uid().as_deref() == Some(&instance.uid) && found.metadata.deletion_timestamp.is_none());
    if !stays {
        tracing::info!("the instance is being deleted, so it adopts nothing");
    }
    Ok(stays)
}

/// What is reported of objects that are not adopted.
pub(super) fn finding(what: &str) -> Finding {
    Finding::Waiting(Reason::Deleting, format!("the instance is being deleted, so it does not adopt {what}"))
}
