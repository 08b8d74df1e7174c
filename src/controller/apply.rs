//! Brings each child to its desired form: created if absent, applied (server-side) if it differs, else left alone.
//! Decides when a write is needed; what is written is `build`'s business.

use std::fmt::Debug;

use k8s_openapi::{NamespaceResourceScope, api::apps::v1::StatefulSet, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    runtime::reflector::ObjectRef,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    adoption,
    context::Context,
    error::Error,
    folded::Shelf,
    observe,
    ownership::obstacle,
    pruned::{Prune, Pruned},
    stop::Stop,
};
use crate::{
    build::Children,
    domain::{
        drift,
        instance::ValidatedInstance,
        names::{APPLIED_HASH_ANNOTATION, OPERATOR},
        redis_conf::hash,
    },
};

/// How often the ownership of fields is tried to be changed before the reconcile fails.
const CLAIM_TRIES: usize = 5;
/// What the API server says to a JSON patch whose test does not hold.
const UNPROCESSABLE: u16 = 422;

/// A kind of child.
pub(super) trait Child:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Prune
    + Send
    + Sync
    + 'static
{
}
impl<
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Prune
        + Send
        + Sync
        + 'static,
> Child for K
{
}

/// The StatefulSet as it was written, if it was, and what keeps another child from being as it should be.
pub(super) struct Applied {
    pub(super) stateful_set: Option<StatefulSet>,
    pub(super) blocked: Option<Stop>,
}

/// Applies every child, the StatefulSet last so that its pods find the rest.
pub(super) async fn children(
    instance: &ValidatedInstance,
    children: Children,
    context: &Context,
) -> Result<Applied, Stop> {
    let (stateful_set, blocked) = around_the_pods(instance, children, context).await?;
    // A StatefulSet that is created adopts the pods: in the last moment of the instance it would take them along.
    if observe::has_orphaned_pods(instance, context) && !adoption::may_adopt(instance, context).await? {
        return Err(adoption::finding("the pods").into());
    }
    let stateful_set = Box::pin(one(instance, stateful_set, &context.stores.stateful_sets, context)).await?;
    Ok(Applied { stateful_set, blocked })
}

/// Applies every child but the StatefulSet, which is handed back. A new kind of child that is forgotten here does not
/// compile. The children that only several pods have come before the Service that clients use: nothing is switched over
/// before everything that can be rejected was tried. One of them that is rejected is told and holds nothing up.
pub(super) async fn around_the_pods(
    instance: &ValidatedInstance,
    children: Children,
    context: &Context,
) -> Result<(StatefulSet, Option<Stop>), Stop> {
    let Children { config_map, pods_service, service, replicas_service, disruption_budget, stateful_set } = children;
    let stores = &context.stores;
    Box::pin(one(instance, config_map, &stores.config_maps, context)).await?;
    Box::pin(one(instance, pods_service, &stores.services, context)).await?;
    let mut blocked = None;
    if let Some(service) = replicas_service {
        blocked = blocked_by(Box::pin(one(instance, service, &stores.services, context)).await)?;
    }
    if let Some(budget) = disruption_budget {
        let budget = blocked_by(Box::pin(one(instance, budget, &stores.budgets, context)).await)?;
        blocked = blocked.or(budget);
    }
    Box::pin(one(instance, service, &stores.services, context)).await?;
    Ok((stateful_set, blocked))
}

/// What keeps a child from being applied, if it is something that the others need not wait for.
fn blocked_by<K>(applied: Result<Option<K>, Stop>) -> Result<Option<Stop>, Error> {
    match applied {
        Ok(_) => Ok(None),
        Err(Stop::Failed(error)) if error.rejection().is_none() => Err(error),
        Err(stop) => Ok(Some(stop)),
    }
}

/// Applies one child that is watched.
async fn one<K: Child>(
    instance: &ValidatedInstance,
    desired: K,
    shelf: &Shelf<K>,
    context: &Context,
) -> Result<Option<K>, Stop> {
    let desired = stamped(desired)?;
    let place = ObjectRef::from_obj(&desired);
    // Most are as they were applied, which their metadata tell.
    if shelf.glance(&place).is_some_and(|seen| is_as_applied(&desired, seen.as_ref(), instance, context)) {
        return Ok(None);
    }
    ensure_stamped(instance, desired, shelf.get(&place).as_deref(), context).await
}

/// Creates the child, or applies it where it differs from `live`. A child that is not known to exist is created, which
/// the API server refuses when the name is taken: so nothing of somebody else's is ever overwritten by a race. Answers
/// the child if it was written.
pub(super) async fn ensure<K: Child>(
    instance: &ValidatedInstance,
    desired: K,
    live: Option<&K>,
    context: &Context,
) -> Result<Option<K>, Stop> {
    ensure_stamped(instance, stamped(desired)?, live, context).await
}

async fn ensure_stamped<K: Child>(
    instance: &ValidatedInstance,
    desired: K,
    live: Option<&K>,
    context: &Context,
) -> Result<Option<K>, Stop> {
    let api: Api<Pruned<K>> = Api::namespaced(context.client.clone(), &instance.namespace);
    let (kind, name) = (K::kind(&()), desired.name_any());
    let desired = Pruned(desired);
    let found;
    let live = match live {
        Some(live) => live,
        None => match api
            .create(&PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() }, &desired)
            .await
        {
            Ok(Pruned(created)) => {
                tracing::info!(%kind, child = name, "created");
                return Ok(Some(written(instance, created, context)));
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                found = api.get(&name).await.map_err(Error::request("get", &kind, &name))?.0;
                &found
            }
            Err(error) => return Err(Error::request("create", &kind, &name)(error).into()),
        },
    };
    if let Some(finding) = obstacle(&kind, live.meta(), instance) {
        return Err(finding.into());
    }
    adoption::check(&kind, live.meta(), instance, context).await?;
    let desired = desired.0;
    if is_as_applied(&desired, live, instance, context) {
        return Ok(None);
    }
    if !differs(&desired, live)? {
        context.found_sound(&instance.uid, live);
        return Ok(None);
    }
    claim_fields(&api, &name).await.map_err(Error::request("claim the fields of", &kind, &name))?;
    // Only this very object: one that somebody else made meanwhile under the same name has another uid, and the API
    // server then refuses.
    let mut patch = typed(&desired)?;
    if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("uid".to_owned(), live.uid().into());
    }
    let Pruned(applied) = api
        .patch(&name, &PatchParams::apply(OPERATOR).force(), &Patch::Apply(patch))
        .await
        .map_err(Error::request("apply", &kind, &name))?;
    tracing::info!(%kind, child = name, "applied");
    Ok(Some(written(instance, applied, context)))
}

/// Whether the live object is of the version that was found to be this instance's and to hold all of the desired one.
fn is_as_applied<K, L>(desired: &K, live: &L, instance: &ValidatedInstance, context: &Context) -> bool
where
    K: Child,
    L: Resource<DynamicType = ()>,
{
    let hash = |metadata: &ObjectMeta| metadata.annotations.as_ref()?.get(APPLIED_HASH_ANNOTATION).cloned();
    hash(live.meta()) == hash(desired.meta()) && context.is_sound(&instance.uid, live)
}

/// The child, remembered as what the watch is about to show. Secrets are not watched.
fn written<K: Child>(instance: &ValidatedInstance, child: K, context: &Context) -> K {
    if K::kind(&()) != "Secret" {
        context.wrote(&instance.uid, &child);
    }
    child
}

/// The object with the hash of itself, by which a field that was taken away is noticed.
pub(super) fn stamped<K: Child>(mut desired: K) -> Result<K, Error> {
    let text = serde_json::to_string(&desired).map_err(|source| Error::Json { what: "a child", source })?;
    desired.annotations_mut().insert(APPLIED_HASH_ANNOTATION.to_owned(), hash(&text));
    Ok(desired)
}

/// The object with `apiVersion` and `kind`, which server-side apply wants to see.
fn typed<K: Child>(desired: &K) -> Result<Value, Error> {
    serde_json::to_value(desired).map_err(|source| Error::Json { what: "a child", source })
}

/// Whether the live object lacks anything of the desired one. Fields that others added are theirs.
fn differs<K: Child>(desired: &K, live: &K) -> Result<bool, Error> {
    Ok(!drift::holds(&typed(live)?, &typed(desired)?))
}

/// Turns the field ownership that creation gave us (operation Update) into that of server-side apply, without which
/// a field that is no longer desired would stay. Needed once in an object's life; what `kubectl` does when it migrates.
async fn claim_fields<K: Child>(api: &Api<Pruned<K>>, name: &str) -> Result<(), kube::Error> {
    let mut tries = 1..CLAIM_TRIES;
    loop {
        match try_claim_fields(api, name).await {
            // The entry is no longer where it was: somebody else began to own fields between the two requests.
            Err(kube::Error::Api(status)) if status.code == UNPROCESSABLE && tries.next().is_some() => {}
            outcome => return outcome,
        }
    }
}

async fn try_claim_fields<K: Child>(api: &Api<Pruned<K>>, name: &str) -> Result<(), kube::Error> {
    let live = api.get_metadata(name).await?;
    let created = |entry: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(OPERATOR)
            && entry.operation.as_deref() == Some("Update")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    };
    let Some((index, entry)) = live.managed_fields().iter().enumerate().find(|(_, entry)| created(entry)) else {
        return Ok(());
    };
    // Only that this entry is the same is asked for, and not that the object is: on one that others write to all the time
    // the operator would never get through.
    let at = format!("/metadata/managedFields/{index}");
    let patch = serde_json::json!([
        {"op": "test", "path": "/metadata/uid", "value": live.uid()},
        {"op": "test", "path": at, "value": entry},
        {"op": "replace", "path": format!("{at}/operation"), "value": "Apply"},
    ]);
    let patch: json_patch::Patch = serde_json::from_value(patch).map_err(kube::Error::SerdeError)?;
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    api.patch_metadata(name, &params, &Patch::Json::<()>(patch)).await.map(drop)
}
