//! No operator at all: what runs goes on, and whatever is deleted goes, in any order. A file of its own, because no other
//! test can work meanwhile.

mod common;

use std::collections::BTreeMap;

use common::{
    certificates::expired_leaf,
    cluster::{Place, eventually},
    deployed::{SYSTEM, scale},
    members::Members,
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn without_an_operator_redis_serves_and_deleting_works() {
    let (kept, leaving) = (Place::new("away").await, Place::new("away").await);
    for (name, retention) in [("stays", "Retain"), ("goes", "Delete"), ("bare", "Retain"), ("held", "Retain")] {
        kept.create(name, json!({"auth": {"enabled": false}, "storage": {"retention": retention}})).await.unwrap();
    }
    kept.create("several", json!({"replicas": 3})).await.unwrap();
    let held = |finalizers: &[&str]| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let params = PatchParams::default();
    kept.api::<RedisInstance>().patch("held", &params, &held(&["example.com/held"])).await.unwrap();
    leaving.create("cache", json!({})).await.unwrap();
    leaving.create("several", json!({"replicas": 3})).await.unwrap();
    for name in ["stays", "goes", "bare", "held", "several"] {
        kept.reaches(name, Phase::Running).await;
    }
    leaving.reaches("cache", Phase::Running).await;
    leaving.reaches("several", Phase::Running).await;
    kept.until("redis-data-goes-0", "owner", |claim: Option<&PersistentVolumeClaim>| {
        claim.is_some_and(|claim| claim.metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty()))
    })
    .await;
    let client = kept.client.clone();
    scale(&client, 0).await;

    assert_eq!(kept.connect("stays").await.ask("SET order 4711").await, "+OK");
    kept.delete::<Pod>("stays-0").await;
    eventually("the data in a pod that was replaced meanwhile", || async {
        (kept.connect("stays").await.ask("GET order").await == "4711").then_some(())
    })
    .await;
    let several = Members { place: &kept, instance: "several" };
    let primary = several.one_takes_writes().await;
    assert_eq!(several.ask(&primary, "SET order 4711").await, "+OK");
    for pod in ["several-0", "several-1", "several-2"] {
        eventually(&format!("the write in {pod}"), || async {
            (several.try_ask(pod, "GET order").await.as_deref() == Some("4711")).then_some(())
        })
        .await;
    }
    // One with a finalizer, whose owner takes it off: admission, which is away, has no say in that.
    kept.delete::<RedisInstance>("held").await;
    kept.until("held", "deletion that waits", |instance: Option<&RedisInstance>| {
        instance.is_some_and(|instance| instance.metadata.deletion_timestamp.is_some())
    })
    .await;
    assert_eq!(kept.connect("held").await.ask("PING").await, "+PONG", "until it is gone, it serves");
    kept.api::<RedisInstance>().patch("held", &params, &held(&[])).await.unwrap();
    kept.gone::<RedisInstance>("held").await;
    kept.gone::<Pod>("held-0").await;
    // Several pods, whose primary waits for a switchover while no operator runs.
    kept.delete::<RedisInstance>("several").await;
    for pod in ["several-0", "several-1", "several-2"] {
        kept.gone::<Pod>(pod).await;
    }
    kept.gone::<PodDisruptionBudget>("several").await;
    // An instance, one whose children were deleted before, and a namespace.
    kept.delete::<StatefulSet>("bare").await;
    kept.delete::<ConfigMap>("bare").await;
    for name in ["goes", "bare"] {
        kept.api::<RedisInstance>().delete(name, &DeleteParams::foreground()).await.unwrap();
        kept.gone::<RedisInstance>(name).await;
        kept.gone::<Pod>(&format!("{name}-0")).await;
    }
    kept.gone::<PersistentVolumeClaim>("redis-data-goes-0").await;
    assert!(kept.api::<PersistentVolumeClaim>().get_opt("redis-data-bare-0").await.unwrap().is_some());
    let (namespace, namespaces) = (leaving.namespace.clone(), Api::<Namespace>::all(client.clone()));
    leaving.leave().await;
    eventually(&format!("end of namespace {namespace}"), || async {
        namespaces.get_opt(&namespace).await.unwrap().is_none().then_some(())
    })
    .await;

    // It comes back to what is left, and to a certificate that has run out meanwhile.
    let secrets: Api<Secret> = Api::namespaced(client.clone(), SYSTEM);
    let (secret, mut parts) = ("redis-operator-webhook-cert", BTreeMap::new());
    for (key, bytes) in secrets.get(secret).await.unwrap().data.unwrap() {
        parts.insert(key, String::from_utf8(bytes.0).unwrap());
    }
    let (chain, key) = expired_leaf(&parts["ca.crt"], &parts["ca.key"], SYSTEM);
    let expired = Patch::Merge(json!({"stringData": {"tls.crt": chain, "tls.key": key}}));
    secrets.patch(secret, &params, &expired).await.unwrap();
    scale(&client, 2).await;
    eventually("admission again", || async { kept.create("again", json!({})).await.ok() }).await;
    kept.reaches("again", Phase::Running).await;
    kept.reaches("stays", Phase::Running).await;
    kept.leave().await;
}
