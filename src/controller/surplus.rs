//! Takes away the children that only several pods need, when one pod is left. Never a volume, and only what is ours.

use std::fmt::Debug;

use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
    runtime::reflector::ObjectRef,
};

use super::{apply::Child, context::Context, error::Error, folded::Shelf, ownership::is_ours};
use crate::{
    build::Children,
    domain::{instance::ValidatedInstance, names::replicas_service},
};

/// Deletes what of the optional children is there and not wanted.
pub(super) async fn delete(instance: &ValidatedInstance, children: &Children, context: &Context) -> Result<(), Error> {
    if children.replicas_service.is_none() {
        one(instance, &replicas_service(&instance.name), &context.stores.services, context).await?;
    }
    if children.disruption_budget.is_none() {
        one(instance, &instance.name, &context.stores.budgets, context).await?;
    }
    Ok(())
}

async fn one<K: Child + Debug>(
    instance: &ValidatedInstance,
    name: &str,
    shelf: &Shelf<K>,
    context: &Context,
) -> Result<(), Error> {
    let live = shelf.glance(&ObjectRef::new(name).within(&instance.namespace));
    let Some(live) = live.filter(|live| is_ours(live.meta(), instance)) else { return Ok(()) };
    let api: Api<K> = Api::namespaced(context.client.clone(), &instance.namespace);
    let preconditions = Preconditions { uid: live.uid(), resource_version: None };
    match api.delete(name, &DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }).await {
        Ok(_) => {
            tracing::info!(kind = %K::kind(&()), child = name, "deleted what one pod does not need");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(Error::request("delete", &K::kind(&()), name)(error)),
    }
}
