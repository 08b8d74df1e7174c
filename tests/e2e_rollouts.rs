//! Restarts, drains and obstacles that others cause, on a real cluster under a client that writes without WAIT: no acknowledged
//! write is lost, and the status says what is in the way.

mod common;

use std::fs;

use common::{
    cluster::{Place, eventually},
    writer::Writer,
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    ResourceExt,
    api::{EvictParams, ListParams, Patch, PatchParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

/// Waits until a condition of the instance contains these words.
async fn says(place: &Place, words: &'static str) {
    place
        .until("cache", &format!("condition with {words:?}"), move |instance: Option<&RedisInstance>| {
            let status = instance.and_then(|instance| instance.status.clone()).unwrap_or_default();
            status.conditions.iter().any(|condition| condition.message.contains(words))
        })
        .await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn kubectl_rollout_restart_loses_no_write() {
    let place = Place::new("restart").await;
    let members = place.create_cache(3, json!({})).await;
    let writer = Writer::start(&place, "cache").await;
    writer.goes_on(50).await;
    let before = place.pod_uids().await;
    let mark = json!({"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"});
    let patch = Patch::Strategic(json!({"spec": {"template": {"metadata": {"annotations": mark}}}}));
    place.api::<StatefulSet>().patch("cache", &PatchParams::default(), &patch).await.unwrap();
    eventually("three other pods", || async {
        let now = place.pod_uids().await;
        (now.len() == 3 && now.is_disjoint(&before)).then_some(())
    })
    .await;
    place.reaches("cache", Phase::Running).await;
    members.one_takes_writes().await;
    writer.goes_on(50).await;
    writer.stop_without_loss("kubectl rollout restart").await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_drain_loses_no_write() {
    let place = Place::new("drained").await;
    let members = place.create_cache(3, json!({})).await;
    let writer = Writer::start(&place, "cache").await;
    writer.goes_on(50).await;
    // As kubectl drain does: every pod at once, each again as long as the PodDisruptionBudget refuses.
    let evictions = place.pod_uids().await.into_iter().map(|(pod, uid)| evict(&place, pod, uid));
    futures::future::join_all(evictions).await;
    place.reaches("cache", Phase::Running).await;
    members.one_takes_writes().await;
    writer.goes_on(50).await;
    writer.stop_without_loss("drain").await;
    place.leave().await;
}

/// Evicts this pod and waits until it is gone.
async fn evict(place: &Place, pod: String, uid: String) {
    let pods = place.api::<Pod>();
    let is_there = async || pods.get_opt(&pod).await.unwrap().filter(|live| live.uid().as_ref() == Some(&uid));
    eventually(&format!("eviction of {pod}"), || async {
        match pods.evict(&pod, &EvictParams::default()).await {
            Ok(_) => Some(()),
            Err(kube::Error::Api(refused)) if refused.code == 429 => None,
            Err(error) => panic!("{pod}: {error}"),
        }
    })
    .await;
    eventually(&format!("end of {pod}"), || async { is_there().await.is_none().then_some(()) }).await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_foreign_service_takes_no_endpoint_from_an_instance_that_grows() {
    let place = Place::new("foreign").await;
    place.create_cache(1, json!({})).await;
    let theirs = json!({"metadata": {"name": "cache-replicas"}, "spec": {"ports": [{"port": 6379}]}});
    place.put::<Service>(theirs).await;
    let writer = Writer::start(&place, "cache").await;
    writer.goes_on(50).await;
    place.change("cache", json!({"replicas": 3})).await;
    says(&place, "the name cache-replicas is taken by a Service").await;
    writer.goes_on(50).await;
    assert_eq!(endpoints(&place).await, 1, "the Service leads to the pod that takes the writes");
    assert_ne!(place.connect("cache").await.ask("PING").await, "", "new connections are accepted");

    place.delete::<Service>("cache-replicas").await;
    place.reaches("cache", Phase::Running).await;
    eventually("three pods", || async { (place.pod_uids().await.len() == 3).then_some(()) }).await;
    let ours: Service = place.api().get("cache-replicas").await.unwrap();
    assert!(ours.owner_references().iter().any(|owner| owner.kind == "RedisInstance"));
    writer.goes_on(50).await;
    writer.stop_without_loss("1 to 3 beside another's Service").await;
    place.leave().await;
}

/// How many ready endpoints the Service of the writes has.
async fn endpoints(place: &Place) -> usize {
    let labels = ListParams::default().labels("kubernetes.io/service-name=cache");
    let slices = place.api::<EndpointSlice>().list(&labels).await.unwrap().items;
    let ready = slices.iter().flat_map(|slice| slice.endpoints.iter());
    ready.filter(|endpoint| endpoint.conditions.as_ref().and_then(|held| held.ready) == Some(true)).count()
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_primary_that_cannot_save_a_snapshot_hands_its_role_over() {
    let place = Place::new("misconf").await;
    let members = place.create_cache(3, json!({"config": {"save": "1 1"}})).await;
    let writer = Writer::start(&place, "cache").await;
    writer.goes_on(50).await;
    let former = members.one_takes_writes().await;
    let dump = members.data(&former).await.join("dump.rdb");
    drop(fs::remove_file(&dump));
    fs::create_dir(&dump).unwrap();
    fs::write(dump.join("x"), "").unwrap();
    let primary = members.primary_after(&former).await;
    writer.goes_on(50).await;
    place.wait_for_event("HandedOver", "cannot write to its volume").await;
    says(&place, "cannot write a snapshot").await;
    writer.goes_on(50).await;
    assert_eq!(members.one_takes_writes().await, primary);
    writer.stop_without_loss("a snapshot that fails").await;

    // As a replica that cannot write, Redis 7 ends itself: this is another process, and the same volume.
    fs::remove_dir_all(members.data(&former).await.join("dump.rdb")).unwrap();
    place.reaches("cache", Phase::Running).await;
    place.leave().await;
}
