//! Servers of several pods that have all clients which `maxclients` allows, on a real cluster: a larger one reaches all of them, and
//! no write that was acknowledged meanwhile is lost.

mod common;

use std::time::Duration;

use common::{
    cluster::{Place, Redis, eventually},
    deployed::{leader, pods},
    members::{Members, kill_operator, take_all_connections},
    pods::THREE_PODS,
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Service},
};
use kube::ResourceExt;
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;
use tokio::time::timeout;

const MISSED: &str = "redis.github.com/pods-without-maxclients";

/// An instance of so many pods whose servers take few clients, and its primary.
async fn with_few_clients(place: &Place, replicas: i32) -> (Members<'_>, String) {
    let spec = json!({"config": {"maxclients": "20"}, "replication": {"durability": "Available"}});
    let members = place.create_cache(replicas, spec).await;
    let primary = if replicas == 1 { "cache-0".to_owned() } else { members.one_takes_writes().await };
    (members, primary)
}

/// Takes all connections of the primary, and writes through the first of them what all replicas acknowledge.
async fn fill_primary(place: &Place, primary: &str, replicas: i32) -> Vec<Redis> {
    let mut held = take_all_connections(place, primary).await;
    write(&mut held[0], "SET order 4711").await;
    assert_eq!(held[0].ask(&format!("WAIT {replicas} 30000")).await, format!(":{replicas}"));
    held
}

/// Takes all connections of both replicas.
async fn fill_replicas(place: &Place, primary: &str) -> Vec<Vec<Redis>> {
    let mut held = Vec::new();
    for pod in THREE_PODS.into_iter().filter(|pod| *pod != primary) {
        held.push(take_all_connections(place, pod).await);
    }
    held
}

/// Waits until the instance serves, every server holds this `maxclients`, and no pod is left to be restarted for it.
async fn all_hold(members: &Members<'_>, replicas: i32, value: &str) {
    let place = members.place;
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

/// Waits until the primary refuses the operator, as the status says.
async fn is_full(place: &Place, pod: &str) {
    let words = format!("primary {pod} does not say how its replicas are: all connections that maxclients allows");
    place.wait_for_condition("Replicated", &words).await;
}

/// No event `ConfigDrift`: a server that a restart or a live change brought to the new value did not drift.
async fn nothing_drifted(place: &Place) {
    assert_eq!(place.events("ConfigDrift").await, [""; 0]);
}

async fn write(client: &mut Redis, command: &str) {
    assert_eq!(client.ask(command).await, "+OK", "{command}");
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_larger_maxclients_reaches_all_pods_of_several_that_are_full() {
    let place = Place::new("allfull").await;
    let (members, primary) = with_few_clients(&place, 3).await;
    let mut held = fill_primary(&place, &primary, 2).await;
    let _others = fill_replicas(&place, &primary).await;
    is_full(&place, &primary).await;
    write(&mut held[0], "SET order 4712").await;
    place.change("cache", json!({"config": {"maxclients": "200"}})).await;
    all_hold(&members, 3, "200").await;
    let primary = members.one_takes_writes().await;
    assert_eq!(members.ask(&primary, "GET order").await, "4712");
    nothing_drifted(&place).await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn replicas_that_are_full_are_restarted_though_the_operator_dies_and_the_primary_keeps_its_role() {
    let place = Place::new("fullreplicas").await;
    let (members, primary) = with_few_clients(&place, 3).await;
    let _others = fill_replicas(&place, &primary).await;
    let former = place.pod_uids().await;
    place.change("cache", json!({"config": {"maxclients": "200"}})).await;
    eventually("ConfigMap that names the pods to be restarted", || async {
        let map: ConfigMap = place.api().get("cache").await.unwrap();
        map.annotations().contains_key(MISSED).then_some(())
    })
    .await;
    // The next operator goes on from there.
    kill_operator(&pods(&place.client).get(&leader(&place.client).await).await.unwrap()).await;
    eventually("two new pods", || async { (place.pod_uids().await.difference(&former).count() == 2).then_some(()) })
        .await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(members.one_takes_writes().await, primary);
    all_hold(&members, 3, "200").await;
    nothing_drifted(&place).await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn what_a_full_primary_took_without_its_replica_is_not_lost_when_it_is_restarted() {
    let place = Place::new("fullstale").await;
    let (members, primary) = with_few_clients(&place, 2).await;
    let replica = if primary == "cache-0" { "cache-1" } else { "cache-0" };
    let mut held = fill_primary(&place, &primary, 1).await;
    is_full(&place, &primary).await;
    // Its connection ends, and the primary would refuse another one.
    let address = members.pod(replica).await.unwrap().status.unwrap().pod_ip.unwrap();
    members.refuse(&primary, &address, true).await;
    eventually("mark of the replica that it is behind", || async {
        members.mark(replica).await.filter(|(_, state)| state == "behind")
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
    let (members, primary) = with_few_clients(&place, 2).await;
    let _held = fill_primary(&place, &primary, 1).await;
    is_full(&place, &primary).await;
    place.change("cache", json!({"config": {"maxclients": "200"}})).await;
    let new = members.primary_after(&primary).await;
    all_hold(&members, 2, "200").await;
    for pod in [&primary, &new] {
        assert_eq!(members.ask(pod, "GET order").await, "4711");
    }
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn one_pod_that_is_full_gets_replicas_and_a_larger_maxclients_in_one_edit_though_a_name_is_taken() {
    let place = Place::new("fullgrows").await;
    let (members, primary) = with_few_clients(&place, 1).await;
    let foreign = json!({"metadata": {"name": "cache-replicas"}, "spec": {"ports": [{"port": 1}]}});
    place.put::<Service>(foreign).await;
    let _held = fill_primary(&place, &primary, 0).await;
    place.change("cache", json!({"replicas": 3, "config": {"maxclients": "200"}})).await;
    let restarts = |instance: Option<&RedisInstance>| {
        let conditions = instance.and_then(|instance| Some(instance.status.clone()?.conditions)).unwrap_or_default();
        let has = |kind: &str, reason: &str| conditions.iter().any(|held| held.type_ == kind && held.reason == reason);
        has("Ready", "Conflict") && has("ConfigApplied", "MaxClientsRestart")
    };
    place.until("cache", "conditions with the restart and with the name that is taken", restarts).await;
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
