//! The running servers of an instance, as the kubelet tells of them: where each can be asked, and what tells one start from
//! another. Asks none.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{context::Context, observe};
use crate::domain::{
    instance::ValidatedInstance,
    live::has_password,
    names::CONFIG_HASH_ANNOTATION,
    observed::{container, is_ready, revision},
    redis_conf::restart_hash,
};

/// A running server.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the pod")]
pub(super) struct Running {
    pub(super) ordinal: i32,
    pub(super) pod: String,
    pub(super) uid: String,
    pub(super) address: IpAddr,
    /// Tells this start of this container from every other.
    pub(super) start: String,
    pub(super) ready: bool,
    /// Whether it was started with the present configuration; one that was not is about to be restarted.
    pub(super) current: bool,
    /// Whether its pod is on its way out.
    pub(super) leaving: bool,
    /// Whether it was started to ask for a password.
    pub(super) has_password: bool,
    /// Whether its pod is older than the pod template, so that it is about to be replaced.
    pub(super) is_outdated: bool,
}

/// All of them, also those that a smaller number is about to take away.
pub(super) fn running(instance: &ValidatedInstance, context: &Context) -> Vec<Running> {
    let set = observe::stateful_set(instance, context);
    let present = set.and_then(|set| set.spec.as_ref()?.replicas).unwrap_or(0);
    let pods = observe::pods(observe::of(instance), instance.replicas.max(present), context);
    let hash = restart_hash(instance);
    let newest = observe::update_revision(&instance.namespace, &instance.name, context);
    pods.iter().filter_map(|(ordinal, pod)| of(*ordinal, pod, &hash, newest.as_ref())).collect()
}

/// The address of a pod, whether its server runs or not.
pub(super) fn address(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

fn of(ordinal: i32, pod: &Pod, hash: &String, newest: Option<&String>) -> Option<Running> {
    let started = container(pod)?.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0;
    Some(Running {
        ordinal,
        pod: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        address: address(pod)?,
        start: format!("{}@{started}", pod.uid().unwrap_or_default()),
        ready: is_ready(pod),
        current: pod.annotations().get(CONFIG_HASH_ANNOTATION) == Some(hash),
        leaving: pod.metadata.deletion_timestamp.is_some(),
        has_password: has_password(&pod.metadata),
        is_outdated: newest.is_some_and(|newest| revision(pod).is_some_and(|revision| revision != newest)),
    })
}

/// The starts of these servers as a text: one that became ready is another.
pub(super) fn fingerprint(servers: &[Running]) -> String {
    let starts = servers.iter().map(|server| format!("{}{}", server.start, if server.ready { "" } else { "?" }));
    starts.collect::<Vec<_>>().join(" ")
}
