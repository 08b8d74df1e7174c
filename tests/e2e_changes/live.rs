//! Changes that are applied without a restart: they survive a restart, CONFIG SET by another client, and many changes in a row.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

use super::pod;
use crate::common::cluster::{Place, eventually};

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_live_change_survives_a_restart_and_a_config_set_by_another_client() {
    let place = Place::new("live").await;
    place.create_running("cache", json!({"config": {"maxmemory": "100mb"}})).await;
    place.change("cache", json!({"config": {"maxmemory": "64mb"}})).await;
    applied(&place, "applied live, no restart: maxmemory").await;
    // A file that another client edits is restored. No server was changed, so there is no other event.
    let edit = Patch::Merge(json!({"data": {"redis.conf": "edited"}}));
    place.api::<ConfigMap>().patch("cache", &PatchParams::default(), &edit).await.unwrap();
    let is_whole = |map: &ConfigMap| map.data.as_ref().is_some_and(|data| data["redis.conf"].contains("appendonly"));
    place.until("cache", "redis.conf put back", |map: Option<&ConfigMap>| map.is_some_and(is_whole)).await;
    assert_eq!(place.events("AppliedLive").await, ["applied live, no restart: maxmemory"]);
    assert_eq!(place.connect_logged_in("cache").await.ask("CONFIG SET maxmemory 1gb").await, "+OK");
    // Seen on the next look at the servers, at most a minute and a quarter later.
    eventually("maxmemory set back", || async {
        (place.connect_logged_in("cache").await.ask("CONFIG GET maxmemory").await == "maxmemory 67108864").then_some(())
    })
    .await;
    place.wait_for_event("ConfigDrift", "maxmemory").await;

    let before = pod(&place).await;
    place.delete::<Pod>("cache-0").await;
    place.wait_for_new_pod("cache-0", before.uid()).await;
    assert_eq!(place.connect_logged_in("cache").await.ask("CONFIG GET maxmemory").await, "maxmemory 67108864");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn many_changes_in_a_row_end_with_the_last_and_none_is_called_done_before_it_is() {
    let place = Place::new("burst").await;
    place.create_running("cache", json!({"config": {"maxmemory": "100mb"}})).await;
    // Two clients at once: one changes what is live, one what restarts.
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
    let mut redis = place.connect_logged_in("cache").await;
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
