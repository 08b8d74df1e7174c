//! A Secret that is gone while something needs it, or that an instance left behind. On a real API server without a node: what a kubelet reports is written by the test.

mod common;

use common::{
    cluster::{Place, eventually},
    manifests::define,
    operator::Operator,
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PropagationPolicy},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpListener};

/// An instance with a pod that waits for its container, as the kubelet reports one whose Secret is not there.
async fn waiting(place: &Place, auth: serde_json::Value) {
    define(place).await;
    place.put_password("shop", "chosen").await;
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
        let instance = place.api::<RedisInstance>().get("cache").await.unwrap();
        let message = instance.status?.last_condition_message?;
        message.contains("waiting for Secret shop").then_some(())
    })
    .await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn an_instance_that_was_orphaned_and_is_created_again_goes_on_with_its_password() {
    for retention in ["Delete", "Retain"] {
        let place = Place::with_crd("orphaned").await;
        let operator = Operator::reconciling_only(&place).await;
        let spec = json!({"storage": {"size": "1Gi", "retention": retention}});
        place.create("cache", spec.clone()).await.unwrap();
        place.reaches("cache", Phase::Pending).await;
        eventually("pod cache-0", || async { place.api::<Pod>().get_opt("cache-0").await.unwrap() }).await;
        let password = place.password("cache").await;
        let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
        place.api::<RedisInstance>().delete("cache", &orphan).await.unwrap();
        place.gone::<RedisInstance>("cache").await;
        let uid = place.create("cache", spec).await.unwrap().uid().unwrap();
        place.reaches("cache", Phase::Pending).await;
        assert_eq!(place.password("cache").await, password, "{retention}: {}", operator.log());
        let secret = place.api::<Secret>().get("cache-auth").await.unwrap();
        assert!(secret.owner_references().iter().any(|owner| owner.uid == uid), "{retention}");
        place.leave().await;
    }
}

/// Servers that have all the clients that they may have, one on each address.
async fn full(addresses: [&'static str; 2]) {
    for address in addresses {
        let listener = TcpListener::bind((address, 6379)).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                drop(client.write_all(b"-ERR max number of clients reached\r\n").await);
            }
        });
    }
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_password_that_servers_still_ask_for_stays_when_there_is_to_be_none() {
    let place = Place::with_crd("needed").await;
    let addresses = ["127.7.0.1", "127.7.0.2"];
    full(addresses).await;
    let _operator = Operator::reconciling_only(&place).await;
    place.create("cache", json!({"replicas": 2})).await.unwrap();
    for (name, address) in ["cache-0", "cache-1"].into_iter().zip(addresses) {
        eventually(name, || async { place.api::<Pod>().get_opt(name).await.unwrap() }).await;
        let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
        let status = json!({"status": {"phase": "Running", "podIP": address, "startTime": "2026-01-01T00:00:00Z",
            "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "redis", "image": "x",
                "imageID": "", "ready": true, "restartCount": 0, "containerID": "x://x", "state": running}]}});
        place.api::<Pod>().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }
    let before = place.api::<Secret>().get("cache-auth").await.unwrap();
    let password = place.password("cache").await;
    place.change("cache", json!({"auth": {"enabled": false}})).await;
    eventually("word of a server that still asks for a password", || async {
        let instance = place.api::<RedisInstance>().get("cache").await.unwrap();
        let held = instance.status?.conditions.into_iter().find(|held| held.type_ == "PasswordRotated")?;
        held.message.contains("restarts wait until cache-").then_some(())
    })
    .await;
    place.delete::<Secret>("cache-auth").await;
    eventually("the Secret again", || async {
        place.api::<Secret>().get_opt("cache-auth").await.unwrap().filter(|found| found.uid() != before.uid())
    })
    .await;
    assert_eq!(place.password("cache").await, password);
    place.leave().await;
}
