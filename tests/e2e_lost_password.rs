//! A password that is lost while no operator runs, and a server that still asks for it though there is to be none. A file of its own,
//! because it takes the operator away from everybody.

mod common;

use common::{
    cluster::{Place, Redis, eventually},
    deployed,
    members::Members,
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use redis_operator::api::v1::Phase;
use serde_json::json;
use tokio::net::TcpStream;

const PODS: [&str; 3] = ["cache-0", "cache-1", "cache-2"];

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_replica_whose_password_is_lost_is_opened_by_its_restart() {
    let place = Place::new("locked").await;
    let spec = json!({"image": "redis:7.0.15", "replicas": 3, "storage": {"size": "64Mi"}});
    place.create("cache", spec).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let members = Members { place: &place, instance: "cache" };
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
    for name in PODS.into_iter().filter(|name| *name != locked) {
        eventually(&format!("{name}, which asks for no password"), || async {
            answer(&members, name).await.filter(|answer| answer == "+PONG")
        })
        .await;
    }
    // An operator that knows the password would bring the Secret back.
    deployed::scale(&place.client, 0).await;
    place.delete::<Secret>("cache-auth").await;
    members.signal(locked, "CONT").await;
    deployed::scale(&place.client, 2).await;
    place.reaches("cache", Phase::Running).await;
    for name in PODS {
        assert_eq!(answer(&members, name).await.as_deref(), Some("+PONG"), "{name}");
    }
    let mut redis = place.connect("cache").await;
    assert_eq!(redis.ask("GET order").await, "4711");
    place.leave().await;
}

/// What the server of a pod answers to one who has not logged in.
async fn answer(members: &Members<'_>, name: &str) -> Option<String> {
    let address = members.pod(name).await?.status?.pod_ip?;
    let mut redis = Redis::from(TcpStream::connect((address.as_str(), 6379)).await.ok()?);
    redis.try_ask("PING").await
}
