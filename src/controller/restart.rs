//! Starts a pod anew whose Redis ends again and again, when what it starts with was changed: the kubelet would wait up to
//! five minutes before it tries again. Only such a pod; a template that changes restarts its pods by itself.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};

use super::{context::Context, error::Error, events, observe};
use crate::domain::{
    change::{Change, Class},
    instance::ValidatedInstance,
    observed::is_crash_looping,
};

/// Deletes the pods that cannot start with the former configuration; each only as the very pod that was seen.
pub(super) async fn crashing_pods(
    instance: &ValidatedInstance,
    changes: &[Change],
    context: &Context,
) -> Result<(), Error> {
    if !changes.iter().any(|change| change.class == Class::Live) {
        return Ok(());
    }
    for (_, pod) in observe::pods(&instance.namespace, &instance.name, instance.replicas, context) {
        if !is_crash_looping(&pod) || pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        if delete(&pod, context).await? {
            tracing::info!(pod = pod.name_any(), "deleted a pod that could not start with the former configuration");
            events::pod_replaced(instance, &pod.name_any(), context).await;
        }
    }
    Ok(())
}

/// Deletes this very pod, which its StatefulSet's controller makes anew; whether it was there.
pub(super) async fn delete(pod: &Pod, context: &Context) -> Result<bool, Error> {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    match api.delete(&name, &DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(false),
        Err(error) => Err(Error::request("delete", "Pod", &name)(error)),
    }
}
