//! Volumes: growth while Redis runs, a StorageClass that forbids it, and a retained PVC that another instance takes.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

use crate::common::cluster::{Place, eventually};

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn storage_grows_under_a_running_redis() {
    let place = Place::new("grow").await;
    place.create_running("cache", json!({"storage": {"size": "64Mi"}})).await;
    let pod = place.api::<Pod>().get("cache-0").await.unwrap().uid();
    place.change("cache", json!({"storage": {"size": "128Mi"}})).await;
    place.reaches("cache", Phase::Running).await;
    let claim: PersistentVolumeClaim = place.api().get("redis-data-cache-0").await.unwrap();
    assert_eq!(claim.spec.unwrap().resources.unwrap().requests.unwrap()["storage"].0, "128Mi");
    assert_eq!(place.api::<Pod>().get("cache-0").await.unwrap().uid(), pod, "growth must not restart the pod");
    let set: StatefulSet = place.api().get("cache").await.unwrap();
    let template = set.spec.unwrap().volume_claim_templates.unwrap().remove(0);
    assert_eq!(template.spec.unwrap().resources.unwrap().requests.unwrap()["storage"].0, "128Mi");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_volume_that_cannot_grow_holds_nothing_else_up() {
    let place = Place::new("fixed").await;
    let class = format!("fixed-{}", place.namespace);
    let classes: Api<StorageClass> = Api::all(place.client.clone());
    let fixed =
        json!({"metadata": {"name": class}, "provisioner": "cluster.local/folder", "allowVolumeExpansion": false});
    classes.create(&PostParams::default(), &serde_json::from_value(fixed).unwrap()).await.unwrap();
    place.create_running("cache", json!({"storage": {"size": "64Mi", "storageClassName": class}})).await;

    // Growth that the class forbids, with another change in the same breath.
    place.change("cache", json!({"storage": {"size": "128Mi"}, "config": {"maxmemory": "16mb"}})).await;
    let status = place.reaches("cache", Phase::Running).await.status.unwrap();
    let resized =
        status.conditions.iter().find(|condition| condition.type_ == "StorageResized").expect("StorageResized");
    assert_eq!((resized.status.as_str(), resized.reason.as_str()), ("False", "ResizeUnsupported"));
    assert!(resized.message.contains("allowVolumeExpansion"), "{}", resized.message);
    let mut redis = place.connect_logged_in("cache").await;
    assert_eq!(redis.ask("CONFIG GET maxmemory").await, "maxmemory 16777216");

    // The class allows it now: the next pass does the rest.
    let allow = Patch::Merge(json!({"allowVolumeExpansion": true}));
    classes.patch(&class, &PatchParams::default(), &allow).await.unwrap();
    place.change("cache", json!({"config": {"maxmemory": "17mb"}})).await;
    eventually("grown claim", || async { (claimed(&place, "redis-data-cache-0").await == "128Mi").then_some(()) })
        .await;
    place
        .until("cache", "end of StorageResized", |instance: Option<&RedisInstance>| {
            let status = instance.and_then(|instance| instance.status.clone()).unwrap_or_default();
            let resized = status.conditions.iter().find(|condition| condition.type_ == "StorageResized");
            status.status == Phase::Running && resized.is_some_and(|resized| resized.status == "True")
        })
        .await;
    classes.delete(&class, &DeleteParams::default()).await.unwrap();
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_retained_claim_is_taken_up_with_its_data_and_grows_to_the_new_size() {
    let place = Place::new("retained").await;
    place.create_running("cache", json!({"storage": {"size": "64Mi"}, "auth": {"enabled": false}})).await;
    assert_eq!(place.connect("cache").await.ask("SET order 4711").await, "+OK");
    place.api::<RedisInstance>().delete("cache", &DeleteParams::foreground()).await.unwrap();
    place.gone::<RedisInstance>("cache").await;
    place.create_running("cache", json!({"storage": {"size": "128Mi"}, "auth": {"enabled": false}})).await;
    assert_eq!(place.connect("cache").await.ask("GET order").await, "4711");
    eventually("grown claim", || async { (claimed(&place, "redis-data-cache-0").await == "128Mi").then_some(()) })
        .await;
    place.leave().await;
}

/// The size that a claim asks for.
async fn claimed(place: &Place, claim: &str) -> String {
    let claim: PersistentVolumeClaim = place.api().get(claim).await.unwrap();
    claim.spec.unwrap().resources.unwrap().requests.unwrap()["storage"].0.clone()
}
