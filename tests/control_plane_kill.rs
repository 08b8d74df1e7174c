//! SIGKILL after each single write of a creation, a roll, a recreation and an expansion, on a real API server without a
//! node: the operator that comes after always ends where an undisturbed one does. A proxy lets so many writes pass.

mod common;

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use common::{
    cluster::{Namespaced, Place, eventually},
    manifests::define,
    operator::{Launch, Operator},
    proxy::{Asked, Fault, Proxy},
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service},
};
use kube::{ResourceExt, api::ListParams};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

/// How long what has come to rest stays the same, at least.
const MOMENT: Duration = Duration::from_millis(500);

/// What an operator does, from one state at rest to another.
struct Change {
    name: &'static str,
    /// The spec before; nothing for a creation.
    before: Option<Value>,
    after: Value,
    /// Whether another StatefulSet takes the place of the one before.
    replaces: bool,
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_creation_cut_short_after_any_write_ends_the_same() {
    cut_short(&Change { name: "create", before: None, after: json!({"config": {"hz": "20"}}), replaces: false }).await;
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_roll_cut_short_after_any_write_ends_the_same() {
    let after = json!({"image": "redis:7.0.14", "config": {"databases": "4"}});
    cut_short(&Change { name: "roll", before: Some(json!({})), after, replaces: false }).await;
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_recreation_cut_short_after_any_write_ends_the_same() {
    let policy = |config: Value| json!({"updatePolicy": {"config": "Recreate"}, "config": config});
    let (before, after) = (Some(policy(json!({}))), policy(json!({"hz": "20"})));
    cut_short(&Change { name: "recreate", before, after, replaces: true }).await;
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn an_expansion_cut_short_after_any_write_ends_the_same() {
    let sized = |size: &str| json!({"storage": {"size": size}});
    cut_short(&Change { name: "expand", before: Some(sized("64Mi")), after: sized("128Mi"), replaces: true }).await;
}

/// Cuts the change short after 0 writes, after 1, and so on until it is over before it can be cut.
async fn cut_short(change: &Change) {
    let expected = undisturbed(change).await;
    for writes in 0.. {
        let place = Place::new(change.name).await;
        let set = prepared(&place, change).await;
        let claim = uid::<PersistentVolumeClaim>(&place, "redis-data-cache-0").await;
        let proxy = Proxy::start().await;
        let mut operator = Operator::launch(&place, Launch { server: Some(proxy.url()), ..Launch::default() }).await;
        operator.says("watches are synced").await;
        let (ours, passed) = (place.namespace.clone(), Arc::new(AtomicUsize::new(0)));
        let is_write = move |asked: &Asked| asked.writes() && asked.namespace == ours && asked.resource != "events";
        let counted = is_write.clone();
        proxy.fail(Fault::Hang, usize::MAX, move |asked| counted(asked) && passed.fetch_add(1, Relaxed) >= writes);
        begun(&place, change).await;
        let over = eventually(&format!("write {} of the {}, or its end", writes + 1, change.name), || async {
            if proxy.asked(&is_write).len() > writes {
                return Some(false);
            }
            (state(&place).await == expected && is_replaced(&place, change, set.as_ref()).await).then_some(true)
        })
        .await;
        operator.kill();
        eprintln!("{}: {}", change.name, if over { "over" } else { "killed" });

        let _next = Operator::reconciling_only(&place).await;
        eventually(
            &format!("end of a {} that was cut short after {writes} writes, as {expected:#}", change.name),
            || async {
                (state(&place).await == expected && is_replaced(&place, change, set.as_ref()).await).then_some(())
            },
        )
        .await;
        if claim.is_some() {
            let now = uid::<PersistentVolumeClaim>(&place, "redis-data-cache-0").await;
            assert_eq!(now, claim, "cut short after {writes} writes: the claim must be the same one");
        }
        place.leave().await;
        if over {
            assert!(writes > 0, "nothing was written");
            return;
        }
    }
}

/// The objects that an undisturbed operator makes.
async fn undisturbed(change: &Change) -> Value {
    let place = Place::new(change.name).await;
    let set = prepared(&place, change).await;
    let _operator = Operator::reconciling_only(&place).await;
    begun(&place, change).await;
    // At rest: the same twice, a moment apart, and nothing of the state before.
    let last = RefCell::new(Value::Null);
    let now = eventually("rest", || async {
        tokio::time::interval_at(Instant::now() + MOMENT, MOMENT).tick().await;
        let now = state(&place).await;
        let former = last.replace(now.clone());
        (now == former && has(&now, change) && is_replaced(&place, change, set.as_ref()).await).then_some(now)
    })
    .await;
    place.leave().await;
    now
}

/// Whether the objects are those of the spec after the change.
fn has(state: &Value, change: &Change) -> bool {
    let text = state.to_string();
    state.as_array().is_some_and(|objects| objects.len() == 6)
        && [("/image", ""), ("/storage/size", ""), ("/config/hz", "hz "), ("/config/databases", "databases ")]
            .into_iter()
            .filter_map(|(pointer, name)| Some((name, change.after.pointer(pointer)?.as_str()?)))
            .all(|(name, value)| text.contains(&format!("{name}{value}")))
}

/// The state before: made by an operator that is gone again. Answers the StatefulSet's uid.
async fn prepared(place: &Place, change: &Change) -> Option<String> {
    define(place).await;
    let before = change.before.clone()?;
    let mut operator = Operator::reconciling_only(place).await;
    place.create("cache", before).await.unwrap();
    eventually("bound claim", || async {
        let claim: PersistentVolumeClaim = place.api().get_opt("redis-data-cache-0").await.unwrap()?;
        (claim.status?.phase? == "Bound").then_some(())
    })
    .await;
    place.reaches("cache", redis_operator::api::v1::Phase::Pending).await;
    operator.kill();
    uid::<StatefulSet>(place, "cache").await
}

async fn begun(place: &Place, change: &Change) {
    match &change.before {
        None => drop(place.create("cache", change.after.clone()).await.unwrap()),
        Some(_) => drop(place.change("cache", change.after.clone()).await),
    }
}

async fn is_replaced(place: &Place, change: &Change, before: Option<&String>) -> bool {
    let now = uid::<StatefulSet>(place, "cache").await;
    now.is_some() && (change.before.is_none() || (now.as_ref() != before) == change.replaces)
}

async fn uid<K: Namespaced>(place: &Place, name: &str) -> Option<String> {
    place.api::<K>().get_opt(name).await.unwrap().and_then(|object| object.uid())
}

/// Every object of the instance without what is another in every run.
async fn state(place: &Place) -> Value {
    let mut objects = all::<ConfigMap>(place).await;
    objects.extend(all::<Secret>(place).await);
    objects.extend(all::<Service>(place).await);
    objects.extend(all::<StatefulSet>(place).await);
    objects.extend(all::<PersistentVolumeClaim>(place).await);
    Value::Array(objects)
}

async fn all<K: Namespaced + Serialize>(place: &Place) -> Vec<Value> {
    let ours = ListParams::default().labels("redis.github.com/instance");
    let objects = place.api::<K>().list(&ours).await.unwrap().items;
    objects.into_iter().map(|object| masked(serde_json::to_value(object).unwrap())).collect()
}

/// What is another in every run: identities, addresses, times, the password, and why a template changed.
fn masked(mut object: Value) -> Value {
    let deleting = object.pointer("/metadata/deletionTimestamp").is_some();
    let kept = ["name", "labels"].map(|field| (field.to_owned(), object["metadata"][field].clone()));
    let owners = object["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len);
    let fields = object.as_object_mut().unwrap();
    let mut metadata: serde_json::Map<String, Value> = kept.into_iter().collect();
    metadata.insert("owners".to_owned(), json!(owners));
    metadata.insert("deleting".to_owned(), json!(deleting));
    fields.insert("metadata".to_owned(), Value::Object(metadata));
    fields.remove("status");
    if fields.get("type").is_some_and(|kind| kind == "Opaque") {
        fields.insert("data".to_owned(), json!(fields["data"].as_object().unwrap().keys().collect::<Vec<_>>()));
    }
    if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut) {
        for field in ["clusterIP", "clusterIPs", "volumeName"] {
            spec.remove(field);
        }
    }
    object
}
