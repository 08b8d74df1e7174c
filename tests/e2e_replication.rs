//! Several pods on a real cluster with real Redis: one primary, the others its replicas. Which pod takes over when the
//! primary dies, what planned changes cost, and what no accident may do to the data.

mod common;
#[path = "e2e_replication/data_loss.rs"]
mod data_loss;
#[path = "e2e_replication/primary_failure.rs"]
mod primary_failure;
#[path = "e2e_replication/roles.rs"]
mod roles;
#[path = "e2e_replication/rollout_and_scaling.rs"]
mod rollout_and_scaling;
#[path = "e2e_replication/switchover.rs"]
mod switchover;

use std::collections::BTreeSet;

use common::cluster::Place;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use redis_operator::api::v1::{Phase, RedisInstance, RedisInstanceStatus};
use serde_json::{Value, json};

/// How often a test that can be repeated is: `ROUNDS`, else this many times.
fn rounds(usual: usize) -> usize {
    std::env::var("ROUNDS").map_or(usual, |rounds| rounds.parse().expect("ROUNDS must be a number"))
}

/// An instance of three pods that is Running.
async fn three(place: &Place, spec: Value) {
    let mut whole = json!({"image": "redis:7.0.15", "replicas": 3, "storage": {"size": "64Mi"}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    place.create("cache", whole).await.unwrap();
    place.reaches("cache", Phase::Running).await;
}

async fn uids(place: &Place) -> BTreeSet<String> {
    let labels = kube::api::ListParams::default().labels("redis.github.com/instance=cache");
    place.api::<Pod>().list(&labels).await.unwrap().items.iter().filter_map(ResourceExt::uid).collect()
}

/// What the status tells, its history included.
async fn told(place: &Place) -> Option<RedisInstanceStatus> {
    place.api::<RedisInstance>().get("cache").await.unwrap().status
}
