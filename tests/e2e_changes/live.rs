//! Changes that are applied without a restart: they survive a restart, CONFIG SET by another client, and many changes in a row.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Event, Pod},
};
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

use super::{is_ready, open, pod, told};
use crate::common::cluster::{Place, eventually};

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_live_change_survives_a_restart_and_a_hand_that_sets_it_otherwise() {
    let place = Place::new("live").await;
    place.create("cache", json!({"config": {"maxmemory": "100mb"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    place.change("cache", json!({"config": {"maxmemory": "64mb"}})).await;
    applied(&place, "applied live, no restart: maxmemory").await;
    // A file that somebody edits is put back. No server was given anything, so nobody is told of a change.
    let edit = Patch::Merge(json!({"data": {"redis.conf": "edited"}}));
    place.api::<ConfigMap>().patch("cache", &PatchParams::default(), &edit).await.unwrap();
    let is_whole = |map: &ConfigMap| map.data.as_ref().is_some_and(|data| data["redis.conf"].contains("appendonly"));
    place.until("cache", "redis.conf put back", |map: Option<&ConfigMap>| map.is_some_and(is_whole)).await;
    let events = place.api::<Event>().list(&ListParams::default()).await.unwrap();
    let of_changes = events.iter().filter(|event| event.reason.as_deref() == Some("AppliedLive"));
    let messages: Vec<&str> = of_changes.filter_map(|event| event.message.as_deref()).collect();
    assert_eq!(messages, ["applied live, no restart: maxmemory"]);
    assert_eq!(open(&place).await.ask("CONFIG SET maxmemory 1gb").await, "+OK");
    // Seen on the next look at the servers, at most a minute and a quarter later.
    eventually("maxmemory set back", || async {
        (open(&place).await.ask("CONFIG GET maxmemory").await == "maxmemory 67108864").then_some(())
    })
    .await;
    told(&place, "ConfigDrift", "maxmemory").await;

    let before = pod(&place).await;
    place.delete::<Pod>("cache-0").await;
    place
        .until("cache-0", "new pod", move |pod: Option<&Pod>| {
            pod.is_some_and(|pod| pod.uid() != before.uid() && is_ready(pod))
        })
        .await;
    assert_eq!(open(&place).await.ask("CONFIG GET maxmemory").await, "maxmemory 67108864");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn many_changes_in_a_row_end_with_the_last_and_none_is_called_done_before_it_is() {
    let place = Place::new("burst").await;
    place.create("cache", json!({"config": {"maxmemory": "100mb"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    // Two people at once: one changes what is live, one what restarts.
    for round in 0..20 {
        let (live, rolled) = (
            json!({"config": {"maxmemory": format!("{}mb", 100 + round)}}),
            json!({"config": {"databases": (2 + round % 5).to_string()}}),
        );
        tokio::join!(place.change("cache", live), place.change("cache", rolled));
        let now: RedisInstance = place.api().get("cache").await.unwrap();
        let status = now.status.unwrap_or_default();
        let ready = status.conditions.iter().find(|held| held.type_ == "Ready" && held.status == "True");
        if ready.is_some_and(|ready| ready.observed_generation == now.metadata.generation) {
            let set: StatefulSet = place.api().get("cache").await.unwrap();
            let state = set.status.unwrap();
            assert_eq!(state.current_revision, state.update_revision, "Ready for a spec that its pods do not run");
        }
    }
    place.reaches("cache", Phase::Running).await;
    let mut redis = open(&place).await;
    assert_eq!(redis.ask("CONFIG GET maxmemory").await, format!("maxmemory {}", 119 * 1024 * 1024));
    assert_eq!(redis.ask("CONFIG GET databases").await, "databases 6");
    place.leave().await;
}

async fn applied(place: &Place, words: &str) {
    let words = words.to_owned();
    place
        .until("cache", &format!("ConfigApplied with {words:?}"), move |instance: Option<&RedisInstance>| {
            let status = instance.and_then(|instance| instance.status.clone()).unwrap_or_default();
            status
                .conditions
                .iter()
                .any(|held| held.type_ == "ConfigApplied" && held.status == "True" && held.message == words)
        })
        .await;
}
