//! What the watches show of one instance. Reads the stores only; makes no request.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::runtime::reflector::ObjectRef;

use super::context::Context;
use crate::domain::{
    names::{INSTANCE_LABEL, pod},
    observed::{self, Observed},
};

/// What the pods of this instance do, from this StatefulSet or else the one the watch last showed.
pub(super) fn observe(namespace: &str, name: &str, stateful_set: Option<&StatefulSet>, context: &Context) -> Observed {
    let cached = context.stores.stateful_sets.get(&ObjectRef::new(name).within(namespace));
    let stateful_set = stateful_set.or(cached.as_deref());
    let wanted = stateful_set.and_then(|set| set.spec.as_ref()?.replicas).unwrap_or(0);
    let pods: Vec<_> = (0..wanted)
        .filter_map(|ordinal| context.stores.pods.get(&ObjectRef::new(&pod(name, ordinal)).within(namespace)))
        .filter(|pod| {
            pod.metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get(INSTANCE_LABEL))
                .is_some_and(|owner| owner == name)
        })
        .collect();
    let pods: Vec<_> = pods.iter().map(AsRef::as_ref).collect();
    observed::observe(stateful_set, &pods)
}
