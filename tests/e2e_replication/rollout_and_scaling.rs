//! Rollouts, scaling and growth under a client that writes: no write is lost, and the role moves no more often than it has to.

use k8s_openapi::api::{
    core::v1::{PersistentVolumeClaim, Pod, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::{ResourceExt, api::DeleteParams};
use redis_operator::api::v1::Phase;
use serde_json::json;

use crate::common::{
    cluster::Place,
    members::{MARK, Members},
    moments::rounds,
    writer::Writer,
};

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_roll_restarts_the_primary_last_and_loses_no_write() {
    let place = Place::new("roll").await;
    let members = place.create_cache(3, json!({})).await;
    let writer = Writer::start(&place, "cache").await;
    for databases in 0..rounds(1) {
        writer.goes_on(50).await;
        let uids = place.pod_uids().await;
        place.change("cache", json!({"config": {"databases": (20 + databases).to_string()}})).await;
        place.reaches("cache", Phase::Running).await;
        assert!(uids.is_disjoint(&place.pod_uids().await), "every pod restarts");
        assert_eq!(members.labelled_primary().await.len(), 1);
    }
    writer.stop_without_loss("roll of three").await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn one_becomes_three_and_three_become_one_without_a_lost_write() {
    let place = Place::new("scale").await;
    place.create_running("cache", json!({"image": "redis:7.0.15", "storage": {"size": "64Mi"}})).await;
    let members = Members { place: &place, instance: "cache" };
    let first = members.pod("cache-0").await.unwrap().uid();
    let writer = Writer::start(&place, "cache").await;
    for round in 0..rounds(2) {
        let uid = members.pod("cache-0").await.unwrap().uid();
        place.change("cache", json!({"replicas": 3})).await;
        place.reaches("cache", Phase::Running).await;
        assert_eq!(members.pod("cache-0").await.unwrap().uid(), uid, "more replicas restart no pod");
        // The role goes to a pod that a smaller number takes away.
        place.api::<Pod>().delete("cache-0", &DeleteParams::default()).await.unwrap();
        let primary = members.primary_after("cache-0").await;
        place.reaches("cache", Phase::Running).await;
        writer.goes_on(50).await;
        place.change("cache", json!({"replicas": 1})).await;
        place.reaches("cache", Phase::Running).await;
        for pod in ["cache-1", "cache-2"] {
            place.gone::<Pod>(pod).await;
        }
        assert_eq!(members.primary().await.as_deref(), Some("cache-0"), "round {round}: and not {primary}");
        place.gone::<Service>("cache-replicas").await;
        place.gone::<PodDisruptionBudget>("cache").await;
        writer.goes_on(50).await;
    }
    assert_ne!(members.pod("cache-0").await.unwrap().uid(), first);
    writer.stop_without_loss("1 to 3 to 1").await;
    // The last pod of several is restarted like a pod that was always alone.
    place.change("cache", json!({"config": {"databases": "20"}})).await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(members.ask("cache-0", "CONFIG GET databases").await, "databases 20");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn growth_beside_another_change_moves_the_role_once() {
    let place = Place::new("grow").await;
    let members = place.create_cache(3, json!({})).await;
    let writer = Writer::start(&place, "cache").await;
    writer.goes_on(50).await;
    // The StatefulSet is deleted without its pods and created again with another template: the rollout is the usual one.
    let begun = term(&place).await;
    // A roll begins with the last pod. The role can only go from it to one whose turn is still to come.
    let moves = if members.primary().await.as_deref() == Some("cache-2") { 2 } else { 1 };
    place.change("cache", json!({"storage": {"size": "96Mi"}, "config": {"databases": "20"}})).await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(term(&place).await, begun + moves, "handovers of a roll: {:#?}", place.status().await);

    // And with fewer pods, of which the primary's is one.
    members.make_last_pod_primary().await;
    writer.goes_on(50).await;
    let begun = term(&place).await;
    place.change("cache", json!({"storage": {"size": "128Mi"}, "replicas": 2})).await;
    place.reaches("cache", Phase::Running).await;
    place.gone::<Pod>("cache-2").await;
    assert_eq!(term(&place).await, begun + 1, "handovers of a scale in: {:#?}", place.status().await);
    writer.goes_on(50).await;
    writer.stop_without_loss("growth with a roll, and with a scale in").await;
    place.leave().await;
}

/// How often a primary was made, as the claims are marked.
async fn term(place: &Place) -> u64 {
    let labels = kube::api::ListParams::default().labels("redis.github.com/instance=cache");
    let claims = place.api::<PersistentVolumeClaim>().list(&labels).await.unwrap().items;
    let marks = claims.iter().filter_map(|claim| claim.annotations().get(MARK));
    marks.filter_map(|mark| mark.split(' ').next()?.parse().ok()).max().unwrap()
}
