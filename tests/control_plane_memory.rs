//! What objects of strangers cost the operator's memory, beside a real API server without a node: large ones that carry the
//! labels of children are neither kept nor read as a whole, while they come and after a restart.

mod common;

use std::fs;

use common::{
    cluster::{Place, eventually},
    operator::Operator,
};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use redis_operator::api::v1::Phase;
use serde_json::{Value, json};

/// What the operator may have taken at its peak, in MiB. Its container has 256.
const PEAK: u64 = 128;
/// As many `ConfigMap`s as killed both operators, and their size.
const CONFIG_MAPS: usize = 300;
const LARGE: usize = 900_000;
/// The longest annotations that the API server takes are 256 KiB in all.
const ANNOTATION: usize = 250_000;
/// Pods and claims with such annotations.
const ANNOTATED: usize = 100;

#[tokio::test]
#[ignore = "needs a control plane"]
async fn large_objects_of_strangers_are_not_kept() {
    let place = Place::with_crd("memory").await;
    let mut operator = Operator::reconciling_only(&place).await;
    place.create("cache", json!({})).await.unwrap();
    place.reaches("cache", Phase::Pending).await;
    eventually("the ServiceAccount of pods", || async {
        place.api::<k8s_openapi::api::core::v1::ServiceAccount>().get_opt("default").await.unwrap()
    })
    .await;
    let before = peak(&operator);
    crowd(&place).await;
    let live = settled(&place, &operator).await;

    operator.kill();
    let operator = Operator::reconciling_only(&place).await;
    let restarted = settled(&place, &operator).await;
    println!(
        "peak of the operator: {before} MiB without them, {live} MiB as they came, {restarted} MiB after a restart"
    );
    assert!(live.max(restarted) < PEAK, "{live} MiB as they came, {restarted} MiB after a restart");
    place.leave().await;
}

/// Creates the objects, several at a time.
async fn crowd(place: &Place) {
    let data = "x".repeat(LARGE);
    let maps = (0..CONFIG_MAPS).map(|n| {
        let mut object = labelled(n);
        object["data"] = json!({ "x": data });
        object
    });
    stream::iter(maps).for_each_concurrent(8, |object| async { drop(place.put::<ConfigMap>(object).await) }).await;
    let annotated = |n: usize| {
        let mut object = labelled(n);
        object["metadata"]["annotations"] = json!({ "redis.github.com/x": "x".repeat(ANNOTATION) });
        object
    };
    let claims = (0..ANNOTATED).map(|n| {
        let mut object = annotated(n);
        object["spec"] = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        object
    });
    stream::iter(claims)
        .for_each_concurrent(8, |object| async { drop(place.put::<PersistentVolumeClaim>(object).await) })
        .await;
    let pods = (0..ANNOTATED).map(|n| {
        let mut object = annotated(n);
        object["spec"] = json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "x", "image": "x", "securityContext": {"allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]}}}]});
        object
    });
    stream::iter(pods).for_each_concurrent(8, |object| async { drop(place.put::<Pod>(object).await) }).await;
}

/// An object with the labels of children, of an instance each that is not there.
fn labelled(n: usize) -> Value {
    json!({"metadata": {"name": format!("bomb-{n}"), "labels": {
        "app.kubernetes.io/managed-by": "redis-operator",
        "app.kubernetes.io/instance": format!("bomb-{n}"),
        "app": "redis",
        "redis.github.com/instance": format!("bomb-{n}"),
    }}})
}

/// Waits until the operator has seen all that was created before, and still works; answers its peak in MiB. It restores a
/// child that is deleted, of which it hears after all the others of the kind.
async fn settled(place: &Place, operator: &Operator) -> u64 {
    let uid = place.api::<ConfigMap>().get("cache").await.unwrap().uid();
    place.delete::<ConfigMap>("cache").await;
    place
        .until("cache", "restored ConfigMap", move |map: Option<&ConfigMap>| map.is_some_and(|map| map.uid() != uid))
        .await;
    peak(operator)
}

/// The most memory that the operator had, in MiB.
fn peak(operator: &Operator) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", operator.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
