//! A new instance serves, with a password or without one, and Redis runs with what the spec says.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use redis_operator::api::v1::Phase;
use serde_json::json;

use crate::common::cluster::Place;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_instance_serves_and_its_data_outlives_its_pod() {
    let place = Place::new("serve").await;
    let instance = place.create_running("cache", json!({})).await;
    let phases: Vec<Phase> = instance.status.unwrap().history.iter().map(|change| change.phase).collect();
    assert_eq!(phases, [Phase::Creating, Phase::Pending, Phase::Running]);

    let mut redis = place.connect("cache").await;
    assert!(redis.ask("PING").await.starts_with("-NOAUTH"), "redis must not be open without a password");
    assert_eq!(redis.ask(&format!("AUTH {}", place.password("cache").await)).await, "+OK");
    assert_eq!(redis.ask("SET order 4711").await, "+OK");

    let pod: Pod = place.api().get("cache-0").await.unwrap();
    place.delete::<Pod>("cache-0").await;
    let uid = pod.uid();
    place.wait_for_new_pod("cache-0", uid).await;
    let mut redis = place.connect_logged_in("cache").await;
    assert_eq!(redis.ask("GET order").await, "4711");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn without_a_password_by_choice_every_pod_is_answered() {
    let place = Place::new("open").await;
    place.create_running("cache", json!({"auth": {"enabled": false}})).await;
    assert_eq!(place.connect("cache").await.ask("PING").await, "+PONG");
    assert!(place.api::<Secret>().get_opt("cache-auth").await.unwrap().is_none());
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_changed_directive_reaches_redis_and_a_removed_field_leaves() {
    let place = Place::new("change").await;
    let limits = json!({"limits": {"memory": "256Mi", "cpu": 1}});
    place.create_running("cache", json!({"config": {"maxmemory": "100mb"}, "resources": limits})).await;
    place
        .change(
            "cache",
            json!({"config": {"maxmemory": "64mb", "save": "900 1 300 10"}, "resources": {"limits": {"cpu": null}}}),
        )
        .await;
    let status = place.reaches("cache", Phase::Running).await.status.unwrap();
    assert!(status.history.iter().any(|change| change.phase == Phase::Updating), "{:?}", status.history);
    let mut redis = place.connect_logged_in("cache").await;
    assert_eq!(redis.ask("CONFIG GET maxmemory").await, "maxmemory 67108864");
    assert_eq!(redis.ask("CONFIG GET save").await, "save 900 1 300 10");
    let pod: Pod = place.api().get("cache-0").await.unwrap();
    let limits = pod.spec.unwrap().containers[0].resources.clone().unwrap().limits.unwrap();
    assert_eq!(limits.keys().collect::<Vec<_>>(), ["memory"], "a limit that was taken away must leave the pod");
    place.leave().await;
}
