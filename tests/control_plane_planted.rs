//! Objects that another client made with the names and labels of an instance's: a pod that its StatefulSet does not have, and a
//! Secret that is to give the instance its password. On a real API server without a node.

mod common;

use common::{
    cluster::{Place, eventually},
    operator::Operator,
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount},
};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use redis_operator::api::v1::Phase;
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_planted_pod_is_no_pod_of_the_instance() {
    let place = Place::with_crd("planted").await;
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

/// Lines that an attacker who may create Secrets would like redis.conf to include.
const EVIL: &str = "requirepass \"a\"\nuser evil on nopass ~* &* +@all\n";

fn labels() -> Value {
    json!({"app": "redis", "redis.github.com/instance": "cache", "app.kubernetes.io/managed-by": "redis-operator"})
}

async fn plant(place: &Place) -> Secret {
    place
        .put(json!({"metadata": {"name": "cache-auth", "labels": labels(),
                "annotations": {"redis.github.com/former-password-until": "9999-01-01T00:00:00Z"}},
            "stringData": {"password": "c", "former-password": "b", "auth.conf": EVIL}}))
        .await
}

async fn data(place: &Place) -> Vec<(String, String)> {
    let secret: Secret = place.api().get("cache-auth").await.unwrap();
    let data = secret.data.unwrap().into_iter();
    data.map(|(key, value)| (key, String::from_utf8(value.0).unwrap())).collect()
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_planted_secret_gives_no_instance_its_password() {
    for auth in [json!({}), json!({"secretName": "shop"})] {
        let place = Place::with_crd("planted-secret").await;
        place.put_password("shop", "chosen").await;
        let planted = plant(&place).await;
        let _operator = Operator::reconciling_only(&place).await;
        place.create("cache", json!({"auth": auth})).await.unwrap();
        let status = place.reaches("cache", Phase::Failed).await.status.unwrap();
        let stalled = status.conditions.iter().find(|held| held.type_ == "Stalled").expect("a Stalled condition");
        assert_eq!(stalled.reason, "Conflict");
        assert!(stalled.message.contains("cache-auth") && stalled.message.contains("delete it"), "{}", stalled.message);
        assert!(place.api::<StatefulSet>().get_opt("cache").await.unwrap().is_none(), "no pod may include its lines");
        let found = place.api::<Secret>().get("cache-auth").await.unwrap();
        assert_eq!(found.resource_version(), planted.resource_version(), "it was written to");

        place.delete::<Secret>("cache-auth").await;
        // A name that was taken is looked at every 30 s, and at every change.
        place.change("cache", json!({"config": {"hz": "20"}})).await;
        place.reaches("cache", Phase::Pending).await;
        let data = data(&place).await;
        assert!(data.iter().all(|(key, value)| key != "former-password" && value != "c" && !value.contains("evil")));
        place.leave().await;
    }
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn of_a_secret_that_was_left_with_a_volume_only_the_password_counts() {
    for (auth, password) in [(json!({}), "c"), (json!({"secretName": "shop"}), "chosen")] {
        let place = Place::with_crd("left-secret").await;
        place.put_password("shop", "chosen").await;
        place
            .put::<PersistentVolumeClaim>(json!({"metadata": {"name": "redis-data-cache-0", "labels": labels()},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}))
            .await;
        plant(&place).await;
        let _operator = Operator::reconciling_only(&place).await;
        place.create("cache", json!({"auth": auth, "storage": {"size": "1Gi"}})).await.unwrap();
        place.reaches("cache", Phase::Pending).await;
        let data = data(&place).await;
        let value = |of: &str| data.iter().find(|(key, _)| key == of).map(|(_, value)| value.clone());
        assert_eq!(value("password").as_deref(), Some(password), "no former password queues it");
        let lines = |word: &str| format!("masterauth \"{word}\"\nmasteruser default\nrequirepass \"{word}\"\n");
        assert_eq!(value("auth.conf"), Some(lines(password)));
        assert_eq!(value("former-password").as_deref(), Some("a"), "the one in the lines, and none that was planted");
        place.leave().await;
    }
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn lines_that_another_client_added_go_while_another_password_waits_for_its_turn() {
    let place = Place::with_crd("added-lines").await;
    place.put_password("shop", "first").await;
    let mut operator = Operator::reconciling_only(&place).await;
    place.create("cache", json!({"auth": {"secretName": "shop"}})).await.unwrap();
    place.reaches("cache", Phase::Pending).await;
    operator.kill();
    let merge = async |name: &str, change: Value| {
        place.api::<Secret>().patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    };
    let until = "redis.github.com/former-password-until";
    let added = json!({"metadata": {"annotations": {until: "9999-01-01T00:00:00Z"}},
        "stringData": {"former-password": "b", "auth.conf": EVIL}});
    merge("cache-auth", added).await;
    merge("shop", json!({"stringData": {"password": "second"}})).await;
    let _operator = Operator::reconciling_only(&place).await;
    eventually("the lines of the operator alone", || async {
        let data = data(&place).await;
        let conf = data.iter().find(|(key, _)| key == "auth.conf")?;
        (conf.1 == "masterauth \"a\"\nmasteruser default\nrequirepass \"a\"\n").then_some(())
    })
    .await;
    let secret: Secret = place.api().get("cache-auth").await.unwrap();
    assert!(!secret.annotations()[until].starts_with("9999"), "{:?}", secret.annotations());
    place.leave().await;
}
