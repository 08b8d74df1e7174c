//! `spec.auth.enabled` switched on and off while several pods run: every rollout ends, writes go on, and in the end each server
//! asks for a password or does not, as the spec says.

mod common;

use common::{
    cluster::{Place, Redis, eventually},
    members::Members,
    writer::Writer,
};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::Instant};

const PODS: [&str; 3] = ["cache-0", "cache-1", "cache-2"];

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn three_pods_get_a_password_and_lose_it_again_also_when_their_primary_dies() {
    let place = Place::new("toggled").await;
    put(&place, "shop", "chosen").await;
    let spec = json!({"image": "redis:7.0.15", "replicas": 3, "storage": {"size": "64Mi"}, "auth": {"enabled": false}});
    place.create("cache", spec).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let members = Members { place: &place, instance: "cache" };
    asks_for_a_password(&members, false).await;
    let writer = Writer::start_with(&place, "cache", "chosen").await;
    writer.goes_on(100).await;
    for (auth, required) in [
        (json!({"enabled": true, "secretName": "shop"}), true),
        (json!({"enabled": false, "secretName": null}), false),
        (json!({"enabled": true, "secretName": "shop"}), true),
    ] {
        let first = members.pod("cache-2").await.unwrap().uid();
        let begun = Instant::now();
        place.change("cache", json!({ "auth": auth })).await;
        let primary = eventually("pod that is replaced while another is the primary", || async {
            let replaced = members.pod("cache-2").await.is_some_and(|pod| pod.uid() != first);
            members.primary().await.filter(|_| replaced)
        })
        .await;
        members.signal(&primary, "KILL").await;
        place.reaches("cache", Phase::Running).await;
        eprintln!("password required: {required}, after {:.1?}, {primary} killed", begun.elapsed());
        asks_for_a_password(&members, required).await;
        members.one_takes_writes().await;
        writer.goes_on(100).await;
    }
    let outcome = writer.stop().await;
    eprintln!("{outcome}");
    assert_eq!(outcome.lost, [0_usize; 0], "acknowledged writes were lost");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_change_that_is_taken_back_while_it_is_carried_out_leaves_no_server_open() {
    let place = Place::new("reverted").await;
    put(&place, "shop", "chosen").await;
    let auth =
        |enabled: bool| json!({"enabled": enabled, "secretName": if enabled { json!("shop") } else { Value::Null }});
    let spec = json!({"image": "redis:7.0.15", "replicas": 3, "storage": {"size": "64Mi"}, "auth": auth(true)});
    place.create("cache", spec).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let members = Members { place: &place, instance: "cache" };
    let writer = Writer::start_with(&place, "cache", "chosen").await;
    writer.goes_on(50).await;
    place.change("cache", json!({"auth": auth(false)})).await;
    eventually("server that asks for no password", || async {
        for name in PODS {
            if answer(&members, name).await? == "+PONG" {
                return Some(());
            }
        }
        None
    })
    .await;
    place.change("cache", json!({"auth": auth(true)})).await;
    for name in PODS {
        eventually(&format!("{name}, which asks for a password again"), || async {
            answer(&members, name).await.filter(|answer| answer.starts_with("-NOAUTH"))
        })
        .await;
    }
    place.reaches("cache", Phase::Running).await;
    asks_for_a_password(&members, true).await;
    writer.goes_on(50).await;
    let outcome = writer.stop().await;
    eprintln!("taken back: {outcome}");
    assert_eq!(outcome.lost, [0_usize; 0], "acknowledged writes were lost");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn servers_that_were_opened_are_closed_while_another_does_not_answer() {
    let place = Place::new("reopened").await;
    put(&place, "shop", "chosen").await;
    let auth =
        |enabled: bool| json!({"enabled": enabled, "secretName": if enabled { json!("shop") } else { Value::Null }});
    let spec = json!({"image": "redis:7.0.15", "replicas": 3, "storage": {"size": "64Mi"}, "auth": auth(true)});
    place.create("cache", spec).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let members = Members { place: &place, instance: "cache" };
    let primary = members.primary().await.expect("a primary");
    let silent = PODS.into_iter().rfind(|name| *name != primary).unwrap();
    members.signal(silent, "STOP").await;
    place.change("cache", json!({"auth": auth(false)})).await;
    for name in PODS.into_iter().filter(|name| *name != silent) {
        eventually(&format!("{name}, which asks for no password"), || async {
            answer(&members, name).await.filter(|answer| answer == "+PONG")
        })
        .await;
    }
    place.change("cache", json!({"auth": auth(true)})).await;
    for name in PODS.into_iter().filter(|name| *name != silent) {
        eventually(&format!("{name}, which asks for a password again"), || async {
            answer(&members, name).await.filter(|answer| answer.starts_with("-NOAUTH"))
        })
        .await;
    }
    eventually("the name of the server that does not answer", || async {
        let (status, message) = rotated(&place).await?;
        (status == "False" && message.contains(silent) && message.contains("without one")).then_some(())
    })
    .await;
    members.signal(silent, "CONT").await;
    eventually("the end of it", || async { (rotated(&place).await?.0 == "True").then_some(()) }).await;
    asks_for_a_password(&members, true).await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn restarts_wait_beside_a_primary_with_a_lost_password_until_a_secret_has_it_again() {
    let place = Place::new("bolted").await;
    let spec = json!({"image": "redis:7.0.15", "replicas": 3, "storage": {"size": "64Mi"}, "auth": {"enabled": false}});
    place.create("cache", spec).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let members = Members { place: &place, instance: "cache" };
    let primary = members.one_takes_writes().await;
    assert_eq!(members.ask(&primary, "SET order 4711").await, "+OK");
    assert_eq!(members.ask(&primary, "CONFIG SET requirepass lost").await, "+OK");
    let before = uids(&members).await;
    place.change("cache", json!({"resources": {"requests": {"cpu": "11m"}}})).await;
    eventually("the way out in the status", || async {
        let (status, message) = rotated(&place).await?;
        let is_named =
            message.contains(&primary) && message.contains("restarts wait") && message.contains("secretName");
        (status == "False" && is_named).then_some(())
    })
    .await;
    assert_eq!(uids(&members).await, before, "a pod was restarted beside the locked primary");

    put(&place, "found", "lost").await;
    place.change("cache", json!({"auth": {"enabled": true, "secretName": "found"}})).await;
    place.reaches("cache", Phase::Running).await;
    asks_for_a_password(&members, true).await;
    place.change("cache", json!({"auth": {"enabled": false, "secretName": null}})).await;
    place.reaches("cache", Phase::Running).await;
    asks_for_a_password(&members, false).await;
    let primary = members.one_takes_writes().await;
    assert_eq!(members.ask(&primary, "GET order").await, "4711");
    place.leave().await;
}

async fn uids(members: &Members<'_>) -> Vec<Option<String>> {
    let mut uids = Vec::new();
    for name in PODS {
        uids.push(members.pod(name).await.and_then(|pod| pod.uid()));
    }
    uids
}

/// Status and message of the condition.
async fn rotated(place: &Place) -> Option<(String, String)> {
    let instance: RedisInstance = place.api().get("cache").await.unwrap();
    let condition = instance.status?.conditions.into_iter().find(|one| one.type_ == "PasswordRotated")?;
    Some((condition.status, condition.message))
}

/// What the server of a pod answers to one who has not logged in.
async fn answer(members: &Members<'_>, name: &str) -> Option<String> {
    let address = members.pod(name).await?.status?.pod_ip?;
    let mut redis = Redis::from(TcpStream::connect((address.as_str(), 6379)).await.ok()?);
    redis.try_ask("PING").await
}

/// Every server refuses who does not log in, or none does.
async fn asks_for_a_password(members: &Members<'_>, required: bool) {
    for name in PODS {
        let pod = members.pod(name).await.unwrap();
        assert_eq!(pod.annotations().contains_key("redis.github.com/password"), required, "{name}");
        let answer = eventually(&format!("answer of {name}"), || answer(members, name)).await;
        assert_eq!(answer.starts_with("-NOAUTH"), required, "{name}: {answer}");
        assert_eq!(answer == "+PONG", !required, "{name}: {answer}");
    }
}

async fn put(place: &Place, name: &str, password: &str) {
    place.put::<Secret>(json!({"metadata": {"name": name}, "stringData": {"password": password}})).await;
}
