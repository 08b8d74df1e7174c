//! The API server answers, and not what was hoped for.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim},
};
use kube::api::{Patch, PatchParams};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

use crate::{
    ALWAYS, Stage,
    common::{
        cluster::{Place, eventually},
        operator::Operator,
        proxy::{Fault, Proxy},
    },
    never, rolled, through, writes,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn a_kind_that_may_not_be_written_is_reported_and_delays_no_other_instance() {
    let stage = Stage::set("forbidden").await;
    let other = Place::new("unharmed").await;
    stage.proxy.fail(Fault::Status(403), ALWAYS, stage.writes("services"));
    stage.place.create("cache", json!({})).await.unwrap();
    let failed = stage.place.reaches("cache", Phase::Failed).await;
    let message = failed.status.unwrap().last_condition_message.unwrap();
    assert!(message.contains("refuses to create Service cache-pods: Forbidden on purpose"), "{message}");
    eventually("failure of class forbidden", || async { (stage.failures("forbidden").await >= 1.0).then_some(()) })
        .await;

    other.create("cache", json!({})).await.unwrap();
    never(&other.reaches("cache", Phase::Pending).await, Phase::Failed);
    stage.proxy.heal();
    stage.place.reaches("cache", Phase::Pending).await;
    stage.place.leave().await;
    other.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn a_conflict_is_tried_again_and_is_no_news_to_anybody() {
    let stage = Stage::set("conflict").await;
    stage.place.create("cache", json!({})).await.unwrap();
    stage.place.reaches("cache", Phase::Pending).await;
    stage.proxy.fail(Fault::Status(409), 3, stage.writes("statefulsets"));
    stage.place.change("cache", json!({"image": "redis:7.0.14"})).await;
    rolled(&stage.place, "cache", "redis:7.0.14").await;
    assert!((stage.failures("conflict").await - 3.0).abs() < 0.5);
    // Without a node its pod never serves, so the roll does not end.
    never(&stage.place.reaches("cache", Phase::Updating).await, Phase::Failed);
    stage.place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn others_who_write_to_the_same_objects_all_the_time_do_not_get_in_the_way() {
    let stage = Stage::set("crowd").await;
    stage.place.create("cache", json!({})).await.unwrap();
    stage.place.reaches("cache", Phase::Pending).await;
    let crowd = (0..10).map(|writer| {
        let (sets, instances) = (stage.place.api::<StatefulSet>(), stage.place.api::<RedisInstance>());
        tokio::spawn(async move {
            for n in 0.. {
                let note = json!({"metadata": {"annotations": {format!("test/writer-{writer}"): n.to_string()}}});
                sets.patch("cache", &PatchParams::default(), &Patch::Merge(&note)).await.unwrap();
                instances.patch("cache", &PatchParams::default(), &Patch::Merge(&note)).await.unwrap();
            }
        })
    });
    let crowd: Vec<_> = crowd.collect();
    for patch in 10..15 {
        let image = format!("redis:7.0.{patch}");
        stage.place.change("cache", json!({ "image": image })).await;
        rolled(&stage.place, "cache", &image).await;
    }
    crowd.iter().for_each(tokio::task::JoinHandle::abort);
    // Not until it is Pending again: in this crowd Kubernetes' own controller may lose count of the StatefulSet's pods
    // (status.currentReplicas: -1) and get no further.
    never(&stage.place.api::<RedisInstance>().get("cache").await.unwrap(), Phase::Failed);
    stage.place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn a_write_is_retried_no_sooner_than_retry_after() {
    for fault in [Fault::Throttled(3), Fault::Turned(3)] {
        let stage = Stage::set("throttled").await;
        stage.proxy.fail(fault.clone(), 1, stage.writes("configmaps"));
        stage.place.create("cache", json!({})).await.unwrap();
        stage.place.reaches("cache", Phase::Pending).await;
        let tries = stage.proxy.asked(stage.writes("configmaps"));
        let waited = tries[1].at - tries[0].at;
        assert!(waited >= Duration::from_secs(3), "{fault:?}: asked again after {waited:?}");
        assert!((stage.failures("throttled").await - 1.0).abs() < 0.5);
        stage.place.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn a_watch_is_retried_no_sooner_than_retry_after() {
    let place = Place::with_crd("turned-away").await;
    let proxy = Proxy::start().await;
    proxy.fail(Fault::Turned(3), 2, |asked| asked.reads_all("pods"));
    let operator = Operator::launch(&place, through(&proxy)).await;
    operator.says("watches are synced").await;
    let tries = proxy.asked(|asked| asked.reads_all("pods"));
    for pair in tries[..3].windows(2) {
        let waited = pair[1].at - pair[0].at;
        assert!(waited >= Duration::from_secs(3), "asked again after {waited:?}");
    }
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn an_api_server_that_fails_is_asked_again() {
    let place = Place::with_crd("failing").await;
    let proxy = Proxy::start().await;
    for (code, resource) in [(500, "redisinstances"), (503, "pods"), (500, "statefulsets")] {
        proxy.fail(Fault::Status(code), 2, move |asked| asked.reads_all(resource));
    }
    let operator = Operator::launch(&place, through(&proxy)).await;
    operator.says("watches are synced").await;
    proxy.fail(Fault::Status(500), 1, writes(&place, "services"));
    proxy.fail(Fault::Status(503), 1, writes(&place, "statefulsets"));
    proxy.fail(Fault::Status(503), 1, writes(&place, "redisinstances"));
    place.create("cache", json!({})).await.unwrap();
    never(&place.reaches("cache", Phase::Pending).await, Phase::Failed);
    let errors = "redis_operator_reconcile_failures_total{class=\"server_error\"}";
    assert!((operator.metric(errors).await - 3.0).abs() < 0.5, "{}", operator.log());
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn a_write_that_keeps_failing_is_named() {
    let stage = Stage::set("lasting").await;
    stage.proxy.fail(Fault::Status(500), ALWAYS, stage.writes("services"));
    stage.place.create("cache", json!({})).await.unwrap();
    shows(&stage, "ReconcileFailing", "cannot create Service cache-pods: InternalError on purpose; it is retried")
        .await;
    stage.proxy.heal();
    shows(&stage, "PodsNotReady", "").await;
    stage.place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn a_replication_step_that_keeps_failing_is_named_and_counts_as_no_primary() {
    for (code, reason, words) in [
        (403, "Rejected", "refuses to patch PersistentVolumeClaim redis-data-cache-0: Forbidden on purpose"),
        (500, "ReconcileFailing", "cannot patch PersistentVolumeClaim redis-data-cache-0: InternalError on purpose"),
    ] {
        let stage = Stage::set("replication").await;
        // A claim that was made by hand is labelled by that step.
        let storage = json!({"requests": {"storage": "1Gi"}});
        let claim = json!({"metadata": {"name": "redis-data-cache-0"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": storage}});
        stage.place.put::<PersistentVolumeClaim>(claim).await;
        stage.proxy.fail(Fault::Status(code), ALWAYS, stage.writes("persistentvolumeclaims"));
        stage.place.create("cache", json!({"replicas": 2})).await.unwrap();
        shows(&stage, reason, words).await;
        eventually("an instance without a primary", || async {
            let count = stage.operator.metric("redis_operator_instances_without_primary").await;
            (count > 0.5).then_some(())
        })
        .await;
        stage.proxy.heal();
        stage.place.reaches("cache", Phase::Pending).await;
        stage.place.leave().await;
    }
}

/// Waits until `Ready` has this reason and these words.
async fn shows(stage: &Stage, reason: &'static str, words: &'static str) {
    let shown = move |instance: Option<&RedisInstance>| {
        let status = instance.and_then(|instance| instance.status.clone()).unwrap_or_default();
        let ready = status.conditions.into_iter().find(|held| held.type_ == "Ready");
        ready.is_some_and(|ready| ready.reason == reason && ready.message.contains(words))
    };
    stage.place.until("cache", &format!("{reason} with {words:?}"), shown).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn backoff_doubles_differs_between_instances_and_restarts_after_success() {
    let stage = Stage::set("backoff").await;
    stage.proxy.fail(Fault::Status(500), ALWAYS, stage.writes("configmaps"));
    let names = ["a", "b", "c", "d"];
    for name in names {
        stage.place.create(name, json!({})).await.unwrap();
    }
    let of = |name: &'static str, failures: u32| {
        let (log, instance, failures) =
            (stage.operator.log(), format!("instance=\"{name}\""), format!("failures={failures} "));
        let line = log.lines().find(|line| line.contains(&instance) && line.contains(&failures)).map(str::to_owned)?;
        line.split("retry_in=").nth(1)?.trim_end_matches('s').parse::<f64>().ok()
    };
    let mut fourth = BTreeSet::new();
    for name in names {
        eventually(&format!("fourth failure of {name}"), || async { of(name, 4) }).await;
        for (failures, least) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0)] {
            let wait = of(name, failures).unwrap();
            assert!((least..=least * 1.25).contains(&wait), "{name} waits {wait} s after failure {failures}");
        }
        fourth.insert(format!("{:?}", of(name, 4)));
    }
    assert!(fourth.len() > 1, "all wait the same time: {fourth:?}");
    let tries = stage.proxy.asked(stage.writes("configmaps"));
    assert!(tries.len() <= 4 * 5, "asked {} times", tries.len());

    stage.proxy.heal();
    for name in names {
        eventually(&format!("ConfigMap {name}"), || async {
            stage.place.api::<ConfigMap>().get_opt(name).await.unwrap()
        })
        .await;
        stage.place.reaches(name, Phase::Pending).await;
    }
    stage.proxy.fail(Fault::Status(500), 1, stage.writes("configmaps"));
    let before = stage.operator.log().len();
    stage.place.delete::<ConfigMap>("a").await;
    eventually("a first failure again", || async {
        stage.operator.log()[before..].contains("failures=1 ").then_some(())
    })
    .await;
    eventually("ConfigMap a", || async { stage.place.api::<ConfigMap>().get_opt("a").await.unwrap() }).await;
    stage.place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn instances_whose_requests_hang_hold_up_no_other() {
    let stage = Stage::set("hanging").await;
    let other = Place::new("unharmed").await;
    stage.proxy.fail(Fault::Hang, ALWAYS, stage.writes("configmaps"));
    let hanging = 40;
    for n in 0..hanging {
        stage.place.create(&format!("cache-{n}"), json!({})).await.unwrap();
    }
    eventually("every turn taken by a request that hangs", || async {
        (stage.proxy.asked(stage.writes("configmaps")).len() >= 16).then_some(())
    })
    .await;
    other.create("cache", json!({})).await.unwrap();
    other.reaches("cache", Phase::Pending).await;
    assert!(stage.failures("deadline").await < 0.5, "it was held up until the others were given up");
    stage.place.leave().await;
    other.leave().await;
}
