//! What the watches show of one instance. Reads the stores only; makes no request. An object that is not this instance's
//! is as if it were not there.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};
use serde::Deserialize;

use super::{
    context::Context,
    folded::Folded,
    migration::is_moving,
    ownership::{PodHolder, is_ours, pod_holder, runs_pods},
    replication::Roles,
};
use crate::{
    build::{Children, Gate},
    domain::{
        change::{Change, Class},
        directives::release::release,
        instance::ValidatedInstance,
        live::Live,
        names::{
            self, CAUSE_ANNOTATION, CONFIG_KEY, INSTANCE_LABEL, PRIMARY, ROLE_LABEL, TEMPLATE_HASH_ANNOTATION, pod,
        },
        observed::{self, Aspect, Observed, Trouble},
        replication::handover,
        rollout::{self, Plan, Seat},
        validate::REPLICAS_BOUND,
        volumes,
    },
};

/// Namespace, name and uid of the instance that is looked at.
pub(super) type Whose<'a> = (&'a str, &'a str, &'a str);

pub(super) fn of(instance: &ValidatedInstance) -> Whose<'_> {
    (&instance.namespace, &instance.name, &instance.uid)
}

/// Why the template changed when nothing in the spec did.
const BY_OPERATOR: &str = "the operator's pod template changed";

/// The StatefulSet that runs this instance's pods, if there is one that stays.
pub(super) fn stateful_set(instance: &ValidatedInstance, context: &Context) -> Option<Arc<StatefulSet>> {
    let live = context.stores.stateful_sets.get(&ObjectRef::new(&instance.name).within(&instance.namespace));
    live.filter(|live| is_ours(&live.metadata, instance))
}

/// How many pods this StatefulSet runs.
pub(super) fn running(set: &Folded<StatefulSet>) -> i32 {
    #[derive(Deserialize)]
    struct Part {
        spec: Option<Spec>,
    }
    #[derive(Deserialize)]
    struct Spec {
        replicas: Option<i32>,
    }
    set.part::<Part>().and_then(|part| part.spec?.replicas).unwrap_or(1)
}

/// The ConfigMap that the pods mount.
pub(super) fn config_map(instance: &ValidatedInstance, context: &Context) -> Option<Arc<ConfigMap>> {
    let live = context.stores.config_maps.get(&ObjectRef::new(&instance.name).within(&instance.namespace));
    live.filter(|live| is_ours(&live.metadata, instance))
}

/// What runs, as far as it decides about a change; `None` while there is no StatefulSet.
pub(super) fn live(instance: &ValidatedInstance, context: &Context) -> Option<Live> {
    let set = stateful_set(instance, context)?;
    Some(Live::observed(&set, config_map(instance, context).as_deref(), release(&instance.image)))
}

/// The pods that the StatefulSet of this instance has, each with its ordinal.
pub(super) fn pods((namespace, name, uid): Whose<'_>, wanted: i32, context: &Context) -> Vec<(i32, Arc<Pod>)> {
    let held = pods_held(namespace, name, uid, context).filter(|(ordinal, _, _)| *ordinal < wanted);
    held.filter(|(_, _, holder)| *holder == PodHolder::Ours).map(|(ordinal, pod, _)| (ordinal, pod)).collect()
}

/// The first pod among so many that the StatefulSet does not have yet, though its controller is about to adopt it. One that is
/// being deleted is never adopted, and may stay for as long as its node is away.
pub(super) fn unadopted((namespace, name, uid): Whose<'_>, wanted: i32, context: &Context) -> Option<String> {
    let mut held = pods_held(namespace, name, uid, context).filter(|(ordinal, _, _)| *ordinal < wanted);
    let is_adopted_soon = |pod: &Pod| pod.metadata.deletion_timestamp.is_none();
    held.find(|(_, pod, holder)| *holder == PodHolder::Unadopted && is_adopted_soon(pod))
        .map(|(_, pod, _)| pod.name_any())
}

/// Whether there is no StatefulSet, but pods that one would adopt.
pub(super) fn has_orphaned_pods(instance: &ValidatedInstance, context: &Context) -> bool {
    let place = ObjectRef::new(&instance.name).within(&instance.namespace);
    context.stores.stateful_sets.glance(&place).is_none() && unadopted(of(instance), REPLICAS_BOUND, context).is_some()
}

/// The pods with the names of this instance's, and whose each is.
fn pods_held<'a>(
    namespace: &'a str,
    name: &'a str,
    uid: &str,
    context: &'a Context,
) -> impl Iterator<Item = (i32, Arc<Pod>, PodHolder)> + use<'a> {
    let set = context.stores.stateful_sets.glance(&ObjectRef::new(name).within(namespace));
    let set = set.filter(|set| runs_pods(set.meta(), name, uid)).and_then(|set| set.uid());
    (0..REPLICAS_BOUND).filter_map(move |ordinal| {
        let pod = context.stores.pods.get(&ObjectRef::new(&pod(name, ordinal)).within(namespace))?;
        let holder = pod_holder(&pod.metadata, name, set.as_deref());
        Some((ordinal, pod, holder))
    })
}

/// The pods that are this instance's or are about to be, as after its StatefulSet was deleted without them.
fn present_pods(instance: &ValidatedInstance, context: &Context) -> Vec<(i32, Arc<Pod>)> {
    let held = pods_held(&instance.namespace, &instance.name, &instance.uid, context);
    held.filter(|(_, _, holder)| *holder != PodHolder::Foreign).map(|(ordinal, pod, _)| (ordinal, pod)).collect()
}

/// The claims that are there, each with the ordinal of its pod.
pub(super) fn claims(instance: &ValidatedInstance, context: &Context) -> Vec<(i32, Arc<PersistentVolumeClaim>)> {
    (0..instance.replicas).filter_map(|ordinal| Some((ordinal, claim(instance, ordinal, context)?))).collect()
}

/// The claim of the pod with this ordinal, if it is there.
pub(super) fn claim(
    instance: &ValidatedInstance,
    ordinal: i32,
    context: &Context,
) -> Option<Arc<PersistentVolumeClaim>> {
    let name = names::claim(&instance.name, ordinal);
    let claim = context.stores.claims.get(&ObjectRef::new(&name).within(&instance.namespace));
    claim.filter(|claim| claim.labels().get(INSTANCE_LABEL) == Some(&instance.name))
}

/// Whether there is any pod with the name and labels of one of this instance's that is not somebody else's.
pub(super) fn has_pods((namespace, name, uid): Whose<'_>, context: &Context) -> bool {
    pods_held(namespace, name, uid, context).any(|(.., holder)| holder != PodHolder::Foreign)
}

/// How far the volumes are on their way to the size that the spec wants.
pub(super) fn growth(instance: &ValidatedInstance, context: &Context) -> Option<Aspect> {
    let claims = claims(instance, context);
    // What is about to be replaced does not grow.
    let staying: Vec<_> =
        claims.iter().map(|(_, claim)| claim.as_ref()).filter(|claim| !is_moving(claim, instance)).collect();
    volumes::growth(&staying, instance.storage.size)
}

/// What ails a server that answers, as it told when it was last asked.
pub(super) fn trouble(instance: &ValidatedInstance, context: &Context) -> Option<Trouble> {
    context.recall(&instance.uid, |memory| memory.trouble.clone())
}

/// The children with the redis.conf that the ConfigMap has: what the servers did not take yet stays out of it.
pub(super) fn with_present_conf(instance: &ValidatedInstance, children: Children, context: &Context) -> Children {
    match config_map(instance, context).and_then(|map| map.data.as_ref()?.get(CONFIG_KEY).cloned()) {
        Some(conf) => children.with_conf(conf),
        None => children,
    }
}

/// The children with the Service for clients as it is led now, where it still leads to the first pod alone and no primary has
/// its label: a Service that led to the label would have no endpoint.
pub(super) fn with_present_lead(instance: &ValidatedInstance, children: Children, context: &Context) -> Children {
    let service = context.stores.services.get(&ObjectRef::new(&instance.name).within(&instance.namespace));
    let service = service.filter(|service| is_ours(&service.metadata, instance));
    let selector = service.as_ref().and_then(|service| service.spec.as_ref()?.selector.as_ref());
    let is_led_by_label = selector.is_none_or(|selector| selector.contains_key(ROLE_LABEL));
    let is_primary = |pod: &Pod| pod.labels().get(ROLE_LABEL).is_some_and(|role| role == PRIMARY);
    let pods = present_pods(instance, context);
    if is_led_by_label || pods.iter().any(|(_, pod)| is_primary(pod)) {
        children
    } else {
        children.led_by_the_first(instance)
    }
}

/// The template that the pods are to be made from, as the StatefulSet's controller names it.
pub(super) fn update_revision(namespace: &str, name: &str, context: &Context) -> Option<String> {
    let set = context.stores.stateful_sets.get(&ObjectRef::new(name).within(namespace))?;
    set.status.as_ref()?.update_revision.clone()
}

/// How many pods there are to be now.
pub(super) fn pods_to_keep(
    instance: &ValidatedInstance,
    live: Option<&Live>,
    roles: Option<&Roles>,
    context: &Context,
) -> i32 {
    let wanted = instance.replicas;
    match (live, roles) {
        (Some(live), Some(roles)) => handover::pods_to_keep(live.replicas, wanted, roles.primary, &roles.in_sync),
        // One that was adopted with its pods: who is primary is known in the next pass.
        (Some(live), None) => wanted.max(live.replicas),
        // The StatefulSet was released from its pods, or is new: who is primary is known when it is back.
        (None, _) => handover::pods_to_keep(pods_left(instance, context), wanted, None, &BTreeSet::new()),
    }
}

/// How many pods there are without a StatefulSet, up to the last that stays.
fn pods_left(instance: &ValidatedInstance, context: &Context) -> i32 {
    let pods = present_pods(instance, context);
    let staying = pods.iter().filter(|(_, pod)| pod.metadata.deletion_timestamp.is_none());
    staying.map(|(ordinal, _)| ordinal + 1).max().unwrap_or(0)
}

/// Whether there is more than the first pod, be it on its way out.
pub(super) fn has_several_pods(instance: &ValidatedInstance, context: &Context) -> bool {
    present_pods(instance, context).iter().any(|(ordinal, _)| *ordinal > 0)
}

/// The pods that the StatefulSet is to run, in order of ordinal, as a rollout sees them.
pub(super) fn seats(instance: &ValidatedInstance, running: i32, context: &Context) -> Vec<Seat> {
    let pods = pods(of(instance), running, context);
    let now = Time(Timestamp::now());
    let hindered = |pod: &Pod| observed::trouble_of(pod, &now).is_some_and(|t| t.stalled || t.is_unscheduled());
    let pod_of = |ordinal| pods.iter().find(|(at, _)| *at == ordinal).map(|(_, pod)| pod.as_ref());
    (0..running).map(|ordinal| Seat::of(ordinal, pod_of(ordinal), pod_of(ordinal).is_some_and(hindered))).collect()
}

/// The pod that the rollout restarts next, if it is to restart one.
pub(super) fn next_restarted(
    instance: &ValidatedInstance,
    children: &Children,
    roles: Option<&Roles>,
    context: &Context,
) -> Option<i32> {
    rolled(instance, children, stateful_set(instance, context).as_deref(), roles, context).1.next
}

/// Whether a new template is about to be applied, and how far it may go.
fn rolled(
    instance: &ValidatedInstance,
    children: &Children,
    live: Option<&StatefulSet>,
    roles: Option<&Roles>,
    context: &Context,
) -> (bool, Plan) {
    let hash = children.stateful_set.annotations().get(TEMPLATE_HASH_ANNOTATION);
    let outdated = live.is_some_and(|live| rollout::is_outdated(live, hash));
    let running = children.stateful_set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let copies = roles.map(Roles::copies).unwrap_or_default();
    (outdated, rollout::plan(live, &seats(instance, running, context), &copies, outdated))
}

/// How far the pods may follow the template that is about to be applied, and why it is another one. Not to the primary: the
/// role has to leave it first.
pub(super) fn gate(
    instance: &ValidatedInstance,
    children: &Children,
    changes: &[Change],
    roles: Option<&Roles>,
    context: &Context,
) -> Gate {
    let live = stateful_set(instance, context);
    let (outdated, Plan { partition, .. }) = rolled(instance, children, live.as_deref(), roles, context);
    let Some(live) = live else { return Gate { partition, cause: None } };
    let reasons: Vec<&str> =
        changes.iter().filter(|change| change.class == Class::Rolling).map(|change| change.reason.as_str()).collect();
    let cause = match (outdated, reasons.as_slice()) {
        (false, _) => live.annotations().get(CAUSE_ANNOTATION).cloned(),
        (true, []) => Some(BY_OPERATOR.to_owned()),
        (true, reasons) => Some(reasons.join("; ")),
    };
    Gate { partition, cause }
}

/// What the pods of this instance do, from this StatefulSet or else the one the watch last showed.
pub(super) fn observe(
    (namespace, name, uid): Whose<'_>,
    stateful_set: Option<&StatefulSet>,
    context: &Context,
) -> Observed {
    let cached = context.stores.stateful_sets.get(&ObjectRef::new(name).within(namespace));
    let stateful_set = stateful_set.or(cached.as_deref());
    let wanted = stateful_set.and_then(|set| set.spec.as_ref()?.replicas).unwrap_or(0);
    let pods = pods((namespace, name, uid), wanted, context);
    let pods: Vec<&Pod> = pods.iter().map(|(_, pod)| pod.as_ref()).collect();
    observed::observe(stateful_set, &pods, &Time(Timestamp::now()))
}
