//! Makes sure that a former primary cannot acknowledge writes before another server is promoted: its kubelet ends the pod.

use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
    runtime::reflector::ObjectRef,
};

use super::{Group, Roles, SOON, labels::is_another};
use crate::{
    controller::{
        context::Context,
        error::Error,
        events,
        ownership::{PodHolder, pod_holder},
    },
    domain::{
        observed::container,
        reason::Reason,
        replication::{Member, fence::GRACE_SECONDS, verdict::Cause},
    },
};

/// Has the kubelet end the pod of a primary that does not answer. A server that answers again before it is killed hands its
/// role over like that of any pod that is deleted.
pub(super) async fn ask(
    group: &Group<'_>,
    members: Vec<Member>,
    primary: i32,
    why: String,
    context: &Context,
) -> Result<Roles, Error> {
    let mut roles = Roles::missing(members, Reason::PrimaryUnreachable, format!("primary {why}"));
    roles.again = SOON;
    let Some(pod) = group.object(primary) else { return Ok(roles) };
    if !context.leadership.is_held() {
        return Err(Error::NotLeading);
    }
    let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.clone()), resource_version: None }),
        ..DeleteParams::default()
    };
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &group.namespace);
    match api.delete(&name, &params.grace_period(GRACE_SECONDS)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if is_another(&status) => return Ok(roles),
        Err(error) => return Err(Error::request("delete", "Pod", &name)(error)),
    }
    tracing::warn!(pod = name, why, "deleted the pod of a primary that does not answer");
    context.remember(&group.uid, |memory| memory.replication.fenced = Some((uid, Instant::now())));
    let note = format!("deleted pod {name}: {why}");
    events::role_changed(&group.stored.object_ref(&()), Reason::PrimaryFenced, note, context).await;
    Ok(roles)
}

/// Why nobody is promoted in the place of a primary whose pod the watch does not show: a pod that lost its labels runs on.
pub(super) async fn hidden_primary(
    group: &Group<'_>,
    cause: &Cause,
    context: &Context,
) -> Result<Option<String>, Error> {
    let former = group.record.as_ref().and_then(|record| record.primary);
    let Some(former) = former.filter(|former| matches!(cause, Cause::Failover(_)) && group.object(*former).is_none())
    else {
        return Ok(None);
    };
    let name = group.pod(former);
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &group.namespace);
    let named = ListParams::default().fields(&format!("metadata.name={name}"));
    let pods = api.list(&named).await.map_err(Error::request("list", "Pod", &name))?;
    let runs =
        |pod: &Pod| container(pod).is_some_and(|redis| redis.state.as_ref().is_some_and(|s| s.running.is_some()));
    // A new pod of this name, not shown yet, is another one: it starts without a role.
    let place = ObjectRef::new(&group.name).within(&group.namespace);
    let set = context.stores.stateful_sets.glance(&place).and_then(|set| set.uid());
    let hidden = |pod: &&Pod| runs(pod) && pod_holder(&pod.metadata, &group.name, set.as_deref()) != PodHolder::Ours;
    Ok(pods.items.iter().find(hidden).map(|_| {
        format!("pod {name} runs and is not a pod of the StatefulSet, so the operator cannot manage it; restore its labels, or delete it")
    }))
}
