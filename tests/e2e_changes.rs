//! Every class of change on a real cluster: what admission told is what happened to the pods, acknowledged writes outlive
//! all of them, and what Redis or the cluster refuses leaves the running servers alone and is healed by a corrected spec.

mod common;

use std::collections::BTreeSet;

use common::{
    cluster::{Place, Redis, eventually},
    members::Members,
    warnings::changed_with_warnings,
    writer::Writer,
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod},
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::{Value, json};

/// What became of the pod.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// The same pod, and the same start of its container.
    Untouched,
    /// Another pod.
    Restarted,
}

/// A change, what admission has to tell of it, and what has to happen.
struct Step {
    change: Value,
    told: &'static str,
    fate: Fate,
    /// A directive and what Redis holds of it in the end.
    holds: Option<(&'static str, &'static str)>,
}

fn step(change: Value, told: &'static str, fate: Fate, holds: Option<(&'static str, &'static str)>) -> Step {
    Step { change, told, fate, holds }
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn every_class_of_change_does_what_admission_told_and_loses_no_write() {
    let place = Place::new("classes").await;
    let spec = json!({"image": "redis:7.0.15", "storage": {"size": "64Mi"}, "config": {"maxmemory": "100mb"}});
    place.create("cache", spec).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let writer = Writer::start(&place, "cache").await;
    let restart = "rolls 1 pod: about one restart of downtime (replicas: 1)";
    let steps = [
        step(
            json!({"config": {"maxmemory": "64mb"}}),
            "spec.config[maxmemory]: applied live, no restart",
            Fate::Untouched,
            Some(("maxmemory", "67108864")),
        ),
        step(
            json!({"config": {"maxmemory": null}}),
            "spec.config[maxmemory]: applied live, no restart",
            Fate::Untouched,
            Some(("maxmemory", "0")),
        ),
        step(
            json!({"config": {"save": "900 1 300 10"}}),
            "spec.config[save]: set on the running servers first",
            Fate::Untouched,
            Some(("save", "900 1 300 10")),
        ),
        step(
            json!({"config": {"databases": "4", "hz": "20"}}),
            "spec.config[databases,hz]: rolls 1 pod",
            Fate::Restarted,
            Some(("databases", "4")),
        ),
        step(
            json!({"resources": {"limits": {"memory": "512Mi"}}}),
            "spec.resources: rolls 1 pod",
            Fate::Restarted,
            Some(("hz", "20")),
        ),
        step(
            json!({"storage": {"size": "128Mi"}}),
            "spec.storage.size: the volumes grow while Redis runs",
            Fate::Untouched,
            None,
        ),
        step(
            json!({"updatePolicy": {"config": "Recreate"}}),
            "spec.updatePolicy.config: recreates the StatefulSet",
            Fate::Restarted,
            None,
        ),
        step(
            json!({"config": {"hz": "30"}}),
            "spec.config[hz]: recreates the StatefulSet: the pod restarts, its volume stays",
            Fate::Restarted,
            Some(("hz", "30")),
        ),
        step(json!({"updatePolicy": {"config": "RollingUpdate"}}), "", Fate::Untouched, None),
        step(json!({"config": {"hz": "40"}}), restart, Fate::Restarted, Some(("hz", "40"))),
        step(
            json!({"auth": {"enabled": false}}),
            "spec.auth.enabled: rolls 1 pod",
            Fate::Restarted,
            Some(("hz", "40")),
        ),
    ];
    for step in steps {
        walk(&place, &step).await;
    }
    // Refused at admission: nothing is stored, nothing happens.
    let before = pod(&place).await;
    for change in [json!({"storage": {"size": "64Mi"}}), json!({"storage": {"storageClassName": "other"}})] {
        assert!(changed_with_warnings(&place, "cache", change.clone()).await.is_err(), "{change}");
    }
    assert_eq!(start(&pod(&place).await), start(&before));

    let outcome = writer.stop().await;
    assert!(outcome.acknowledged > 100, "only {} writes were made", outcome.acknowledged);
    assert!(
        outcome.lost.is_empty(),
        "of {} acknowledged writes these are gone: {:?}",
        outcome.acknowledged,
        outcome.lost
    );
    eprintln!("every class of change: {outcome}");
    place.leave().await;
}

async fn walk(place: &Place, step: &Step) {
    let before = pod(place).await;
    let warnings = changed_with_warnings(place, "cache", step.change.clone()).await.unwrap();
    let told = warnings.iter().any(|warning| warning.contains(step.told));
    assert!(told || step.told.is_empty(), "{}: told {warnings:?}, not {:?}", step.change, step.told);
    let restart = warnings.iter().any(|warning| warning.contains("rolls 1 pod") || warning.contains("recreates"));
    assert_eq!(restart, step.fate == Fate::Restarted, "{}: told {warnings:?}", step.change);
    place.reaches("cache", Phase::Running).await;
    let after = pod(place).await;
    let fate = if start(&after) == start(&before) { Fate::Untouched } else { Fate::Restarted };
    assert_eq!(fate, step.fate, "{}: told {warnings:?}", step.change);
    if let Some((directive, held)) = step.holds {
        let mut redis = open(place).await;
        assert_eq!(
            redis.ask(&format!("CONFIG GET {directive}")).await,
            format!("{directive} {held}"),
            "{}",
            step.change
        );
    }
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_live_change_survives_a_restart_and_a_hand_that_sets_it_otherwise() {
    let place = Place::new("live").await;
    place.create("cache", json!({"config": {"maxmemory": "100mb"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    place.change("cache", json!({"config": {"maxmemory": "64mb"}})).await;
    applied(&place, "applied live, no restart: maxmemory").await;
    // A file that somebody edits is put back. No server was given anything, so nobody is told of a change.
    let edit = Patch::Merge(json!({"data": {"redis.conf": "edited"}}));
    place.api::<ConfigMap>().patch("cache", &PatchParams::default(), &edit).await.unwrap();
    let is_whole = |map: &ConfigMap| map.data.as_ref().is_some_and(|data| data["redis.conf"].contains("appendonly"));
    place.until("cache", "redis.conf put back", |map: Option<&ConfigMap>| map.is_some_and(is_whole)).await;
    let events = place.api::<Event>().list(&ListParams::default()).await.unwrap();
    let of_changes = events.iter().filter(|event| event.reason.as_deref() == Some("AppliedLive"));
    let messages: Vec<&str> = of_changes.filter_map(|event| event.message.as_deref()).collect();
    assert_eq!(messages, ["applied live, no restart: maxmemory"]);
    assert_eq!(open(&place).await.ask("CONFIG SET maxmemory 1gb").await, "+OK");
    // Seen on the next look at the servers, at most a minute and a quarter later.
    eventually("maxmemory set back", || async {
        (open(&place).await.ask("CONFIG GET maxmemory").await == "maxmemory 67108864").then_some(())
    })
    .await;
    told(&place, "ConfigDrift", "maxmemory").await;

    let before = pod(&place).await;
    place.delete::<Pod>("cache-0").await;
    place
        .until("cache-0", "new pod", move |pod: Option<&Pod>| {
            pod.is_some_and(|pod| pod.uid() != before.uid() && is_ready(pod))
        })
        .await;
    assert_eq!(open(&place).await.ask("CONFIG GET maxmemory").await, "maxmemory 67108864");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn what_a_running_redis_refuses_changes_nothing_and_is_healed_by_a_corrected_spec() {
    let place = Place::new("refused").await;
    place.create("cache", json!({"config": {"maxmemory": "100mb"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let before = pod(&place).await;
    // Debian's redis-server is built without the memory allocator that this needs: no table can know.
    place.change("cache", json!({"config": {"activedefrag": "yes", "maxmemory": "64mb"}})).await;
    let status = place.reaches("cache", Phase::Failed).await.status.unwrap();
    let message = status.last_condition_message.unwrap();
    assert!(message.contains("redis refuses spec.config[activedefrag]"), "{message}");
    let conf: ConfigMap = place.api().get("cache").await.unwrap();
    assert!(
        !conf.data.unwrap()["redis.conf"].contains("activedefrag"),
        "the file must stay one that Redis starts with"
    );
    told(&place, "ConfigRejected", "activedefrag").await;

    place.change("cache", json!({"config": {"activedefrag": null}})).await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(open(&place).await.ask("CONFIG GET maxmemory").await, "maxmemory 67108864");
    assert_eq!(start(&pod(&place).await), start(&before));
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_directive_that_one_server_refuses_stays_on_none() {
    let place = Place::new("refused-by-one").await;
    let config = json!({"maxclients": "50", "hz": "20"});
    place.create("cache", json!({"replicas": 3, "config": config})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let members = Members { place: &place, instance: "cache" };
    let primary = members.one_takes_writes().await;
    // The primary is asked last. It takes `hz`, which comes first by name, and no more clients than it may have files.
    members.limit_files(&primary, 200).await;
    place.change("cache", json!({"config": {"maxclients": "5000", "hz": "30"}})).await;
    let status = place.reaches("cache", Phase::Failed).await.status.unwrap();
    let message = status.last_condition_message.unwrap();
    assert!(message.contains("redis refuses spec.config[maxclients]"), "{message}");
    assert!(message.contains("nothing was changed and the former configuration holds"), "{message}");
    for pod in ["cache-0", "cache-1", "cache-2"] {
        assert_eq!(members.ask(pod, "CONFIG GET maxclients").await, "maxclients 50", "{pod}");
        assert_eq!(members.ask(pod, "CONFIG GET hz").await, "hz 20", "{pod}");
    }
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_instance_that_never_started_is_healed_by_a_corrected_spec() {
    let place = Place::new("heal").await;
    place.create("cache", json!({"config": {"activedefrag": "yes"}})).await.unwrap();
    let status = place.reaches("cache", Phase::Failed).await.status.unwrap();
    let message = status.last_condition_message.unwrap();
    assert!(message.contains("redis refuses its configuration: 'activedefrag yes'"), "{message}");
    place.change("cache", json!({"config": null})).await;
    place.reaches("cache", Phase::Running).await;

    // A roll of an image that does not exist, with the data of the running one behind it.
    let mut redis = open(&place).await;
    assert_eq!(redis.ask("SET order 4711").await, "+OK");
    // Redis 7.0 does not know the directive: it goes with the image.
    let config = json!({"set-max-listpack-entries": "64"});
    place.change("cache", json!({"image": "redis:7.2.99", "config": config})).await;
    let status = place.reaches("cache", Phase::Failed).await.status.unwrap();
    assert!(status.last_condition_message.unwrap().contains("image cannot be pulled"));
    assert!(status.conditions.iter().any(|condition| condition.type_ == "Stalled"));
    told(&place, "RollingUpdate", "to redis:7.2.99").await;
    told(&place, "ImagePullFailed", "image cannot be pulled").await;
    // An image that is left out would stay as it is stored.
    place.change("cache", json!({"image": "redis:7.0.15", "config": null})).await;
    let status = place.reaches("cache", Phase::Running).await.status.unwrap();
    let phases: Vec<Phase> = status.history.iter().map(|change| change.phase).collect();
    let healed = [Phase::Running, Phase::Updating, Phase::Failed, Phase::Updating, Phase::Running];
    assert!(phases.ends_with(&healed), "{:#?}", status.history);
    assert_eq!(open(&place).await.ask("GET order").await, "4711");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_statefulset_that_is_deleted_never_takes_the_data_along() {
    let place = Place::new("sacred").await;
    let spec =
        json!({"storage": {"retention": "Delete"}, "updatePolicy": {"config": "Recreate"}, "auth": {"enabled": false}});
    place.create("cache", spec).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    assert_eq!(open(&place).await.ask("SET order 4711").await, "+OK");
    place
        .until("redis-data-cache-0", "owner", |claim: Option<&PersistentVolumeClaim>| {
            claim.is_some_and(|claim| claim.owner_references().iter().any(|owner| owner.kind == "RedisInstance"))
        })
        .await;
    let claim = place.api::<PersistentVolumeClaim>().get("redis-data-cache-0").await.unwrap().uid();

    // By the operator, as the policy asks for, and by hand.
    place.change("cache", json!({"config": {"hz": "20"}})).await;
    place.reaches("cache", Phase::Running).await;
    let set = place.api::<StatefulSet>().get("cache").await.unwrap().uid();
    place.api::<StatefulSet>().delete("cache", &DeleteParams::foreground()).await.unwrap();
    place
        .until("cache", "another StatefulSet", move |live: Option<&StatefulSet>| {
            live.is_some_and(|live| live.uid() != set && live.metadata.deletion_timestamp.is_none())
        })
        .await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(place.api::<PersistentVolumeClaim>().get("redis-data-cache-0").await.unwrap().uid(), claim);
    assert_eq!(open(&place).await.ask("GET order").await, "4711");

    // Kept after all, and then the instance goes.
    place.change("cache", json!({"storage": {"retention": "Retain"}})).await;
    place
        .until("redis-data-cache-0", "no owner", |claim: Option<&PersistentVolumeClaim>| {
            claim.is_some_and(|claim| claim.owner_references().is_empty())
        })
        .await;
    place.api::<RedisInstance>().delete("cache", &DeleteParams::foreground()).await.unwrap();
    place.gone::<RedisInstance>("cache").await;
    place.gone::<Pod>("cache-0").await;
    let left = place.api::<PersistentVolumeClaim>().get("redis-data-cache-0").await.unwrap();
    assert!(left.metadata.deletion_timestamp.is_none());
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn many_changes_in_a_row_end_with_the_last_and_none_is_called_done_before_it_is() {
    let place = Place::new("burst").await;
    place.create("cache", json!({"config": {"maxmemory": "100mb"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    // Two people at once: one changes what is live, one what restarts.
    for round in 0..20 {
        let (live, rolled) = (
            json!({"config": {"maxmemory": format!("{}mb", 100 + round)}}),
            json!({"config": {"databases": (2 + round % 5).to_string()}}),
        );
        tokio::join!(place.change("cache", live), place.change("cache", rolled));
        let now: RedisInstance = place.api().get("cache").await.unwrap();
        let status = now.status.unwrap_or_default();
        let ready = status.conditions.iter().find(|held| held.type_ == "Ready" && held.status == "True");
        if ready.is_some_and(|ready| ready.observed_generation == now.metadata.generation) {
            let set: StatefulSet = place.api().get("cache").await.unwrap();
            let state = set.status.unwrap();
            assert_eq!(state.current_revision, state.update_revision, "Ready for a spec that its pods do not run");
        }
    }
    place.reaches("cache", Phase::Running).await;
    let mut redis = open(&place).await;
    assert_eq!(redis.ask("CONFIG GET maxmemory").await, format!("maxmemory {}", 119 * 1024 * 1024));
    assert_eq!(redis.ask("CONFIG GET databases").await, "databases 6");
    place.leave().await;
}

/// A connection of a client that knows the password, if there is one.
async fn open(place: &Place) -> Redis {
    let mut redis = place.connect("cache").await;
    if redis.ask("PING").await.starts_with("-NOAUTH") {
        assert_eq!(redis.ask(&format!("AUTH {}", place.password("cache").await)).await, "+OK");
    }
    redis
}

async fn pod(place: &Place) -> Pod {
    place.api().get("cache-0").await.unwrap()
}

/// What tells one start of Redis from another: the pod, and the start of its container.
fn start(pod: &Pod) -> BTreeSet<String> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.clone()).unwrap_or_default();
    let starts =
        statuses.iter().map(|status| format!("{:?}", status.state.as_ref().and_then(|state| state.running.clone())));
    starts.chain(pod.uid()).collect()
}

async fn applied(place: &Place, words: &str) {
    let words = words.to_owned();
    place
        .until("cache", &format!("ConfigApplied with {words:?}"), move |instance: Option<&RedisInstance>| {
            let status = instance.and_then(|instance| instance.status.clone()).unwrap_or_default();
            status
                .conditions
                .iter()
                .any(|held| held.type_ == "ConfigApplied" && held.status == "True" && held.message == words)
        })
        .await;
}

/// Waits for an event of this reason whose words hold these.
async fn told(place: &Place, reason: &str, words: &str) {
    eventually(&format!("event {reason} with {words:?}"), || async {
        let events = place.api::<Event>().list(&ListParams::default()).await.unwrap().items;
        let is = |event: &Event| {
            event.reason.as_deref() == Some(reason) && event.message.as_deref().unwrap_or_default().contains(words)
        };
        events.iter().any(is).then_some(())
    })
    .await;
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
