//! The life of an instance on a real cluster with real Redis: created, used, changed, damaged, deleted.

mod common;

use common::cluster::{Place, eventually};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
    storage::v1::StorageClass,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::wait::conditions::is_pod_running,
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_instance_serves_and_its_data_outlives_its_pod() {
    let place = Place::new("serve").await;
    place.create("cache", json!({})).await.unwrap();
    let instance = place.reaches("cache", Phase::Running).await;
    let phases: Vec<Phase> = instance.status.unwrap().history.iter().map(|change| change.phase).collect();
    assert_eq!(phases, [Phase::Creating, Phase::Pending, Phase::Running]);

    let mut redis = place.connect("cache").await;
    assert!(redis.ask("PING").await.starts_with("-NOAUTH"), "redis must not be open without a password");
    assert_eq!(redis.ask(&format!("AUTH {}", place.password("cache").await)).await, "+OK");
    assert_eq!(redis.ask("SET order 4711").await, "+OK");

    let pod: Pod = place.api().get("cache-0").await.unwrap();
    place.delete::<Pod>("cache-0").await;
    let uid = pod.uid();
    place
        .until("cache-0", "new pod", move |pod: Option<&Pod>| pod.is_some_and(|pod| pod.uid() != uid && is_ready(pod)))
        .await;
    let mut redis = place.connect("cache").await;
    redis.ask(&format!("AUTH {}", place.password("cache").await)).await;
    assert_eq!(redis.ask("GET order").await, "4711");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn without_a_password_by_choice_every_pod_is_answered() {
    let place = Place::new("open").await;
    place.create("cache", json!({"auth": {"enabled": false}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    assert_eq!(place.connect("cache").await.ask("PING").await, "+PONG");
    assert!(place.api::<Secret>().get_opt("cache-auth").await.unwrap().is_none());
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_users_secret_is_waited_for_and_used() {
    let place = Place::new("secret").await;
    place.create("cache", json!({"auth": {"secretName": "shop"}})).await.unwrap();
    waits_with(&place, "waiting for Secret shop").await;
    place.put::<Secret>(json!({"metadata": {"name": "shop"}, "stringData": {"password": "secret\n"}})).await;
    waits_with(&place, "ends in a line break").await;
    let mended = Patch::Merge(json!({"stringData": {"password": "a \"quoted\" \\ pässword"}}));
    place.api::<Secret>().patch("shop", &PatchParams::default(), &mended).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let mut redis = place.connect("cache").await;
    assert_eq!(redis.ask(r#"AUTH "a \"quoted\" \\ p\xc3\xa4ssword""#).await, "+OK");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_password_that_changes_under_a_running_redis_takes_nothing_down() {
    let place = Place::new("rotate").await;
    place.put::<Secret>(json!({"metadata": {"name": "old"}, "stringData": {"password": "first"}})).await;
    place.put::<Secret>(json!({"metadata": {"name": "new"}, "stringData": {"password": "second"}})).await;
    place.create("cache", json!({"auth": {"secretName": "old"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
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
    place
        .until("cache-0", "new pod", move |new: Option<&Pod>| new.is_some_and(|new| new.uid() != pod && is_ready(new)))
        .await;
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

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn deleting_an_instance_keeps_its_volume_unless_told_otherwise() {
    let place = Place::new("delete").await;
    for (name, retention) in [("kept", "Retain"), ("gone", "Delete")] {
        place.create(name, json!({"storage": {"retention": retention}})).await.unwrap();
    }
    for name in ["kept", "gone"] {
        place.reaches(name, Phase::Running).await;
        let foreground = DeleteParams::foreground();
        place.api::<RedisInstance>().delete(name, &foreground).await.unwrap();
        place.gone::<RedisInstance>(name).await;
        place.gone::<StatefulSet>(name).await;
        place.gone::<ConfigMap>(name).await;
        place.gone::<Service>(name).await;
        place.gone::<Service>(&format!("{name}-pods")).await;
        place.gone::<Pod>(&format!("{name}-0")).await;
    }
    place.gone::<PersistentVolumeClaim>("redis-data-gone-0").await;
    let claims = place.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap();
    let names: Vec<String> = claims.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["redis-data-kept-0"]);
    place.gone::<Secret>("gone-auth").await;
    assert!(place.api::<Secret>().get_opt("kept-auth").await.unwrap().is_some(), "the password stays with the volume");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_instance_that_is_replaced_keeps_its_data_and_its_password() {
    let place = Place::new("replaced").await;
    place.create("cache", json!({"image": "redis:7.0.15", "storage": {"size": "64Mi"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let password = place.password("cache").await;
    let login = format!("AUTH {password}");
    let mut redis = place.connect("cache").await;
    assert_eq!((redis.ask(&login).await, redis.ask("SET order 4711").await), ("+OK".into(), "+OK".into()));
    // As `kubectl replace --force` does.
    for _ in 0..3 {
        place.api::<RedisInstance>().delete("cache", &DeleteParams::background()).await.unwrap();
        place.gone::<RedisInstance>("cache").await;
        place.create("cache", json!({"image": "redis:7.0.15", "storage": {"size": "64Mi"}})).await.unwrap();
        place.reaches("cache", Phase::Running).await;
        assert_eq!(place.password("cache").await, password);
        let mut redis = place.connect("cache").await;
        assert_eq!((redis.ask(&login).await, redis.ask("GET order").await), ("+OK".into(), "4711".into()));
    }
    // Without its volume nothing holds the password.
    place.api::<RedisInstance>().delete("cache", &DeleteParams::background()).await.unwrap();
    place.gone::<Pod>("cache-0").await;
    place.delete::<PersistentVolumeClaim>("redis-data-cache-0").await;
    place.gone::<Secret>("cache-auth").await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_deletion_that_waits_is_shown_as_terminated() {
    let place = Place::new("terminated").await;
    place.create("cache", json!({})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    // Something else holds a child back, as a backup or a policy controller does.
    let hold = |finalizers: Value| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let maps = place.api::<ConfigMap>();
    maps.patch("cache", &PatchParams::default(), &hold(json!(["test.example.com/hold"]))).await.unwrap();
    place.api::<RedisInstance>().delete("cache", &DeleteParams::foreground()).await.unwrap();
    place
        .until("cache", "phase Terminated", |instance: Option<&RedisInstance>| {
            instance
                .and_then(|instance| instance.status.as_ref())
                .is_some_and(|status| status.status == Phase::Terminated)
        })
        .await;
    maps.patch("cache", &PatchParams::default(), &hold(Value::Null)).await.unwrap();
    place.gone::<RedisInstance>("cache").await;
    place.leave().await;
}

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
async fn an_invalid_stored_instance_is_stalled_and_harms_nobody() {
    // This namespace is excluded from the webhooks: what is stored here was never judged.
    let place = Place { client: common::cluster::client().await, namespace: "redis-operator-system".to_owned() };
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

    // A running instance that becomes invalid keeps its children; a corrected spec heals it with no hand.
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

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_changed_directive_reaches_redis_and_a_removed_field_leaves() {
    let place = Place::new("change").await;
    let limits = json!({"limits": {"memory": "256Mi", "cpu": 1}});
    place.create("cache", json!({"config": {"maxmemory": "100mb"}, "resources": limits})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    place
        .change(
            "cache",
            json!({"config": {"maxmemory": "64mb", "save": "900 1 300 10"}, "resources": {"limits": {"cpu": null}}}),
        )
        .await;
    let status = place.reaches("cache", Phase::Running).await.status.unwrap();
    assert!(status.history.iter().any(|change| change.phase == Phase::Updating), "{:?}", status.history);
    let mut redis = place.connect("cache").await;
    redis.ask(&format!("AUTH {}", place.password("cache").await)).await;
    assert_eq!(redis.ask("CONFIG GET maxmemory").await, "maxmemory 67108864");
    assert_eq!(redis.ask("CONFIG GET save").await, "save 900 1 300 10");
    let pod: Pod = place.api().get("cache-0").await.unwrap();
    let limits = pod.spec.unwrap().containers[0].resources.clone().unwrap().limits.unwrap();
    assert_eq!(limits.keys().collect::<Vec<_>>(), ["memory"], "a limit that was taken away must leave the pod");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn storage_grows_under_a_running_redis() {
    let place = Place::new("grow").await;
    place.create("cache", json!({"storage": {"size": "64Mi"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let pod = place.api::<Pod>().get("cache-0").await.unwrap().uid();
    place.change("cache", json!({"storage": {"size": "128Mi"}})).await;
    place.reaches("cache", Phase::Running).await;
    let claim: PersistentVolumeClaim = place.api().get("redis-data-cache-0").await.unwrap();
    assert_eq!(claim.spec.unwrap().resources.unwrap().requests.unwrap()["storage"].0, "128Mi");
    assert_eq!(place.api::<Pod>().get("cache-0").await.unwrap().uid(), pod, "growth must not restart the pod");
    let set: StatefulSet = place.api().get("cache").await.unwrap();
    let template = set.spec.unwrap().volume_claim_templates.unwrap().remove(0);
    assert_eq!(template.spec.unwrap().resources.unwrap().requests.unwrap()["storage"].0, "128Mi");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_volume_that_cannot_grow_holds_nothing_else_up() {
    let place = Place::new("fixed").await;
    let class = format!("fixed-{}", place.namespace);
    let classes: Api<StorageClass> = Api::all(place.client.clone());
    let fixed =
        json!({"metadata": {"name": class}, "provisioner": "cluster.local/folder", "allowVolumeExpansion": false});
    classes.create(&PostParams::default(), &serde_json::from_value(fixed).unwrap()).await.unwrap();
    place.create("cache", json!({"storage": {"size": "64Mi", "storageClassName": class}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;

    // Growth that the class forbids, with another change in the same breath.
    place.change("cache", json!({"storage": {"size": "128Mi"}, "config": {"maxmemory": "16mb"}})).await;
    let status = place.reaches("cache", Phase::Running).await.status.unwrap();
    let told = status.conditions.iter().find(|condition| condition.type_ == "StorageResized").expect("StorageResized");
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("False", "ResizeUnsupported"));
    assert!(told.message.contains("allowVolumeExpansion"), "{}", told.message);
    let mut redis = place.connect("cache").await;
    redis.ask(&format!("AUTH {}", place.password("cache").await)).await;
    assert_eq!(redis.ask("CONFIG GET maxmemory").await, "maxmemory 16777216");

    // The class allows it now: the next pass does the rest.
    let allow = Patch::Merge(json!({"allowVolumeExpansion": true}));
    classes.patch(&class, &PatchParams::default(), &allow).await.unwrap();
    place.change("cache", json!({"config": {"maxmemory": "17mb"}})).await;
    eventually("grown claim", || async { (claimed(&place, "redis-data-cache-0").await == "128Mi").then_some(()) })
        .await;
    place
        .until("cache", "end of StorageResized", |instance: Option<&RedisInstance>| {
            let status = instance.and_then(|instance| instance.status.clone()).unwrap_or_default();
            let resized = status.conditions.iter().find(|condition| condition.type_ == "StorageResized");
            status.status == Phase::Running && resized.is_some_and(|resized| resized.status == "True")
        })
        .await;
    classes.delete(&class, &DeleteParams::default()).await.unwrap();
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_retained_claim_is_taken_up_with_its_data_and_grows_to_the_new_size() {
    let place = Place::new("retained").await;
    place.create("cache", json!({"storage": {"size": "64Mi"}, "auth": {"enabled": false}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    assert_eq!(place.connect("cache").await.ask("SET order 4711").await, "+OK");
    place.api::<RedisInstance>().delete("cache", &DeleteParams::foreground()).await.unwrap();
    place.gone::<RedisInstance>("cache").await;
    place.create("cache", json!({"storage": {"size": "128Mi"}, "auth": {"enabled": false}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    assert_eq!(place.connect("cache").await.ask("GET order").await, "4711");
    eventually("grown claim", || async { (claimed(&place, "redis-data-cache-0").await == "128Mi").then_some(()) })
        .await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn what_others_change_or_delete_is_mended() {
    let place = Place::new("drift").await;
    place.create("cache", json!({})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let pod = place.api::<Pod>().get("cache-0").await.unwrap().uid();

    let edit = Patch::Merge(json!({"metadata": {"labels": {"theirs": "stays"}}, "spec": {"ports": null}}));
    drop(place.api::<Service>().patch("cache", &PatchParams::default(), &edit).await);
    let edit =
        Patch::Merge(json!({"metadata": {"labels": {"theirs": "stays"}}, "spec": {"selector": {"app": "wrong"}}}));
    place.api::<Service>().patch("cache", &PatchParams::default(), &edit).await.unwrap();
    let mended = |service: Option<&Service>| {
        service.is_some_and(|service| {
            let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
            selector.get("app").is_some_and(|app| app == "redis") && service.labels().contains_key("theirs")
        })
    };
    place.until("cache", "mended selector", mended).await;

    place.delete::<ConfigMap>("cache").await;
    place.delete::<Service>("cache-pods").await;
    place.until("cache", "ConfigMap again", |map: Option<&ConfigMap>| map.is_some()).await;
    place.until("cache-pods", "Service again", |service: Option<&Service>| service.is_some()).await;
    place
        .api::<StatefulSet>()
        .delete(
            "cache",
            &DeleteParams { propagation_policy: Some(kube::api::PropagationPolicy::Orphan), ..DeleteParams::default() },
        )
        .await
        .unwrap();
    place
        .until("cache", "adopted pod", |set: Option<&StatefulSet>| {
            set.and_then(|set| set.status.as_ref()).is_some_and(|status| status.ready_replicas == Some(1))
        })
        .await;
    place.reaches("cache", Phase::Running).await;
    let now = place.until("cache-0", "running pod", is_pod_running()).await.unwrap();
    assert_eq!(now.uid(), pod, "a StatefulSet that was deleted without its pods takes them back");
    place.leave().await;
}

/// The size that a claim asks for.
async fn claimed(place: &Place, claim: &str) -> String {
    let claim: PersistentVolumeClaim = place.api().get(claim).await.unwrap();
    claim.spec.unwrap().resources.unwrap().requests.unwrap()["storage"].0.clone()
}

/// Kind, name and resourceVersion of everything that could have been written to.
async fn versions(place: &Place) -> Vec<String> {
    let all = ListParams::default().labels("app=somebody-elses");
    let mut versions = Vec::new();
    versions.extend(place.api::<ConfigMap>().list(&all).await.unwrap().iter().map(version));
    versions.extend(place.api::<Service>().list(&all).await.unwrap().iter().map(version));
    versions.extend(place.api::<Secret>().list(&all).await.unwrap().iter().map(version));
    // The StatefulSet's own controller writes its status: its generation tells of writes to the spec.
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

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
