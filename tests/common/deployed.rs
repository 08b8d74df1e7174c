//! The operator as it is deployed in the cluster: its pods, and which of them reconciles. Knows no test.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apps::v1::Deployment,
    coordination::v1::Lease,
    core::v1::Pod,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    audit,
    cluster::{Place, eventually, instance},
    pods::is_ready,
};

/// Namespace of the operator.
pub(crate) const SYSTEM: &str = "redis-operator-system";
/// Its account, as the API server names it.
pub(crate) const ACCOUNT: &str = "system:serviceaccount:redis-operator-system:redis-operator";
/// Name of its Deployment and of its Lease.
const OPERATOR: &str = "redis-operator";

/// The operator's pods.
pub(crate) fn pods(client: &Client) -> Api<Pod> {
    Api::namespaced(client.clone(), SYSTEM)
}

/// The name of the pod that reconciles, once it is there and ready.
pub(crate) async fn leader(client: &Client) -> String {
    let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM);
    eventually("operator that leads and is ready", || async {
        let holder =
            leases.get_opt(OPERATOR).await.unwrap()?.spec?.holder_identity.filter(|holder| !holder.is_empty())?;
        let pod = pods(client).get_opt(&holder).await.unwrap()?;
        is_ready(&pod).then_some(holder)
    })
    .await
}

/// Takes the operator and its webhooks away. Both come back when the Deployment is scaled out again.
pub(crate) async fn remove(client: &Client) {
    scale(client, 0).await;
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    mutating.delete(OPERATOR, &DeleteParams::default()).await.unwrap();
    validating.delete(OPERATOR, &DeleteParams::default()).await.unwrap();
}

/// Waits until every pod that the Deployment wants is there and ready, no other is, one of them leads, and the API server
/// reaches the webhooks.
pub(crate) async fn settled(client: &Client) -> String {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM);
    eventually("operator with all its pods", || async {
        let deployment = deployments.get(OPERATOR).await.unwrap();
        let wanted = usize::try_from(deployment.spec?.replicas?).unwrap();
        let status = deployment.status.unwrap_or_default();
        let updated = usize::try_from(status.updated_replicas.unwrap_or(0)).unwrap();
        let seen = status.observed_generation >= deployment.metadata.generation;
        let ours = ListParams::default().labels("app.kubernetes.io/name=redis-operator");
        let pods = pods(client).list(&ours).await.unwrap().items;
        (seen && updated == wanted && pods.len() == wanted && pods.iter().all(is_ready)).then_some(())
    })
    .await;
    let leader = leader(client).await;
    admits(client).await;
    leader
}

/// How often each of the operator's pods has taken up another certificate.
pub(crate) async fn reloads(client: &Client) -> BTreeMap<String, usize> {
    let ours = ListParams::default().labels("app.kubernetes.io/name=redis-operator");
    let mut reloads = BTreeMap::new();
    for pod in pods(client).list(&ours).await.unwrap() {
        let name = pod.name_any();
        let log = pods(client).logs(&name, &LogParams::default()).await.unwrap_or_default();
        reloads.insert(name, log.matches("serving certificate reloaded").count());
    }
    reloads
}

/// Waits until each pod that was there has taken up another certificate since.
pub(crate) async fn reloaded(client: &Client, before: &BTreeMap<String, usize>) {
    eventually("the new certificate in every operator", || async {
        let now = reloads(client).await;
        before.iter().all(|(pod, times)| now.get(pod).is_some_and(|now| now > times)).then_some(())
    })
    .await;
}

/// Has the kubelet look again at what it mounted into the operator's pods: it does so when a pod changes, and otherwise
/// every minute or two.
pub(crate) async fn remount(client: &Client) {
    let ours = ListParams::default().labels("app.kubernetes.io/name=redis-operator");
    let mut beat = tokio::time::interval(Duration::from_secs(3));
    for round in 0_u32.. {
        beat.tick().await;
        for pod in pods(client).list(&ours).await.unwrap() {
            let patch = json!({"metadata": {"annotations": {"test/looked": round.to_string()}}});
            drop(pods(client).patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await);
        }
    }
}

/// Waits until the API server gets an answer from the webhooks: a ready pod is not yet a reachable one.
pub(crate) async fn admits(client: &Client) {
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let instances = Api::default_namespaced(client.clone());
    eventually("admission that answers", || async { instances.create(&dry, &instance("probe", json!({}))).await.ok() })
        .await;
}

/// Brings the operator to so many pods, and waits until it is so.
pub(crate) async fn scale(client: &Client, replicas: usize) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM);
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    deployments.patch(OPERATOR, &PatchParams::default(), &patch).await.unwrap();
    if replicas > 0 {
        settled(client).await;
        return;
    }
    let ours = ListParams::default().labels("app.kubernetes.io/name=redis-operator");
    eventually("end of all operators", || async {
        pods(client).list(&ours).await.unwrap().items.is_empty().then_some(())
    })
    .await;
}

/// Has every pod of the operator replaced, as `kubectl rollout restart` does.
pub(crate) async fn restart(client: &Client, mark: &str) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM);
    let template = json!({"metadata": {"annotations": {"test/restarted": mark}}});
    let patch = Patch::Merge(json!({"spec": {"template": template}}));
    deployments.patch(OPERATOR, &PatchParams::default(), &patch).await.unwrap();
}

/// Gives the operator's pods another image, and answers which one they had.
pub(crate) async fn roll_to(client: &Client, image: &str) -> String {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM);
    let before = deployments.get(OPERATOR).await.unwrap().spec.unwrap().template.spec.unwrap();
    let before = before.containers.into_iter().find(|container| container.name == OPERATOR).unwrap();
    let pod = json!({"containers": [{"name": OPERATOR, "image": image}]});
    let patch = Patch::Strategic(json!({"spec": {"template": {"spec": pod}}}));
    deployments.patch(OPERATOR, &PatchParams::default(), &patch).await.unwrap();
    before.image.unwrap()
}

/// What a pod of the operator shows of what it counts.
pub(crate) async fn metrics(client: &Client, pod: &str) -> String {
    let address = pods(client).get(pod).await.unwrap().status.unwrap().pod_ip.unwrap();
    let mut stream = TcpStream::connect((address, 8081)).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// What the operator wrote in this namespace since then, and how often each.
pub(crate) fn writes(place: &Place, begun: Timestamp) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in audit::since(begun) {
        // Reading one Secret by name on the periodic pass is how a Secret is looked at without watching all of them.
        if entry.user() == ACCOUNT && entry.is_write() && entry.namespace() == place.namespace {
            let key = format!("{} {} {} -> {}", entry.verb(), entry.resource(), entry.name(), entry.code());
            *counts.entry(key).or_default() += 1;
        }
    }
    counts
}

/// Waits until the operator has written nothing in this namespace for two seconds.
pub(crate) async fn rests(place: &Place) {
    eventually("two seconds without a write", || async {
        let recent = Timestamp::now() - SignedDuration::from_secs(2);
        writes(place, recent).is_empty().then_some(())
    })
    .await;
}
