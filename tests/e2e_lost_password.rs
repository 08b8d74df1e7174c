//! A password that is lost while no operator runs, and a server that still asks for it though there is to be none. A file of its own,
//! because it takes the operator away from everybody.

mod common;

use common::{
    cluster::{Place, eventually},
    deployed,
    pods::THREE_PODS,
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use redis_operator::api::v1::Phase;
use serde_json::json;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_replica_whose_password_is_lost_is_opened_by_its_restart() {
    let place = Place::new("locked").await;
    let members = place.create_cache(3, json!({})).await;
    // The rollout begins with the last pod, and goes on only if that one is spare: it has to be the locked one.
    let locked = "cache-2";
    let primary = match members.one_takes_writes().await {
        primary if primary == locked => {
            place.delete::<Pod>(locked).await;
            let next = members.primary_after(locked).await;
            place.reaches("cache", Phase::Running).await;
            next
        }
        primary => primary,
    };
    assert_eq!(members.ask(&primary, "SET order 4711").await, "+OK");
    members.signal(locked, "STOP").await;
    place.change("cache", json!({"auth": {"enabled": false}})).await;
    for name in THREE_PODS.into_iter().filter(|name| *name != locked) {
        eventually(&format!("{name}, which asks for no password"), || async {
            members.ping_without_login(name).await.filter(|answer| answer == "+PONG")
        })
        .await;
    }
    // An operator that knows the password would bring the Secret back.
    deployed::scale(&place.client, 0).await;
    place.delete::<Secret>("cache-auth").await;
    members.signal(locked, "CONT").await;
    deployed::scale(&place.client, 2).await;
    place.reaches("cache", Phase::Running).await;
    for name in THREE_PODS {
        assert_eq!(members.ping_without_login(name).await.as_deref(), Some("+PONG"), "{name}");
    }
    let mut redis = place.connect("cache").await;
    assert_eq!(redis.ask("GET order").await, "4711");
    place.leave().await;
}
