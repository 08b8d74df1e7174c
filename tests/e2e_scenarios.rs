//! Lack of resources on a real cluster: nothing that fits a pod, no node that it may run on, and a volume that is full. Each
//! is reported, and a change of the spec or the node repairs it.

mod common;

use std::{fs, path::PathBuf, process::Command};

use common::{
    cluster::{Place, Redis, eventually},
    members::Members,
    warnings::changed_with_warnings,
};
use k8s_openapi::api::core::v1::{Event, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{
    Api, ResourceExt,
    api::{EvictParams, ListParams, Patch, PatchParams, PostParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::{Value, json};
use tokio::time::Instant;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_unschedulable_pod_is_reported_and_scheduled_when_it_requests_less() {
    let place = Place::new("unschedulable").await;
    place.create("cache", json!({"resources": {"requests": {"memory": "900Gi"}}})).await.unwrap();
    let waits = |instance: Option<&RedisInstance>| {
        let status = instance.and_then(|instance| instance.status.clone()).unwrap_or_default();
        status.status == Phase::Pending
            && status.conditions.iter().any(|held| held.type_ == "Ready" && held.reason == "Unschedulable")
            && status.last_condition_message.is_some_and(|message| message.contains("Insufficient memory"))
    };
    place.until("cache", "reason Unschedulable", waits).await;
    place.change("cache", json!({"resources": {"requests": {"memory": "32Mi"}}})).await;
    place.reaches("cache", Phase::Running).await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn pods_run_where_the_spec_lets_them_and_carry_what_it_says() {
    let place = Place::new("placed").await;
    // A label of this test's own: other tests' pods run on the same node.
    let disk = place.namespace.clone();
    let spec = json!({"pod": {"labels": {"team": "shop"}, "annotations": {"example.com/note": "any text"},
        "nodeSelector": {"example.com/disk": disk}, "imagePullSecrets": [{"name": "registry"}],
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "redis", "effect": "NoSchedule"}]}});
    place.create("cache", spec).await.unwrap();
    let waits = |instance: Option<&RedisInstance>| {
        let status = instance.and_then(|instance| instance.status.clone()).unwrap_or_default();
        status.status == Phase::Pending
            && status.conditions.iter().any(|held| held.type_ == "Ready" && held.reason == "Unschedulable")
            && status.last_condition_message.is_some_and(|message| {
                message.contains("cannot be scheduled") && message.contains("node affinity/selector")
            })
    };
    place.until("cache", "reason Unschedulable", waits).await;
    let nodes: Api<Node> = Api::all(place.client.clone());
    let node = nodes.list(&ListParams::default()).await.unwrap().items.remove(0).name_any();
    let label = |value: Value| {
        let patch = json!({"metadata": {"labels": {"example.com/disk": value}}});
        let nodes = nodes.clone();
        let node = node.clone();
        async move { nodes.patch(&node, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap() }
    };
    label(json!(disk)).await;
    place.reaches("cache", Phase::Running).await;
    let pod: Pod = place.api().get("cache-0").await.unwrap();
    assert_eq!((pod.labels()["team"].as_str(), pod.labels()["app"].as_str()), ("shop", "redis"));
    assert_eq!(pod.annotations()["example.com/note"], "any text");

    // Another annotation rolls the pod, as the warning says, and the history says why.
    let change = json!({"pod": {"annotations": {"example.com/note": "another"}}});
    let warnings = changed_with_warnings(&place, "cache", change).await.unwrap();
    assert_eq!(warnings, ["spec.pod.annotations: rolls 1 pod: about one restart of downtime (replicas: 1)"]);
    let before = pod.uid();
    let rolled = move |pod: Option<&Pod>| {
        pod.is_some_and(|pod| {
            pod.uid() != before && pod.annotations().get("example.com/note").is_some_and(|note| note == "another")
        })
    };
    place.until("cache-0", "another pod", rolled).await;
    let status = place.reaches("cache", Phase::Running).await.status.unwrap();
    let story: Vec<&str> = status.history.iter().map(|change| change.message.as_str()).collect();
    assert!(story.contains(&"pod options changed: annotations"), "{story:?}");
    label(Value::Null).await;
    place.leave().await;
}

/// A file system of its own of some mebibytes, which the node sees; gone when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(name: &str, mebibytes: u32) -> Self {
        let path = PathBuf::from("/run/redis-operator/volumes").join(name);
        fs::create_dir_all(&path).unwrap();
        let size = format!("size={mebibytes}m,mode=0777");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).status().unwrap();
        assert!(mounted.success(), "no file system could be mounted at {}", path.display());
        Self(path)
    }

    fn grow(&self, mebibytes: u32) {
        let size = format!("remount,size={mebibytes}m");
        assert!(Command::new("mount").args(["-o", &size]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_full_volume_is_reported_and_a_larger_one_is_enough() {
    let place = Place::new("full").await;
    let disk = SmallDisk::new(&place.namespace, 8);
    volume(&place, &disk).await;
    let config = json!({"save": "", "maxmemory": "64mb"});
    place
        .create("cache", json!({"storage": {"size": "8Mi"}, "auth": {"enabled": false}, "config": config}))
        .await
        .unwrap();
    place.reaches("cache", Phase::Running).await;
    let mut redis = place.connect("cache").await;
    assert_eq!(redis.ask("SET order 4711").await, "+OK");
    fill(&mut redis).await;

    // Noticed at the next look at the servers; nothing in the cluster shows it.
    let status = place.reaches("cache", Phase::Failed).await.status.unwrap();
    let message = status.last_condition_message.unwrap();
    assert!(
        message.contains(
            "redis cannot write its append-only file (aof_last_write_status:err) and refuses writes with MISCONF"
        ),
        "{message}"
    );
    assert_eq!(status.conditions[0].reason, "PersistenceFailing");

    place.change("cache", json!({"storage": {"size": "64Mi"}})).await;
    place
        .until("redis-data-cache-0", "grown claim", |claim: Option<&PersistentVolumeClaim>| {
            let capacity = claim.and_then(|claim| claim.status.as_ref()?.capacity.as_ref()?.get("storage"));
            capacity.is_some_and(|capacity| capacity.0 == "64Mi")
        })
        .await;
    disk.grow(64); // what a driver does
    eventually("writes again", || async {
        (place.connect("cache").await.ask("SET again 1").await == "+OK").then_some(())
    })
    .await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(place.connect("cache").await.ask("GET order").await, "4711");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_primary_on_a_full_volume_hands_its_role_over() {
    let place = Place::new("fullone").await;
    let disk = SmallDisk::new(&place.namespace, 8);
    volume(&place, &disk).await;
    let spec = json!({"replicas": 3, "storage": {"size": "8Mi"}, "config": {"maxmemory": "64mb"}});
    place.create("cache", spec).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let members = Members { place: &place, instance: "cache" };
    // The first pod's volume is the small one.
    while members.primary().await.unwrap() != "cache-0" {
        let primary = members.primary().await.unwrap();
        place.api::<Pod>().evict(&primary, &EvictParams::default()).await.unwrap();
        members.primary_after(&primary).await;
        place.reaches("cache", Phase::Running).await;
    }
    let login = format!("AUTH {}", place.password("cache").await);
    let mut redis = place.connect("cache").await;
    assert_eq!(redis.ask(&login).await, "+OK");
    assert_eq!(redis.ask("SET order 4711").await, "+OK");
    fill(&mut redis).await;

    let heir = members.primary_after("cache-0").await;
    let begun = Instant::now();
    eventually("writes again", || async {
        let mut redis = place.connect("cache").await;
        redis.try_ask(&login).await?;
        (redis.try_ask("SET again 1").await? == "+OK").then_some(())
    })
    .await;
    eprintln!("{heir} takes the writes {:?} after it was seen to be primary", begun.elapsed());
    assert_eq!(members.ask(&heir, "GET order").await, "4711");
    let events = place.api::<Event>().list(&ListParams::default()).await.unwrap().items;
    let is_about_it = |event: &Event| {
        event.reason.as_deref() == Some("HandedOver")
            && event.message.as_ref().is_some_and(|note| note.contains("cannot write to its volume"))
    };
    assert!(events.iter().any(is_about_it), "{events:#?}");

    disk.grow(64); // what a driver does
    place.change("cache", json!({"storage": {"size": "64Mi"}})).await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(members.ask("cache-0", "GET order").await, "4711");
    place.leave().await;
}

/// Writes until Redis refuses because it cannot write to its volume.
async fn fill(redis: &mut Redis) {
    let value = "x".repeat(60_000);
    for number in 0..2000 {
        // A primary that lost its role for this reason disconnects its clients.
        let answer = redis.try_ask(&format!("SET filler-{number} {value}")).await;
        if answer.is_none_or(|answer| answer.starts_with("-MISCONF")) {
            return;
        }
    }
    panic!("redis took 120 MB on a volume of 8 MiB");
}

/// The volume of the first pod, on that disk, and the claim that it is bound to.
async fn volume(place: &Place, disk: &SmallDisk) {
    let (name, namespace) = (&place.namespace, &place.namespace);
    let node = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node1"]}]}]}});
    let volume = json!({"metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": "cluster.local/folder"}},
        "spec": {"capacity": {"storage": "8Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "standard",
            "persistentVolumeReclaimPolicy": "Retain", "nodeAffinity": node, "local": {"path": disk.0},
            "claimRef": {"namespace": namespace, "name": "redis-data-cache-0"}}});
    let volumes: Api<PersistentVolume> = Api::all(place.client.clone());
    volumes.create(&PostParams::default(), &serde_json::from_value(volume).unwrap()).await.unwrap();
    let labels = json!({"app": "redis", "redis.github.com/instance": "cache"});
    place
        .put::<PersistentVolumeClaim>(json!({"metadata": {"name": "redis-data-cache-0", "labels": labels},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "standard", "volumeName": name,
                "resources": {"requests": {"storage": "8Mi"}}}}))
        .await;
}
