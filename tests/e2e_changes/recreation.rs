//! A StatefulSet that is recreated or deleted: the PVC and its data stay.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::{ResourceExt, api::DeleteParams};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

use crate::common::cluster::Place;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_statefulset_that_is_deleted_never_takes_the_data_along() {
    let place = Place::new("sacred").await;
    let spec =
        json!({"storage": {"retention": "Delete"}, "updatePolicy": {"config": "Recreate"}, "auth": {"enabled": false}});
    place.create_running("cache", spec).await;
    assert_eq!(place.connect_logged_in("cache").await.ask("SET order 4711").await, "+OK");
    place
        .until("redis-data-cache-0", "owner", |claim: Option<&PersistentVolumeClaim>| {
            claim.is_some_and(|claim| claim.owner_references().iter().any(|owner| owner.kind == "RedisInstance"))
        })
        .await;
    let claim = place.api::<PersistentVolumeClaim>().get("redis-data-cache-0").await.unwrap().uid();

    // By the operator, as the policy asks for, and by hand.
    place.change("cache", json!({"config": {"hz": "20"}})).await;
    place.reaches("cache", Phase::Running).await;
    let set = place.api::<StatefulSet>().get("cache").await.unwrap().uid();
    place.api::<StatefulSet>().delete("cache", &DeleteParams::foreground()).await.unwrap();
    place
        .until("cache", "another StatefulSet", move |live: Option<&StatefulSet>| {
            live.is_some_and(|live| live.uid() != set && live.metadata.deletion_timestamp.is_none())
        })
        .await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(place.api::<PersistentVolumeClaim>().get("redis-data-cache-0").await.unwrap().uid(), claim);
    assert_eq!(place.connect_logged_in("cache").await.ask("GET order").await, "4711");

    // Kept after all, and then the instance goes.
    place.change("cache", json!({"storage": {"retention": "Retain"}})).await;
    place
        .until("redis-data-cache-0", "no owner", |claim: Option<&PersistentVolumeClaim>| {
            claim.is_some_and(|claim| claim.owner_references().is_empty())
        })
        .await;
    place.api::<RedisInstance>().delete("cache", &DeleteParams::foreground()).await.unwrap();
    place.gone::<RedisInstance>("cache").await;
    place.gone::<Pod>("cache-0").await;
    let left = place.api::<PersistentVolumeClaim>().get("redis-data-cache-0").await.unwrap();
    assert!(left.metadata.deletion_timestamp.is_none());
    place.leave().await;
}
