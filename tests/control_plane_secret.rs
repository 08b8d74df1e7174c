//! A Secret that is gone while a pod waits for it. On a real API server without a node: what a kubelet reports is written by the test.

mod common;

use common::{
    cluster::{Place, eventually},
    operator::{Operator, define},
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use redis_operator::api::v1::Phase;
use serde_json::json;

/// An instance with a pod that waits for its container, as the kubelet reports one whose Secret is not there.
async fn waiting(place: &Place, auth: serde_json::Value) {
    define(place).await;
    place.put::<Secret>(json!({"metadata": {"name": "shop"}, "stringData": {"password": "chosen"}})).await;
    place.create("cache", json!({ "auth": auth })).await.unwrap();
    place.reaches("cache", Phase::Pending).await;
    eventually("pod cache-0", || async { place.api::<Pod>().get_opt("cache-0").await.unwrap() }).await;
}

async fn report(place: &Place) {
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap().to_string();
    let status = json!({"status": {"startTime": now, "containerStatuses": [{"name": "redis", "image": "x",
        "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}]}});
    place.api::<Pod>().patch_status("cache-0", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_secret_that_is_gone_is_there_again_soon_when_a_pod_waits_for_it() {
    for auth in [json!({}), json!({"secretName": "shop"})] {
        let place = Place::new("missed").await;
        let _operator = Operator::reconciling_only(&place).await;
        waiting(&place, auth).await;
        let gone = place.api::<Secret>().get("cache-auth").await.unwrap().uid();
        place.delete::<Secret>("cache-auth").await;
        report(&place).await;
        eventually("another Secret", || async {
            place.api::<Secret>().get_opt("cache-auth").await.unwrap().filter(|found| found.uid() != gone)
        })
        .await;
        place.leave().await;
    }
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_users_secret_that_is_gone_is_named_when_a_pod_waits_for_the_one_made_from_it() {
    let place = Place::new("named").await;
    let _operator = Operator::reconciling_only(&place).await;
    waiting(&place, json!({"secretName": "shop"})).await;
    for name in ["shop", "cache-auth"] {
        place.delete::<Secret>(name).await;
    }
    report(&place).await;
    eventually("the name of the Secret in the status", || async {
        let instance = place.api::<redis_operator::api::v1::RedisInstance>().get("cache").await.unwrap();
        let message = instance.status?.last_condition_message?;
        message.contains("waiting for Secret shop").then_some(())
    })
    .await;
    place.leave().await;
}
