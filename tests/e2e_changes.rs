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

use common::cluster::Place;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

async fn pod(place: &Place) -> Pod {
    place.api().get("cache-0").await.unwrap()
}

/// What differs between two starts of Redis: the pod, and the start of its container.
fn start(pod: &Pod) -> BTreeSet<String> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.clone()).unwrap_or_default();
    let starts =
        statuses.iter().map(|status| format!("{:?}", status.state.as_ref().and_then(|state| state.running.clone())));
    starts.chain(pod.uid()).collect()
}
