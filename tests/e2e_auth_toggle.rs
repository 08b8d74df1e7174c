//! `spec.auth.enabled` switched on and off while several pods run: every rollout ends, writes go on, and in the end each server
//! asks for a password or does not, as the spec says.

mod common;

use common::{
    cluster::{Place, eventually},
    members::Members,
    pods::THREE_PODS,
    writer::Writer,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use redis_operator::api::v1::Phase;
use serde_json::{Value, json};
use tokio::time::Instant;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn three_pods_get_a_password_and_lose_it_again_also_when_their_primary_dies() {
    let place = Place::new("toggled").await;
    place.put_password("shop", "chosen").await;
    let members = place.create_cache(3, json!({"auth": {"enabled": false}})).await;
    asks_for_a_password(&members, false).await;
    let writer = Writer::start_with(&place, "cache", "chosen").await;
    writer.goes_on(100).await;
    for required in [true, false, true] {
        let first = members.pod("cache-2").await.unwrap().uid();
        let begun = Instant::now();
        place.change("cache", json!({"auth": auth(required)})).await;
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
    writer.stop_without_loss("toggled").await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_change_that_is_taken_back_while_it_is_carried_out_leaves_no_server_open() {
    let place = Place::new("reverted").await;
    let members = with_password(&place).await;
    let writer = Writer::start_with(&place, "cache", "chosen").await;
    writer.goes_on(50).await;
    place.change("cache", json!({"auth": auth(false)})).await;
    eventually("server that asks for no password", || async {
        for name in THREE_PODS {
            if members.ping_without_login(name).await? == "+PONG" {
                return Some(());
            }
        }
        None
    })
    .await;
    place.change("cache", json!({"auth": auth(true)})).await;
    for name in THREE_PODS {
        wait_for_ping(&members, name, "-NOAUTH").await;
    }
    place.reaches("cache", Phase::Running).await;
    asks_for_a_password(&members, true).await;
    writer.goes_on(50).await;
    writer.stop_without_loss("taken back").await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn servers_that_were_opened_are_closed_while_another_does_not_answer() {
    let place = Place::new("reopened").await;
    let members = with_password(&place).await;
    let primary = members.primary().await.expect("a primary");
    let silent = THREE_PODS.into_iter().rfind(|name| *name != primary).unwrap();
    members.signal(silent, "STOP").await;
    place.change("cache", json!({"auth": auth(false)})).await;
    for name in THREE_PODS.into_iter().filter(|name| *name != silent) {
        wait_for_ping(&members, name, "+PONG").await;
    }
    place.change("cache", json!({"auth": auth(true)})).await;
    for name in THREE_PODS.into_iter().filter(|name| *name != silent) {
        wait_for_ping(&members, name, "-NOAUTH").await;
    }
    eventually("the name of the server that does not answer", || async {
        let Condition { status, message, .. } = place.condition("PasswordRotated").await?;
        (status == "False" && message.contains(silent) && message.contains("without one")).then_some(())
    })
    .await;
    members.signal(silent, "CONT").await;
    eventually("the end of it", || async {
        (place.condition("PasswordRotated").await?.status == "True").then_some(())
    })
    .await;
    asks_for_a_password(&members, true).await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn restarts_wait_beside_a_primary_with_a_lost_password_until_a_secret_has_it_again() {
    let place = Place::new("bolted").await;
    let members = place.create_cache(3, json!({"auth": {"enabled": false}})).await;
    let primary = members.one_takes_writes().await;
    assert_eq!(members.ask(&primary, "SET order 4711").await, "+OK");
    assert_eq!(members.ask(&primary, "CONFIG SET requirepass lost").await, "+OK");
    let before = place.pod_uids().await;
    place.change("cache", json!({"resources": {"requests": {"cpu": "11m"}}})).await;
    eventually("the way out in the status", || async {
        let Condition { status, message, .. } = place.condition("PasswordRotated").await?;
        let is_named =
            message.contains(&primary) && message.contains("restarts wait") && message.contains("secretName");
        (status == "False" && is_named).then_some(())
    })
    .await;
    assert_eq!(place.pod_uids().await, before, "a pod was restarted beside the locked primary");

    place.put_password("found", "lost").await;
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

/// The instance `cache` of three pods, with the password of the Secret `shop`.
async fn with_password(place: &Place) -> Members<'_> {
    place.put_password("shop", "chosen").await;
    place.create_cache(3, json!({"auth": auth(true)})).await
}

/// `spec.auth` with the Secret `shop`, or without a password.
fn auth(enabled: bool) -> Value {
    json!({"enabled": enabled, "secretName": enabled.then_some("shop")})
}

/// Waits until the server of a pod answers a PING without a login in this way.
async fn wait_for_ping(members: &Members<'_>, pod: &str, answer: &str) {
    eventually(&format!("{answer} from {pod} without a login"), || async {
        members.ping_without_login(pod).await.filter(|actual| actual.starts_with(answer))
    })
    .await;
}

/// Every server refuses a client that does not log in, or none does.
async fn asks_for_a_password(members: &Members<'_>, required: bool) {
    for name in THREE_PODS {
        let pod = members.pod(name).await.unwrap();
        assert_eq!(pod.annotations().contains_key("redis.github.com/password"), required, "{name}");
        let answer = eventually(&format!("answer of {name}"), || members.ping_without_login(name)).await;
        assert_eq!(answer.starts_with("-NOAUTH"), required, "{name}: {answer}");
        assert_eq!(answer == "+PONG", !required, "{name}: {answer}");
    }
}
