//! Deletion and replacement of an instance: what stays, what goes, and what the status says meanwhile.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::{Value, json};

use crate::common::cluster::Place;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn deleting_an_instance_keeps_its_volume_unless_retention_is_delete() {
    let place = Place::new("delete").await;
    for (name, retention) in [("kept", "Retain"), ("gone", "Delete")] {
        place.create(name, json!({"storage": {"retention": retention}})).await.unwrap();
    }
    for name in ["kept", "gone"] {
        place.reaches(name, Phase::Running).await;
        let foreground = DeleteParams::foreground();
        place.api::<RedisInstance>().delete(name, &foreground).await.unwrap();
        place.gone::<RedisInstance>(name).await;
        place.gone::<StatefulSet>(name).await;
        place.gone::<ConfigMap>(name).await;
        place.gone::<Service>(name).await;
        place.gone::<Service>(&format!("{name}-pods")).await;
        place.gone::<Pod>(&format!("{name}-0")).await;
    }
    place.gone::<PersistentVolumeClaim>("redis-data-gone-0").await;
    let claims = place.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap();
    let names: Vec<String> = claims.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["redis-data-kept-0"]);
    place.gone::<Secret>("gone-auth").await;
    assert!(place.api::<Secret>().get_opt("kept-auth").await.unwrap().is_some(), "the password stays with the volume");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_instance_that_is_replaced_keeps_its_data_and_its_password() {
    let place = Place::new("replaced").await;
    place.create_running("cache", json!({"image": "redis:7.0.15", "storage": {"size": "64Mi"}})).await;
    let password = place.password("cache").await;
    let login = format!("AUTH {password}");
    let mut redis = place.connect("cache").await;
    assert_eq!((redis.ask(&login).await, redis.ask("SET order 4711").await), ("+OK".into(), "+OK".into()));
    // As `kubectl replace --force` does.
    for _ in 0..3 {
        place.api::<RedisInstance>().delete("cache", &DeleteParams::background()).await.unwrap();
        place.gone::<RedisInstance>("cache").await;
        place.create_running("cache", json!({"image": "redis:7.0.15", "storage": {"size": "64Mi"}})).await;
        assert_eq!(place.password("cache").await, password);
        let mut redis = place.connect("cache").await;
        assert_eq!((redis.ask(&login).await, redis.ask("GET order").await), ("+OK".into(), "4711".into()));
    }
    // Without its volume nothing holds the password.
    place.api::<RedisInstance>().delete("cache", &DeleteParams::background()).await.unwrap();
    place.gone::<Pod>("cache-0").await;
    place.delete::<PersistentVolumeClaim>("redis-data-cache-0").await;
    place.gone::<Secret>("cache-auth").await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_deletion_that_waits_is_shown_as_terminated() {
    let place = Place::new("terminated").await;
    place.create_running("cache", json!({})).await;
    // Something else holds a child back, as a backup or a policy controller does.
    let hold = |finalizers: Value| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let maps = place.api::<ConfigMap>();
    maps.patch("cache", &PatchParams::default(), &hold(json!(["test.example.com/hold"]))).await.unwrap();
    place.api::<RedisInstance>().delete("cache", &DeleteParams::foreground()).await.unwrap();
    place
        .until("cache", "phase Terminated", |instance: Option<&RedisInstance>| {
            instance
                .and_then(|instance| instance.status.as_ref())
                .is_some_and(|status| status.status == Phase::Terminated)
        })
        .await;
    maps.patch("cache", &PatchParams::default(), &hold(Value::Null)).await.unwrap();
    place.gone::<RedisInstance>("cache").await;
    place.leave().await;
}
