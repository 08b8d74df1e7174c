//! A node that stops to answer, on the local cluster: its kubelet is stopped. A file of its own, so that no other test
//! runs meanwhile.

mod common;

use std::process::Command;

use common::cluster::{Place, eventually};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::DeleteParams};
use redis_operator::api::v1::Phase;
use serde_json::json;

/// The kubelet, stopped until this is dropped.
struct Stopped(String);

impl Stopped {
    fn kubelet() -> Self {
        let found = Command::new("pgrep").args(["-f", "cluster-node kubelet"]).output().unwrap();
        let pid = String::from_utf8(found.stdout).unwrap().lines().next().expect("a kubelet").to_owned();
        assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-CONT", &self.0]).status());
    }
}

#[tokio::test]
#[ignore = "needs the local cluster with the operator"]
async fn a_pod_whose_node_is_lost_is_reported_and_never_deleted_by_force() {
    let place = Place::new("node").await;
    place.create("cache", json!({})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let pod: Pod = place.api().get("cache-0").await.unwrap();

    let node = Stopped::kubelet();
    place.api::<Pod>().delete("cache-0", &DeleteParams::default().grace_period(1)).await.unwrap();
    let status = place.reaches("cache", Phase::Failed).await.status.unwrap();
    assert_eq!(status.conditions[0].reason, "PodStuck", "{:?}", status.last_condition_message);
    let there: Pod = place.api().get("cache-0").await.unwrap();
    assert_eq!(there.uid(), pod.uid(), "a second Redis on the same volume must never be started");

    // The node comes back: the pod ends, and the next one takes its place.
    drop(node);
    place.reaches("cache", Phase::Running).await;
    eventually("another pod", || async {
        let now: Pod = place.api().get("cache-0").await.ok()?;
        (now.uid() != pod.uid()).then_some(())
    })
    .await;
    place.leave().await;
}
