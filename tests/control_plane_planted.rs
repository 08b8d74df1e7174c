//! A pod with the name and the label of an instance's that its StatefulSet does not have: it is nobody the operator deals with.
//! On a real API server without a node.

mod common;

use common::{
    cluster::{Place, eventually},
    operator::{Operator, define},
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use redis_operator::api::v1::Phase;
use serde_json::json;

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_planted_pod_is_no_pod_of_the_instance() {
    let place = Place::new("planted").await;
    define(&place).await;
    eventually("the ServiceAccount of pods", || async {
        place.api::<ServiceAccount>().get_opt("default").await.unwrap()
    })
    .await;
    let security = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let planted: Pod = place
        .put(json!({"metadata": {"name": "cache-1", "labels": {
            "redis.github.com/instance": "cache", "app.kubernetes.io/managed-by": "redis-operator"}},
            "spec": {"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{"name": "redis", "image": "x", "securityContext": security}]}}))
        .await;
    let status = json!({"status": {"phase": "Running", "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "redis", "image": "x", "imageID": "x", "ready": true, "restartCount": 0,
            "containerID": "x://x", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}});
    place.api::<Pod>().patch_status("cache-1", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();

    let operator = Operator::reconciling_only(&place).await;
    place.create("cache", json!({})).await.unwrap();
    place.reaches("cache", Phase::Pending).await;
    place.change("cache", json!({"config": {"hz": "20"}})).await;
    let changed = |map: Option<&ConfigMap>| {
        map.and_then(|map| map.data.as_ref()).is_some_and(|data| data["redis.conf"].contains("hz 20"))
    };
    place.until("cache", "the changed configuration", changed).await;
    place.reaches("cache", Phase::Pending).await;

    let services = place.api::<Service>();
    let selector = services.get("cache").await.unwrap().spec.unwrap().selector.unwrap();
    assert!(!selector.contains_key("redis.github.com/role"), "the instance has one pod: {selector:?}");
    assert!(services.get_opt("cache-replicas").await.unwrap().is_none(), "a planted pod is no replica");
    let found = place.api::<Pod>().get("cache-1").await.unwrap();
    assert_eq!((found.uid(), found.labels()), (planted.uid(), planted.labels()), "it was left alone");
    assert!(!operator.log().contains("cache-1"), "{}", operator.log());
    place.leave().await;
}
