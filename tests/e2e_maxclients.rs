//! Servers of several pods that have all clients which `maxclients` allows, on a real cluster: a larger one reaches all of them, and
//! no write that was acknowledged meanwhile is lost.

mod common;

use std::time::Duration;

use common::{
    cluster::{Place, Redis, eventually},
    deployed::{leader, pods},
    members::{Members, kill_operator, take_all_connections},
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service},
    events::v1::Event,
};
use kube::{ResourceExt, api::ListParams};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;
use tokio::time::timeout;

const MARK: &str = "redis.github.com/replication";
const MISSED: &str = "redis.github.com/pods-without-maxclients";

/// An instance of so many pods whose servers take few clients; its primary.
async fn several(place: &Place, replicas: i32) -> String {
    let spec = json!({"image": "redis:7.0.15", "replicas": replicas, "config": {"maxclients": "20"},
        "replication": {"durability": "Available"}, "storage": {"size": "64Mi"}});
    place.create("cache", spec).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    match replicas {
        1 => "cache-0".to_owned(),
        _ => Members { place, instance: "cache" }.one_takes_writes().await,
    }
}

/// Uids of the pods that there are.
async fn uids(place: &Place, replicas: i32) -> Vec<Option<String>> {
    let mut uids = Vec::new();
    for ordinal in 0..replicas {
        uids.push(place.api::<Pod>().get_opt(&format!("cache-{ordinal}")).await.unwrap().and_then(|pod| pod.uid()));
    }
    uids
}

/// Waits until the operator is refused by the primary, as the status says.
async fn is_full(place: &Place, pod: &str) {
    let words = format!("primary {pod} does not say how its replicas are: all connections that maxclients allows");
    place
        .until("cache", &words.clone(), move |instance: Option<&RedisInstance>| {
            let conditions =
                instance.and_then(|instance| Some(instance.status.clone()?.conditions)).unwrap_or_default();
            conditions.iter().any(|held| held.type_ == "Replicated" && held.message.contains(&words))
        })
        .await;
}

/// Waits until the instance serves, every server holds this `maxclients`, and no pod is left to be restarted for it.
async fn all_hold(place: &Place, replicas: i32, value: &str) {
    let members = Members { place, instance: "cache" };
    for ordinal in 0..replicas {
        let pod = format!("cache-{ordinal}");
        eventually(&format!("maxclients {value} of {pod}"), || async {
            let held = members.try_ask(&pod, "CONFIG GET maxclients").await?;
            (held == format!("maxclients {value}")).then_some(())
        })
        .await;
    }
    place.reaches("cache", Phase::Running).await;
    eventually("ConfigMap that names no pod", || async {
        let map: ConfigMap = place.api().get("cache").await.unwrap();
        (!map.annotations().contains_key(MISSED)).then_some(())
    })
    .await;
}

/// That a server which a restart or a live change brought to the new value had another one before is no drift.
async fn nothing_drifted(place: &Place) {
    let events = place.api::<Event>().list(&ListParams::default()).await.unwrap();
    let drifted = events.items.into_iter().find(|event| event.reason.as_deref() == Some("ConfigDrift"));
    assert!(drifted.is_none(), "{drifted:?}");
}

async fn write(client: &mut Redis, command: &str) {
    assert_eq!(client.ask(command).await, "+OK", "{command}");
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_larger_maxclients_reaches_all_pods_of_several_that_are_full() {
    let place = Place::new("allfull").await;
    let primary = several(&place, 3).await;
    let members = Members { place: &place, instance: "cache" };
    let mut held = take_all_connections(&place, &primary).await;
    write(&mut held[0], "SET order 4711").await;
    assert_eq!(held[0].ask("WAIT 2 30000").await, ":2");
    let mut others = Vec::new();
    for pod in (0..3).map(|ordinal| format!("cache-{ordinal}")).filter(|pod| *pod != primary) {
        others.push(take_all_connections(&place, &pod).await);
    }
    is_full(&place, &primary).await;
    write(&mut held[0], "SET order 4712").await;
    place.change("cache", json!({"config": {"maxclients": "200"}})).await;
    all_hold(&place, 3, "200").await;
    let primary = members.one_takes_writes().await;
    assert_eq!(members.ask(&primary, "GET order").await, "4712");
    nothing_drifted(&place).await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn replicas_that_are_full_are_restarted_though_the_operator_dies_and_the_primary_keeps_its_role() {
    let place = Place::new("fullreplicas").await;
    let primary = several(&place, 3).await;
    let mut others = Vec::new();
    for pod in (0..3).map(|ordinal| format!("cache-{ordinal}")).filter(|pod| *pod != primary) {
        others.push(take_all_connections(&place, &pod).await);
    }
    let former = uids(&place, 3).await;
    place.change("cache", json!({"config": {"maxclients": "200"}})).await;
    eventually("ConfigMap that names the pods to be restarted", || async {
        let map: ConfigMap = place.api().get("cache").await.unwrap();
        map.annotations().contains_key(MISSED).then_some(())
    })
    .await;
    // The next operator goes on from there.
    kill_operator(&pods(&place.client).get(&leader(&place.client).await).await.unwrap()).await;
    eventually("two new pods", || async {
        let now = uids(&place, 3).await;
        let new = now.iter().zip(&former).filter(|(now, former)| now.is_some() && now != former).count();
        (new == 2).then_some(())
    })
    .await;
    place.reaches("cache", Phase::Running).await;
    let members = Members { place: &place, instance: "cache" };
    assert_eq!(members.one_takes_writes().await, primary);
    all_hold(&place, 3, "200").await;
    nothing_drifted(&place).await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn what_a_full_primary_took_without_its_replica_is_not_lost_when_it_is_restarted() {
    let place = Place::new("fullstale").await;
    let primary = several(&place, 2).await;
    let replica = if primary == "cache-0" { "cache-1" } else { "cache-0" };
    let members = Members { place: &place, instance: "cache" };
    let mut held = take_all_connections(&place, &primary).await;
    write(&mut held[0], "SET order 4711").await;
    assert_eq!(held[0].ask("WAIT 1 30000").await, ":1");
    is_full(&place, &primary).await;
    // Its connection ends, and the primary would refuse another one.
    let address = members.pod(replica).await.unwrap().status.unwrap().pod_ip.unwrap();
    members.refuse(&primary, &address, true).await;
    eventually("mark of the replica that it is behind", || async {
        let claim: PersistentVolumeClaim = place.api().get(&format!("redis-data-{replica}")).await.unwrap();
        claim.annotations().get(MARK).filter(|mark| mark.ends_with(" behind")).cloned()
    })
    .await;
    write(&mut held[0], "SET order 4712").await;
    let former = members.pod(&primary).await.unwrap().uid();
    place.change("cache", json!({"config": {"maxclients": "200"}})).await;
    eventually("restart of the primary", || async {
        members.pod(&primary).await.filter(|pod| pod.uid() != former).map(drop)
    })
    .await;
    assert_eq!(members.one_takes_writes().await, primary, "it has all that was acknowledged");
    place.reaches("cache", Phase::Running).await;
    assert_eq!(members.ask(&primary, "GET order").await, "4712");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_replica_that_hears_a_full_primary_takes_over_when_that_is_restarted() {
    let place = Place::new("fullheard").await;
    let primary = several(&place, 2).await;
    let members = Members { place: &place, instance: "cache" };
    let mut held = take_all_connections(&place, &primary).await;
    is_full(&place, &primary).await;
    write(&mut held[0], "SET order 4711").await;
    assert_eq!(held[0].ask("WAIT 1 30000").await, ":1");
    place.change("cache", json!({"config": {"maxclients": "200"}})).await;
    let new = members.primary_after(&primary).await;
    all_hold(&place, 2, "200").await;
    for pod in [&primary, &new] {
        assert_eq!(members.ask(pod, "GET order").await, "4711");
    }
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn one_pod_that_is_full_gets_replicas_and_a_larger_maxclients_in_one_edit_though_a_name_is_taken() {
    let place = Place::new("fullgrows").await;
    several(&place, 1).await;
    let foreign = json!({"metadata": {"name": "cache-replicas"}, "spec": {"ports": [{"port": 1}]}});
    place.put::<Service>(foreign).await;
    let mut held = take_all_connections(&place, "cache-0").await;
    write(&mut held[0], "SET order 4711").await;
    place.change("cache", json!({"replicas": 3, "config": {"maxclients": "200"}})).await;
    let restarts = |instance: Option<&RedisInstance>| {
        let conditions = instance.and_then(|instance| Some(instance.status.clone()?.conditions)).unwrap_or_default();
        let has = |kind: &str, reason: &str| conditions.iter().any(|held| held.type_ == kind && held.reason == reason);
        has("Ready", "Conflict") && has("ConfigApplied", "MaxClientsRestart")
    };
    place.until("cache", "restart that is told beside the name that is taken", restarts).await;
    let members = Members { place: &place, instance: "cache" };
    eventually("larger maxclients", || async {
        (members.try_ask("cache-0", "CONFIG GET maxclients").await? == "maxclients 200").then_some(())
    })
    .await;
    place.delete::<Service>("cache-replicas").await;
    eventually("three ready pods", || async {
        let set: StatefulSet = place.api().get("cache").await.unwrap();
        (set.status?.ready_replicas == Some(3)).then_some(())
    })
    .await;
    place.reaches("cache", Phase::Running).await;
    let primary = members.one_takes_writes().await;
    let answer = timeout(Duration::from_mins(1), members.ask(&primary, "GET order")).await.unwrap();
    assert_eq!(answer, "4711");
    place.leave().await;
}
