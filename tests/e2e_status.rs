//! What keeps an instance from serving is named by the `Ready` condition, in the words of whoever rejected it, and the instance
//! recovers when the cause is gone: pods that are rejected, connections that are used up, writes that are refused.

mod common;

use std::time::Duration;

use common::{
    cluster::{Place, eventually},
    members::{Members, take_all_connections},
};
use k8s_openapi::api::core::v1::{LimitRange, Pod, ResourceQuota, Secret};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;
use tokio::time::Instant;

/// Waits until `Ready` has this status and reason, and a message with all these words; how long that took.
async fn ready_is(place: &Place, state: &str, reason: &str, words: &[&str]) -> Duration {
    let begun = Instant::now();
    let (state, reason) = (state.to_owned(), reason.to_owned());
    let words: Vec<String> = words.iter().map(|words| (*words).to_owned()).collect();
    let what = format!("Ready={state} with reason {reason} and {words:?}");
    let is = move |instance: Option<&RedisInstance>| {
        let status = instance.and_then(|instance| instance.status.clone()).unwrap_or_default();
        let ready = status.conditions.into_iter().find(|held| held.type_ == "Ready");
        ready.is_some_and(|ready| {
            ready.status == state && ready.reason == reason && words.iter().all(|words| ready.message.contains(words))
        })
    };
    place.until("cache", &what, is).await;
    let took = begun.elapsed();
    eprintln!("{what} after {took:?}");
    took
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_quota_that_rejects_pods_is_named_and_a_raised_one_is_enough() {
    let place = Place::new("quota").await;
    let quota = json!({"metadata": {"name": "small"}, "spec": {"hard": {"pods": "1"}}});
    place.put::<ResourceQuota>(quota).await;
    place.create("cache", json!({})).await.unwrap();
    place.reaches("cache", Phase::Running).await;

    place.change("cache", json!({"replicas": 2})).await;
    let words = ["cache-1", "the API server rejects the pod", "exceeded quota: small", "limited: pods=1"];
    ready_is(&place, "False", "PodsRejected", &words).await;
    let mut redis = place.connect("cache").await;
    let login = format!("AUTH {}", place.password("cache").await);
    assert_eq!(redis.ask(&login).await, "+OK");
    assert_eq!(redis.ask("SET order 4711").await, "+OK", "the first pod serves meanwhile");

    // The StatefulSet controller waits ever longer and notices no quota.
    eventually("StatefulSet whose controller was made to try again", || async {
        let set: k8s_openapi::api::apps::v1::StatefulSet = place.api().get("cache").await.unwrap();
        set.annotations().contains_key("redis.github.com/retried-at").then_some(())
    })
    .await;
    let raised = json!({"spec": {"hard": {"pods": "5"}}});
    let quotas: Api<ResourceQuota> = place.api();
    quotas.patch("small", &PatchParams::default(), &Patch::Merge(raised)).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let set: k8s_openapi::api::apps::v1::StatefulSet = place.api().get("cache").await.unwrap();
    assert_eq!(set.status.unwrap().ready_replicas, Some(2));
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_limit_range_that_rejects_the_pod_is_named_and_a_smaller_request_is_enough() {
    let place = Place::new("limits").await;
    let limits =
        json!({"metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", "max": {"memory": "64Mi"}}]}});
    place.put::<LimitRange>(limits).await;
    let memory = |amount: &str| json!({"resources": {"requests": {"memory": amount}, "limits": {"memory": amount}}});
    place.create("cache", memory("128Mi")).await.unwrap();
    let words = ["cache-0", "maximum memory usage per Container is 64Mi, but limit is 128Mi"];
    ready_is(&place, "False", "PodsRejected", &words).await;
    place.change("cache", memory("64Mi")).await;
    place.reaches("cache", Phase::Running).await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn used_up_connections_are_named_and_a_larger_maxclients_is_applied() {
    let place = Place::new("full").await;
    place.create("cache", json!({"config": {"maxclients": "30"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let before: Pod = place.api().get("cache-0").await.unwrap();
    let mut held = take_all_connections(&place, "cache-0").await;
    assert_eq!(held[0].ask("SET order 4711").await, "+OK");
    ready_is(&place, "False", "MaxClientsReached", &["cache-0", "maxclients", "raise"]).await;

    // The probes see the same: the container is ready and is not restarted.
    let now: Pod = place.api().get("cache-0").await.unwrap();
    let container = &now.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
    assert_eq!((now.uid(), container.restart_count, container.ready), (before.uid(), 0, true));

    place.change("cache", json!({"config": {"maxclients": "200"}})).await;
    let uid = before.uid();
    place.until("cache-0", "restart", move |pod: Option<&Pod>| pod.is_some_and(|pod| pod.uid() != uid)).await;
    place.reaches("cache", Phase::Running).await;
    let mut redis = place.connect("cache").await;
    let login = format!("AUTH {}", place.password("cache").await);
    assert_eq!(redis.ask(&login).await, "+OK");
    assert_eq!(redis.ask("CONFIG GET maxclients").await, "maxclients 200");
    assert_eq!(redis.ask("GET order").await, "4711");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_primary_without_free_connections_keeps_its_role() {
    let place = Place::new("fullone").await;
    place.create("cache", json!({"replicas": 3, "config": {"maxclients": "50"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let members = Members { place: &place, instance: "cache" };
    let primary = members.primary().await.unwrap();
    let held = take_all_connections(&place, &primary).await;
    ready_is(&place, "False", "MaxClientsReached", &[&primary]).await;
    assert_eq!(members.primary().await.as_ref(), Some(&primary), "it is alive");
    drop(held);
    ready_is(&place, "True", "Ready", &[]).await;
    assert_eq!(members.primary().await.as_ref(), Some(&primary));
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_endless_script_is_named_until_it_ends() {
    let place = Place::new("busy").await;
    place.create("cache", json!({})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let login = format!("AUTH {}", place.password("cache").await);
    let (mut runs, mut kills) = (place.connect("cache").await, place.connect("cache").await);
    assert_eq!((runs.ask(&login).await.as_str(), kills.ask(&login).await.as_str()), ("+OK", "+OK"));
    let script = async { runs.try_ask("EVAL \"while true do end\" 0").await };
    let named = async {
        let took = ready_is(&place, "False", "Busy", &["cache-0", "BUSY", "SCRIPT KILL"]).await;
        assert_eq!(kills.ask("SCRIPT KILL").await, "+OK");
        took
    };
    let (_, _) = tokio::join!(script, named);
    ready_is(&place, "True", "Ready", &[]).await;
    let pod: Pod = place.api().get("cache-0").await.unwrap();
    assert_eq!(pod.status.unwrap().container_statuses.unwrap()[0].restart_count, 0, "it was alive");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_primary_that_waits_for_replicas_is_named_until_they_are_back() {
    let place = Place::new("noreplicas").await;
    place.create("cache", json!({"replicas": 3})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let members = Members { place: &place, instance: "cache" };
    let primary = members.one_takes_writes().await;
    let replicas: Vec<String> = (0..3).map(|at| format!("cache-{at}")).filter(|pod| *pod != primary).collect();
    for replica in &replicas {
        members.cut(replica, true).await;
    }
    eventually("NOREPLICAS", || async {
        members.try_ask(&primary, "SET probe 1").await.filter(|answer| answer.starts_with("-NOREPLICAS"))
    })
    .await;
    ready_is(&place, "False", "NotEnoughReplicas", &[&primary, "NOREPLICAS because 0", "durability"]).await;
    for replica in &replicas {
        members.cut(replica, false).await;
    }
    ready_is(&place, "True", "Ready", &[]).await;
    assert_eq!(members.ask(&primary, "SET probe 2").await, "+OK");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_missing_secret_is_named_while_the_servers_keep_their_password() {
    let place = Place::new("nosecret").await;
    place.create("cache", json!({})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    place.change("cache", json!({"auth": {"secretName": "absent"}})).await;
    let named = |instance: Option<&RedisInstance>| {
        let conditions = instance.and_then(|instance| Some(instance.status.clone()?.conditions)).unwrap_or_default();
        let rotated = conditions.into_iter().find(|held| held.type_ == "PasswordRotated");
        rotated.is_some_and(|held| held.reason == "SecretNotFound" && held.message.contains("Secret absent"))
    };
    place.until("cache", "PasswordRotated with reason SecretNotFound", named).await;
    let secret = json!({"metadata": {"name": "absent"}, "stringData": {"password": "a-password-of-the-user"}});
    place.put::<Secret>(secret).await;
    eventually("password of the user", || async {
        let mut redis = place.connect("cache").await;
        (redis.try_ask("AUTH a-password-of-the-user").await.as_deref() == Some("+OK")).then_some(())
    })
    .await;
    place.leave().await;
}
