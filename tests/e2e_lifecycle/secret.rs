//! `spec.auth.secretName`: the operator waits for the Secret, and its password changes without a restart.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

use crate::common::cluster::{Place, eventually};
use crate::common::pods::is_ready;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_users_secret_is_waited_for_and_used() {
    let place = Place::new("secret").await;
    place.create("cache", json!({"auth": {"secretName": "shop"}})).await.unwrap();
    waits_with(&place, "waiting for Secret shop").await;
    place.put::<Secret>(json!({"metadata": {"name": "shop"}, "stringData": {"password": "secret\n"}})).await;
    waits_with(&place, "ends in a line break").await;
    let corrected = Patch::Merge(json!({"stringData": {"password": "a \"quoted\" \\ pässword"}}));
    place.api::<Secret>().patch("shop", &PatchParams::default(), &corrected).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let mut redis = place.connect("cache").await;
    assert_eq!(redis.ask(r#"AUTH "a \"quoted\" \\ p\xc3\xa4ssword""#).await, "+OK");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_password_that_changes_under_a_running_redis_takes_nothing_down() {
    let place = Place::new("rotate").await;
    place.put_password("old", "first").await;
    place.put_password("new", "second").await;
    place.create_running("cache", json!({"auth": {"secretName": "old"}})).await;
    let pod = place.api::<Pod>().get("cache-0").await.unwrap().uid();

    // Another source is followed at once, and both passwords are accepted.
    place.change("cache", json!({"auth": {"secretName": "new"}})).await;
    eventually("second password in the derived Secret", || async {
        (place.password("cache").await == "second").then_some(())
    })
    .await;
    for password in ["first", "second"] {
        assert_eq!(place.connect("cache").await.ask(&format!("AUTH {password}")).await, "+OK", "{password}");
    }
    let now: Pod = place.api().get("cache-0").await.unwrap();
    assert!(now.uid() == pod && is_ready(&now), "a changed password must not take the pod out of service");

    // The source is lost: what was derived from it stays, and so does the instance.
    place.delete::<Secret>("new").await;
    place.change("cache", json!({"storage": {"retention": "Delete"}})).await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(place.password("cache").await, "second");
    place.delete::<Pod>("cache-0").await;
    place.wait_for_new_pod("cache-0", pod).await;
    // It started with the new one alone, and is given the former one, which has time yet.
    for password in ["second", "first"] {
        eventually(&format!("{password} password in the new pod"), || async {
            (place.connect("cache").await.ask(&format!("AUTH {password}")).await == "+OK").then_some(())
        })
        .await;
    }
    let over = json!({"metadata": {"annotations": {"redis.github.com/former-password-until": "2026-01-01T00:00:00Z"}}});
    place.api::<Secret>().patch("cache-auth", &PatchParams::default(), &Patch::Merge(over)).await.unwrap();
    eventually("end of the first password", || async {
        place.connect("cache").await.ask("AUTH first").await.starts_with("-WRONGPASS").then_some(())
    })
    .await;
    assert_eq!(place.connect("cache").await.ask("AUTH second").await, "+OK");
    place.leave().await;
}

async fn waits_with(place: &Place, words: &str) {
    eventually(&format!("message {words:?}"), || async {
        let instance: RedisInstance = place.api().get("cache").await.unwrap();
        instance
            .status
            .filter(|status| status.status == Phase::Pending)?
            .last_condition_message?
            .contains(words)
            .then_some(())
    })
    .await;
}
