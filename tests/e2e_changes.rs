//! Every class of change on a real cluster: the pods do what the admission warnings announced, no acknowledged write is lost, and
//! what Redis or the cluster refuses leaves the running servers as they are until the spec is corrected.

mod common;
#[path = "e2e_changes/every_class.rs"]
mod every_class;
#[path = "e2e_changes/live.rs"]
mod live;
#[path = "e2e_changes/recreation.rs"]
mod recreation;
#[path = "e2e_changes/refusals.rs"]
mod refusals;

use std::collections::BTreeSet;

use common::cluster::{Place, Redis, eventually};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{ResourceExt, api::ListParams};

/// A connection of a client that knows the password, if there is one.
async fn open(place: &Place) -> Redis {
    let mut redis = place.connect("cache").await;
    if redis.ask("PING").await.starts_with("-NOAUTH") {
        assert_eq!(redis.ask(&format!("AUTH {}", place.password("cache").await)).await, "+OK");
    }
    redis
}

async fn pod(place: &Place) -> Pod {
    place.api().get("cache-0").await.unwrap()
}

/// What tells one start of Redis from another: the pod, and the start of its container.
fn start(pod: &Pod) -> BTreeSet<String> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.clone()).unwrap_or_default();
    let starts =
        statuses.iter().map(|status| format!("{:?}", status.state.as_ref().and_then(|state| state.running.clone())));
    starts.chain(pod.uid()).collect()
}

/// Waits for an event of this reason whose words hold these.
async fn told(place: &Place, reason: &str, words: &str) {
    eventually(&format!("event {reason} with {words:?}"), || async {
        let events = place.api::<Event>().list(&ListParams::default()).await.unwrap().items;
        let is = |event: &Event| {
            event.reason.as_deref() == Some(reason) && event.message.as_deref().unwrap_or_default().contains(words)
        };
        events.iter().any(is).then_some(())
    })
    .await;
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
