//! Makes sure that a former primary cannot acknowledge writes before another server is promoted: its kubelet ends the pod.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
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
        replication::{
            Member,
            fence::{CONFIRMATION_LIMIT, GRACE_SECONDS},
            verdict::Cause,
        },
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

/// Whether a pod was to end so long ago that its kubelet is out of reach: on a node that is gone it stays until somebody deletes
/// the node, and a primary that no replica hears has stopped to acknowledge writes by then.
fn is_overdue(pod: &Pod, now: Timestamp) -> bool {
    let limit = SignedDuration::from_secs(i64::try_from(CONFIRMATION_LIMIT).unwrap_or(i64::MAX));
    let due = pod.metadata.deletion_timestamp.as_ref().map(|due| due.0.saturating_add(limit));
    due.is_some_and(|due| due.is_ok_and(|due| due < now))
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
    let now = Timestamp::now();
    let hidden = |pod: &&Pod| {
        runs(pod) && !is_overdue(pod, now) && pod_holder(&pod.metadata, &group.name, set.as_deref()) != PodHolder::Ours
    };
    Ok(pods.items.iter().find(hidden).map(|pod| {
        if pod.metadata.deletion_timestamp.is_some() {
            return format!("pod {name} is being deleted and still runs; waiting for it to end");
        }
        format!("pod {name} runs and is not a pod of the StatefulSet, so the operator cannot manage it; restore its labels, or delete it")
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_that_should_have_ended_long_ago_is_overdue() {
        let pod = |deleted: Option<&str>| -> Pod {
            serde_json::from_value(json!({"metadata": {"deletionTimestamp": deleted}})).unwrap()
        };
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        assert!(!is_overdue(&pod(None), now), "it stays");
        assert!(!is_overdue(&pod(Some("2026-01-01T00:01:20Z")), now), "its grace period lasts");
        assert!(!is_overdue(&pod(Some("2026-01-01T00:00:45Z")), now), "the kubelet may not have reported yet");
        assert!(is_overdue(&pod(Some("2026-01-01T00:00:39Z")), now));
    }
}
