//! The operator dies with SIGKILL after each single write of a creation, or runs twice at once, on a real API server
//! without a node: what is there in the end is always the same.

mod common;

use common::{
    children::children,
    cluster::{Namespaced, Place},
    operator::Operator,
};
use futures::{StreamExt, stream};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Secret, Service},
};
use kube::runtime::{WatchStreamExt, watcher};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

/// What there is of an instance when its creation is over, by kind and name.
const CHILDREN: [&str; 5] =
    ["ConfigMap cache", "Secret cache-auth", "Service cache", "Service cache-pods", "StatefulSet cache"];

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_creation_that_is_cut_short_after_any_write_ends_the_same() {
    let place = Place::with_crd("crash").await;
    place.leave().await;
    for writes in 0..=CHILDREN.len() + 1 {
        let place = Place::new("crash").await;
        let mut operator = Operator::reconciling_only(&place).await;
        operator.says("watches are synced").await;
        let seen = stream::select_all([
            added::<ConfigMap>(&place),
            added::<Secret>(&place),
            added::<Service>(&place),
            added::<StatefulSet>(&place),
            statuses(&place),
        ]);
        place.create("cache", json!({})).await.unwrap();
        let mut seen = seen.take(writes);
        while seen.next().await.is_some() {}
        operator.kill();
        eprintln!("killed after {writes} writes");
        let before = children(&place).await;
        let password = password(&place).await;

        let _again = Operator::reconciling_only(&place).await;
        let status = ends(&place).await;
        assert_eq!(children(&place).await, CHILDREN, "killed after {writes} writes, when {before:?} were there");
        if password.is_some() {
            assert_eq!(self::password(&place).await, password, "a password that was given out must stay");
        }
        assert!(status.history.len() <= 2, "{:?}", status.history);
        place.leave().await;
    }
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn two_operators_at_once_make_the_objects_of_one() {
    let place = Place::with_crd("twice").await;
    let operators = [Operator::reconciling_only(&place).await, Operator::reconciling_only(&place).await];
    for operator in &operators {
        operator.says("watches are synced").await;
    }
    for n in 0..10 {
        place.create(&format!("cache-{n}"), json!({})).await.unwrap();
    }
    for n in 0..10 {
        place.reaches(&format!("cache-{n}"), Phase::Pending).await;
    }
    assert_eq!(children(&place).await.len(), 10 * CHILDREN.len());
    for operator in &operators {
        let log = operator.log();
        let failed: Vec<&str> = log.lines().filter(|line| line.contains("reconcile failed")).collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }
    place.leave().await;
}

/// Waits until there is nothing left to do: without a node that is phase Pending.
async fn ends(place: &Place) -> redis_operator::api::v1::RedisInstanceStatus {
    place.reaches("cache", Phase::Pending).await.status.unwrap()
}

type Seen = stream::BoxStream<'static, ()>;

/// An item for each object of the kind that is there or comes.
fn added<K: Namespaced>(place: &Place) -> Seen {
    let ours = watcher::Config::default().labels("redis.github.com/instance");
    watcher(place.api::<K>(), ours).applied_objects().filter_map(|object| async move { object.ok().map(drop) }).boxed()
}

/// An item when the status is first written.
fn statuses(place: &Place) -> Seen {
    watcher(place.api::<RedisInstance>(), watcher::Config::default())
        .applied_objects()
        .filter_map(|object| async move { object.ok().and_then(|instance| instance.status).map(drop) })
        .take(1)
        .boxed()
}

async fn password(place: &Place) -> Option<Vec<u8>> {
    let secret = place.api::<Secret>().get_opt("cache-auth").await.unwrap()?;
    secret.data.map(|data| data["password"].0.clone())
}
