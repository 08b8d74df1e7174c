//! A newer operator over a running fleet: it looks at every instance, restarts no Redis and writes to nothing that is as it
//! wants it. The API server's audit log is the witness. The newer one is this program with another version, which
//! `tests/deploy.sh next` brings. A file of its own, because it takes the operator away from everybody.

mod common;

use std::collections::BTreeMap;

use common::{
    audit,
    cluster::{Place, eventually},
    deployed,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::ListParams};
use redis_operator::api::v1::Phase;
use serde_json::{Value, json};

const NEXT: &str = "redis-operator:next";

fn fleet() -> [(&'static str, Value); 4] {
    [
        ("single", json!({})),
        ("open", json!({"auth": {"enabled": false}})),
        ("replicated", json!({"replicas": 3})),
        (
            "full",
            json!({
                "config": {"maxmemory": "64mb", "appendonly": "no", "databases": "4"},
                "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "0.125Gi"}},
                "storage": {"size": "1.5Gi", "retention": "Delete"},
                "pod": {"labels": {"team": "shop"}, "annotations": {"example.com/note": "any"},
                    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}]},
            }),
        ),
    ]
}

#[tokio::test]
#[ignore = "needs a cluster with the operator, and with its next version"]
async fn a_newer_operator_restarts_no_redis_and_writes_to_nothing_that_is_right() {
    let place = Place::new("upgrade").await;
    let client = place.client.clone();
    for (name, spec) in fleet() {
        place.create(name, spec).await.unwrap();
    }
    for (name, _) in fleet() {
        place.reaches(name, Phase::Running).await;
    }
    let former = deployed::settled(&client).await;
    let version = |metrics: String| {
        metrics.lines().find(|line| line.starts_with("redis_operator_build_info{")).map(str::to_owned)
    };
    let former_version = version(deployed::metrics(&client, &former).await).unwrap();
    deployed::rests(&place).await;
    let servers = servers(&place).await;
    assert_eq!(servers.len(), 6, "{servers:?}");

    let begun = Timestamp::now();
    let former_image = deployed::roll_to(&client, NEXT).await;
    let leader = deployed::settled(&client).await;
    let next_version = version(deployed::metrics(&client, &leader).await).unwrap();
    assert_ne!(next_version, former_version);
    looked_at_all(&place, &leader, begun).await;
    deployed::rests(&place).await;
    let writes = self::writes(&place, begun);
    assert!(writes.is_empty(), "the newer operator wrote: {writes:#?}");
    assert_eq!(self::servers(&place).await, servers, "pods and the starts of their containers");

    // It carries out changes, and again no pod is restarted.
    place.change("single", json!({"config": {"maxmemory": "32mb"}})).await;
    place.reaches("single", Phase::Running).await;
    let asked = format!("AUTH {}", place.password("single").await);
    eventually("the new configuration in the running server", || async {
        let mut redis = place.connect("single").await;
        redis.ask(&asked).await;
        (redis.ask("CONFIG GET maxmemory").await == "maxmemory 33554432").then_some(())
    })
    .await;
    assert_eq!(self::servers(&place).await, servers);

    // And back, which is an upgrade too.
    deployed::rests(&place).await;
    let begun = Timestamp::now();
    deployed::roll_to(&client, &former_image).await;
    let leader = deployed::settled(&client).await;
    looked_at_all(&place, &leader, begun).await;
    deployed::rests(&place).await;
    let writes = self::writes(&place, begun);
    assert!(writes.is_empty(), "the former operator wrote: {writes:#?}");
    assert_eq!(self::servers(&place).await, servers);
    place.leave().await;
}

/// Waits until this operator has come to the end of a reconcile of each instance: those with a password it knows by their
/// Secrets, which the audit log contains, and all of them it has counted.
async fn looked_at_all(place: &Place, leader: &str, begun: Timestamp) {
    eventually("first look of the next leader at every Secret", || async {
        let read: Vec<String> = audit::since(begun)
            .iter()
            .filter(|entry| {
                entry.pod() == leader && entry.resource() == "secrets" && entry.namespace() == place.namespace
            })
            .map(|entry| entry.name().to_owned())
            .collect();
        let secured = fleet().map(|(name, _)| name).into_iter().filter(|name| *name != "open");
        secured.map(|name| format!("{name}-auth")).all(|secret| read.contains(&secret)).then_some(())
    })
    .await;
    eventually("end of as many reconciles as there are instances", || async {
        let metrics = deployed::metrics(&place.client, leader).await;
        let series = "redis_operator_reconcile_duration_seconds_count{result=\"ok\"} ";
        let ended: u64 = metrics.lines().find_map(|line| line.strip_prefix(series))?.parse().ok()?;
        let waiting = metrics.lines().find_map(|line| line.strip_prefix("redis_operator_reconcile_queue_depth "))?;
        (ended >= 4 && waiting == "0").then_some(())
    })
    .await;
}

/// What the operators wrote since then, but for what follows from how several servers answered meanwhile: one that is slow on
/// a busy machine loses the label of its role for a moment, whichever operator asks.
fn writes(place: &Place, begun: Timestamp) -> BTreeMap<String, usize> {
    let of_roles = |write: &String| {
        let resources = ["pods", "redisinstances/status", "events"];
        resources.iter().any(|resource| write.contains(&format!(" {resource} replicated")))
    };
    deployed::writes(place, begun).into_iter().filter(|(write, _)| !of_roles(write)).collect()
}

/// Every pod of Redis, its uid, and its container's id, which a restart of either changes.
async fn servers(place: &Place) -> BTreeMap<String, (String, String)> {
    let pods = place.api::<Pod>().list(&ListParams::default().labels("app=redis")).await.unwrap();
    let server = |pod: Pod| {
        let containers = pod.status.as_ref().and_then(|status| status.container_statuses.clone()).unwrap_or_default();
        let ids: Vec<String> = containers.into_iter().filter_map(|container| container.container_id).collect();
        (pod.name_any(), (pod.uid().unwrap(), ids.join(" ")))
    };
    pods.into_iter().map(server).collect()
}
