//! Watches that end, expire, are refused or fall silent, and a kind that comes and goes.

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Service},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PropagationPolicy},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{
    ALWAYS, Stage,
    common::{
        cluster::{Place, eventually},
        manifests::{DEFINITION, define},
        operator::Operator,
        proxy::{Asked, Fault},
    },
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn a_watch_that_has_expired_lists_again_and_misses_nothing() {
    for (fault, name) in [(Fault::WatchError(410), "event"), (Fault::Status(410), "status")] {
        let stage = Stage::set("expired").await;
        stage.place.create("before", json!({})).await.unwrap();
        stage.place.reaches("before", Phase::Pending).await;
        let lists = |resource| stage.proxy.asked(move |asked| asked.reads_all(resource) && !asked.watch).len();
        let before = ["redisinstances", "configmaps"].map(lists);

        stage.proxy.leave().await;
        for resource in ["redisinstances", "configmaps"] {
            // An API server that has forgotten: it refuses every watch from before until it has been listed again.
            let listed = AtomicBool::new(false);
            stage.proxy.fail(fault.clone(), ALWAYS, move |asked| {
                if asked.reads_all(resource) && !asked.watch {
                    listed.store(true, Ordering::Relaxed);
                }
                asked.reads_all(resource) && asked.watch && !listed.load(Ordering::Relaxed)
            });
        }
        stage.place.delete::<ConfigMap>("before").await;
        stage.place.create(name, json!({})).await.unwrap();
        stage.proxy.come_back().await;
        stage.place.reaches(name, Phase::Pending).await;
        eventually(&format!("ConfigMap deleted meanwhile, after {fault:?}"), || async {
            stage.place.api::<ConfigMap>().get_opt("before").await.unwrap()
        })
        .await;
        assert_eq!(["redisinstances", "configmaps"].map(lists), before.map(|count| count + 1), "lists after {fault:?}");
        stage.place.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn a_kind_that_cannot_be_watched_is_named_and_watched_once_it_can() {
    let place = Place::with_crd("unwatched").await;
    let proxy = crate::Proxy::start().await;
    proxy.fail(Fault::Status(403), ALWAYS, |asked| asked.reads_all("pods"));
    let operator = Operator::launch(&place, crate::through(&proxy)).await;
    place.create("cache", json!({})).await.unwrap();
    eventually("readiness that names the watch on Pod alone", || async {
        let (status, missing) = operator.admin("/readyz").await?;
        let watches: Vec<&str> = missing.lines().filter(|line| line.contains("watch")).collect();
        (status == 503 && watches == ["the watch on Pod is not synced"]).then_some(())
    })
    .await;
    assert_eq!(operator.admin("/livez").await, Some((200, "ok".to_owned())));
    eventually("interruptions counted", || async {
        let count = operator.metric("redis_operator_watch_interruptions_total{kind=\"Pod\"}").await;
        (count >= 2.0).then_some(())
    })
    .await;
    proxy.heal();
    place.reaches("cache", Phase::Pending).await;
    place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn the_kind_may_come_after_the_operator_and_may_go_and_come_again() {
    let place = Place::with_crd("kind").await;
    undefine(&place).await;
    let operator = Operator::reconciling_only(&place).await;
    eventually("readiness that names the watch on RedisInstance", || async {
        let (status, missing) = operator.admin("/readyz").await?;
        (status == 503 && missing.contains("the watch on RedisInstance is not synced")).then_some(())
    })
    .await;
    assert_eq!(operator.admin("/livez").await, Some((200, "ok".to_owned())));

    let rounds = ["first", "second", "third"];
    for round in rounds {
        define(&place).await;
        place.create(round, json!({})).await.unwrap();
        place.reaches(round, Phase::Pending).await;
        undefine(&place).await;
    }
    assert!(!operator.log().contains("panicked"), "{}", operator.log());
    define(&place).await;
    // The garbage collector looks for kinds every 30 s. While it knows none of this name it cannot know that the owner is gone, and
    // asks ever less often; so a child goes when the kind is there to stay.
    for round in rounds {
        place.gone::<ConfigMap>(round).await;
    }
    place.leave().await;
}

async fn undefine(place: &Place) {
    let definitions: Api<CustomResourceDefinition> = Api::all(place.client.clone());
    definitions.delete(DEFINITION, &DeleteParams::default()).await.unwrap();
    eventually("end of the CRD", || async { definitions.get_opt(DEFINITION).await.unwrap().is_none().then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn a_network_that_swallows_everything_is_noticed_and_left_behind() {
    let stage = Stage::set("half-open").await;
    stage.place.create("before", json!({})).await.unwrap();
    stage.place.reaches("before", Phase::Pending).await;
    stage.proxy.freeze();
    stage.place.delete::<ConfigMap>("before").await;
    stage.place.create("during", json!({})).await.unwrap();
    let begun = std::time::Instant::now();
    // The watches say nothing; each is given up when it should have ended, and opened again, into the same silence.
    for resource in ["redisinstances", "configmaps", "services", "statefulsets", "pods", "persistentvolumeclaims"] {
        eventually(&format!("another watch of {resource}"), || async {
            let again = stage.proxy.asked(|asked| asked.at > begun && asked.watch && asked.reads_all(resource));
            (!again.is_empty()).then_some(())
        })
        .await;
    }
    assert_eq!(stage.operator.admin("/livez").await, Some((200, "ok".to_owned())), "restarting would not help");
    // What was asked meanwhile is never answered: only who gives it up gets through.
    stage.proxy.thaw();
    crate::patiently("instance made meanwhile", || async {
        let instance = stage.place.api::<RedisInstance>().get("during").await.unwrap();
        (instance.status?.status == Phase::Pending).then_some(())
    })
    .await;
    eventually("ConfigMap deleted meanwhile", || async {
        stage.place.api::<ConfigMap>().get_opt("before").await.unwrap().map(|object| object.name_any())
    })
    .await;
    stage.place.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn an_instance_whose_deletion_was_not_seen_yet_adopts_no_orphan() {
    let stage = Stage::set("orphaned").await;
    stage.place.create("cache", json!({"storage": {"retention": "Delete"}})).await.unwrap();
    stage.place.reaches("cache", Phase::Pending).await;
    let claims = stage.place.api::<PersistentVolumeClaim>();
    eventually("owner of the claim", || async {
        let claim = claims.get_opt("redis-data-cache-0").await.unwrap()?;
        (claim.owner_references().len() == 1).then_some(())
    })
    .await;
    assert_ne!(stage.proxy.silence(|asked| asked.watch && asked.reads_all("redisinstances")), 0, "no watch was open");
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    stage.place.api::<RedisInstance>().delete("cache", &orphan).await.unwrap();
    stage.place.gone::<RedisInstance>("cache").await;
    // The other watches show that the children have no owner any more. Of the two questions at least one is about the ConfigMap,
    // which a reconcile reaches after the claims.
    let begun = std::time::Instant::now();
    let label = json!({"metadata": {"labels": {"changed": "by-hand"}}});
    claims.patch("redis-data-cache-0", &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
    let is_question = |asked: &Asked| asked.at > begun && asked.resource == "redisinstances" && asked.name.is_empty();
    eventually("two questions whether it may adopt", || async {
        (stage.proxy.asked(|asked| is_question(asked) && !asked.watch).len() >= 2).then_some(())
    })
    .await;
    stage.operator.says("it adopts nothing").await;
    let claim = claims.get("redis-data-cache-0").await.unwrap();
    assert!(claim.metadata.deletion_timestamp.is_none(), "the data would be lost");
    for owners in [
        stage.place.api::<StatefulSet>().get("cache").await.unwrap().owner_references().len(),
        stage.place.api::<ConfigMap>().get("cache").await.unwrap().owner_references().len(),
        stage.place.api::<Service>().get("cache").await.unwrap().owner_references().len(),
        claim.owner_references().len(),
    ] {
        assert_eq!(owners, 0, "the garbage collector would delete it");
    }
    stage.place.leave().await;
}
