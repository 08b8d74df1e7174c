//! Instances that cannot be reconciled: names that other objects have, and a stored spec that is invalid.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
};
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

use crate::common::cluster::Place;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_name_that_is_taken_is_reported_and_not_touched() {
    let place = Place::new("taken").await;
    let labels = json!({"app": "somebody-elses"});
    let metadata = |name: &str| json!({"name": name, "labels": labels});
    place.put::<ConfigMap>(json!({"metadata": metadata("one"), "data": {"theirs": "yes"}})).await;
    place.put::<Service>(json!({"metadata": metadata("two"), "spec": {"ports": [{"port": 80}]}})).await;
    place.put::<Service>(json!({"metadata": metadata("three-pods"), "spec": {"ports": [{"port": 80}]}})).await;
    place.put::<Secret>(json!({"metadata": metadata("four-auth"), "stringData": {"password": "theirs"}})).await;
    place
        .put::<StatefulSet>(json!({"metadata": metadata("five"), "spec": {"replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "x", "image": "redis:7.0.15"}]}}}}))
        .await;
    let before = versions(&place).await;
    for name in ["one", "two", "three", "four", "five"] {
        place.create(name, json!({})).await.unwrap();
        let failed = place.reaches(name, Phase::Failed).await.status.unwrap();
        let stalled =
            failed.conditions.iter().find(|condition| condition.type_ == "Stalled").expect("a Stalled condition");
        assert_eq!(stalled.reason, "Conflict");
        assert!(stalled.message.contains("is taken by a"), "{}", stalled.message);
    }
    let after = versions(&place).await;
    let touched: Vec<_> = before.iter().filter(|held| !after.contains(held)).collect();
    assert!(touched.is_empty(), "written to: {touched:?}");

    // The name becomes free: no further word from the user is needed.
    place.delete::<ConfigMap>("one").await;
    place
        .api::<RedisInstance>()
        .patch("one", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"again": "1"}}})))
        .await
        .unwrap();
    place.reaches("one", Phase::Running).await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_invalid_stored_instance_is_stalled_and_affects_no_other() {
    // This namespace is excluded from the webhooks: what is stored here was never judged.
    let place = Place { client: crate::common::cluster::client().await, namespace: "redis-operator-system".to_owned() };
    let spec = json!({"image": "Redis:7", "storage": {"size": "10GiB"}, "config": {"requirepass": "hunter2"}});
    place.create("unjudged", spec).await.unwrap();
    let status = place.reaches("unjudged", Phase::Failed).await.status.unwrap();
    let message = status.last_condition_message.unwrap();
    for part in ["spec.image", "spec.storage.size", "spec.config[requirepass]"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("hunter2"), "{message}");
    let kinds: Vec<_> =
        status.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect();
    assert_eq!(kinds, [("Ready", "False", "InvalidSpec"), ("Stalled", "True", "InvalidSpec")]);
    assert!(place.api::<StatefulSet>().get_opt("unjudged").await.unwrap().is_none());

    let elsewhere = Place::new("unharmed").await;
    elsewhere.create("cache", json!({})).await.unwrap();
    elsewhere.reaches("cache", Phase::Running).await;
    elsewhere.leave().await;

    // A running instance that becomes invalid keeps its children; a corrected spec is enough to repair it.
    place.change("unjudged", json!({"image": null, "storage": {"size": "1Gi"}, "config": null})).await;
    place.reaches("unjudged", Phase::Running).await;
    let pod = place.api::<Pod>().get("unjudged-0").await.unwrap().uid();
    place.change("unjudged", json!({"image": "Redis:7"})).await;
    let failed = place.reaches("unjudged", Phase::Failed).await.status.unwrap();
    assert_eq!(failed.ready_replicas, Some(1));
    place.change("unjudged", json!({"image": null})).await;
    place.reaches("unjudged", Phase::Running).await;
    assert_eq!(place.api::<Pod>().get("unjudged-0").await.unwrap().uid(), pod);
    place.delete::<RedisInstance>("unjudged").await;
    place.gone::<StatefulSet>("unjudged").await;
    place.delete::<PersistentVolumeClaim>("redis-data-unjudged-0").await;
}

/// Kind, name and resourceVersion of everything that could have been written to.
async fn versions(place: &Place) -> Vec<String> {
    let all = ListParams::default().labels("app=somebody-elses");
    let mut versions = Vec::new();
    versions.extend(place.api::<ConfigMap>().list(&all).await.unwrap().iter().map(version));
    versions.extend(place.api::<Service>().list(&all).await.unwrap().iter().map(version));
    versions.extend(place.api::<Secret>().list(&all).await.unwrap().iter().map(version));
    // The StatefulSet's own controller writes its status: its generation counts writes to the spec.
    versions.extend(
        place
            .api::<StatefulSet>()
            .list(&all)
            .await
            .unwrap()
            .iter()
            .map(|set| format!("{} {:?} {:?}", set.name_any(), set.metadata.generation, set.labels())),
    );
    versions
}

fn version<K: ResourceExt>(object: &K) -> String {
    format!("{} {:?}", object.name_any(), object.resource_version())
}
