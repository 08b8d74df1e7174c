//! Volumes that move to another StorageClass under a client that writes, on a real cluster with real Redis: pod by pod, no
//! acknowledged write lost, and no volume moved that was not to move.

mod common;

use std::collections::BTreeMap;

use common::{
    cluster::{Place, eventually},
    members::Members,
    pods::THREE_PODS,
    warnings::changed_with_warnings,
    writer::Writer,
};
use k8s_openapi::api::{core::v1::PersistentVolumeClaim, storage::v1::StorageClass};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use redis_operator::api::v1::Phase;
use serde_json::{Value, json};

/// Who makes volumes on the local cluster.
const FOLDERS: &str = "cluster.local/folder";

/// Three pods that serve, under a client that writes.
async fn written(place: &Place) -> (Members<'_>, Writer) {
    let members = place.create_cache(3, json!({})).await;
    let writer = Writer::start(place, "cache").await;
    writer.goes_on(50).await;
    (members, writer)
}

/// The primary, which has been given the key `order`.
async fn ordered(members: &Members<'_>) -> String {
    let primary = members.primary().await.unwrap();
    assert_eq!(members.ask(&primary, "SET order 4711").await, "+OK");
    primary
}

fn classed(class: &str) -> Value {
    json!({"storage": {"storageClassName": class}})
}

/// A StorageClass of the test's own, which this provisioner serves; its name.
async fn class(place: &Place, name: &str, provisioner: &str) -> String {
    let name = format!("{}-{name}", place.namespace);
    let class = json!({"metadata": {"name": name}, "provisioner": provisioner});
    let classes: Api<StorageClass> = Api::all(place.client.clone());
    classes.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
    name
}

/// Class and uid of each claim.
async fn claims(place: &Place) -> BTreeMap<String, (String, String)> {
    let labels = ListParams::default().labels("redis.github.com/instance=cache");
    let claims = place.api::<PersistentVolumeClaim>().list(&labels).await.unwrap().items;
    let class_and_uid = |claim: &PersistentVolumeClaim| {
        let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone()).unwrap_or_default();
        (claim.name_any(), (class, claim.uid().unwrap()))
    };
    claims.iter().map(class_and_uid).collect()
}

async fn all_are_of(place: &Place, class: &str) {
    let claims = claims(place).await;
    assert!(claims.len() == 3 && claims.values().all(|(held, _)| held == class), "not all of {class}: {claims:?}");
}

async fn every_pod_has(members: &Members<'_>, key: &str, value: &str) {
    for pod in THREE_PODS {
        assert_eq!(members.ask(pod, &format!("GET {key}")).await, value, "{key} in {pod}");
    }
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn volumes_move_to_another_class_and_back_under_a_writer() {
    let place = Place::new("move").await;
    let (members, writer) = written(&place).await;
    let primary = ordered(&members).await;
    let fast = class(&place, "fast", FOLDERS).await;

    let warned = changed_with_warnings(&place, "cache", classed(&fast)).await.unwrap();
    let expected = "spec.storage.storageClassName: replaces 3 volumes one by one, each copied from the primary; the old volumes are deleted";
    assert_eq!(warned, [expected]);
    place.reaches("cache", Phase::Running).await;
    all_are_of(&place, &fast).await;
    every_pod_has(&members, "order", "4711").await;
    assert_ne!(members.primary().await.unwrap(), primary, "its volume is another, so its role went first");
    for (reason, times) in [("Migrate", 1), ("VolumeReplaced", 3), ("HandedOver", 1)] {
        assert_eq!(place.events(reason).await.len(), times, "{reason}");
    }

    // Another word half way: what has moved comes back, what has not stays.
    let before = claims(&place).await;
    place.change("cache", classed("standard")).await;
    // A container that is ended in the moment of its start can hang in the runtime until its grace is over.
    eventually("first pod that serves with a volume that moved", || async {
        let now = claims(&place).await;
        let (claim, _) = now.iter().find(|(_, (class, _))| class == "standard")?;
        members.try_ask(claim.strip_prefix("redis-data-")?, "PING").await.filter(|answer| answer == "+PONG")
    })
    .await;
    place.change("cache", classed(&fast)).await;
    place.reaches("cache", Phase::Running).await;
    all_are_of(&place, &fast).await;
    assert!(claims(&place).await.values().any(|now| before.values().any(|former| former == now)), "one stayed");
    every_pod_has(&members, "order", "4711").await;
    writer.goes_on(50).await;
    writer.stop_without_loss("three volumes moved, and some there and back").await;
    leave(place, &[&fast]).await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_class_that_gives_no_volumes_costs_no_more_than_one_replica() {
    let place = Place::new("noclass").await;
    let (members, writer) = written(&place).await;
    let before = claims(&place).await;

    // There is no class of that name: the status says so, and nothing is touched.
    let fast = format!("{}-fast", place.namespace);
    place.change("cache", classed(&fast)).await;
    place.wait_for_message("there is no StorageClass").await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(claims(&place).await, before);

    // A class without a provisioner: the first volume waits, the others stay.
    let barren = class(&place, "barren", "cluster.local/nobody").await;
    place.change("cache", classed(&barren)).await;
    place.wait_for_message("its volume").await;
    writer.goes_on(50).await;
    let now = claims(&place).await;
    assert_eq!(now.iter().filter(|(name, claim)| before.get(*name) != Some(claim)).count(), 1, "{now:?}");

    // A corrected spec is enough.
    class(&place, "fast", FOLDERS).await;
    place.change("cache", classed(&fast)).await;
    place.reaches("cache", Phase::Running).await;
    all_are_of(&place, &fast).await;
    writer.goes_on(50).await;
    writer.stop_without_loss("a class that is not there, one without volumes, one with").await;
    assert_eq!(members.labelled_primary().await.len(), 1);
    leave(place, &[&fast, &barren]).await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_claim_that_is_deleted_is_replaced_when_the_others_have_the_data() {
    let place = Place::new("claim").await;
    let (members, writer) = written(&place).await;
    let primary = ordered(&members).await;
    let replica = THREE_PODS.into_iter().find(|pod| *pod != primary).unwrap();
    for pod in [replica, &primary] {
        let before = claims(&place).await;
        let claim = format!("redis-data-{pod}");
        place.api::<PersistentVolumeClaim>().delete(&claim, &DeleteParams::default()).await.unwrap();
        eventually(&format!("another claim {claim}"), || async {
            claims(&place).await.get(&claim).filter(|now| Some(*now) != before.get(&claim)).map(drop)
        })
        .await;
        place.reaches("cache", Phase::Running).await;
        let others = |claims: BTreeMap<String, (String, String)>| -> Vec<_> {
            claims.into_iter().filter(|(name, _)| *name != claim).collect()
        };
        assert_eq!(others(claims(&place).await), others(before), "the others stay");
        every_pod_has(&members, "order", "4711").await;
    }
    writer.stop_without_loss("a replica's and the primary's claim deleted").await;
    leave(place, &[]).await;
}

async fn leave(place: Place, classes: &[&str]) {
    let all: Api<StorageClass> = Api::all(place.client.clone());
    for class in classes {
        all.delete(class, &DeleteParams::default()).await.unwrap();
    }
    place.leave().await;
}
