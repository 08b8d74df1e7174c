//! Replaces a pod whose Redis cannot run, when what it starts with was changed: the kubelet would wait up to five minutes
//! before it starts Redis again with another configuration, and the StatefulSet controller does not bring another template to
//! such a pod while a pod above it is not ready.

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
    rollout::{Seat, is_to_be_replaced},
};

/// Deletes the pods that cannot run with what they were made from, where the next pod of the name is made from something else;
/// each only as the very pod that was seen.
pub(super) async fn broken_pods(
    instance: &ValidatedInstance,
    changes: &[Change],
    context: &Context,
) -> Result<(), Error> {
    let live = changes.iter().any(|change| change.class == Class::Live);
    let set = observe::stateful_set(instance, context);
    let running = set.as_ref().and_then(|set| set.spec.as_ref()?.replicas).unwrap_or(instance.replicas);
    let seats = observe::seats(instance, running, context);
    for (ordinal, pod) in observe::pods(observe::of(instance), running, context) {
        let outdated = |seat: &Seat| {
            // The StatefulSet controller replaces one pod alone, which has nobody to wait for.
            running > 1 && set.as_ref().is_some_and(|set| is_to_be_replaced(set, seat))
        };
        let rolled = seats.iter().any(|seat| seat.ordinal == ordinal && outdated(seat));
        let restarted = live && is_crash_looping(&pod) && pod.metadata.deletion_timestamp.is_none();
        if (rolled || restarted) && delete(&pod, context).await? {
            tracing::info!(pod = pod.name_any(), rolled, "deleted a pod that could not run with the former spec");
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
