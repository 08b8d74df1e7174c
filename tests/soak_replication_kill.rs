//! SIGKILL after each single write to the API server of a failover and of every planned change, with real Redis: the operator that comes
//! after always ends with one primary, all replicas in sync and every write there. A proxy lets so many writes pass. In the failover the
//! client waits for a replica; in planned changes it does not. A file of its own: the deployed operator is away meanwhile.

mod common;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use common::{
    cluster::{DEADLINE, Place, eventually},
    deployed::{remove, scale, settled},
    members::Members,
    operator::{Launch, Operator},
    proxy::{Asked, Fault, Proxy},
    writer::Writer,
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, EvictParams, ListParams, PostParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::{Value, json};
use tokio::time::Instant;

/// What happens to the instance, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accident {
    /// The primary is killed.
    Failover,
    /// The primary's pod is evicted, as by a drain.
    Eviction,
    /// The pods get another template.
    Roll,
    /// One pod less, whichever has the role.
    ScaleIn,
    ScaleOut,
    /// The volumes move to another StorageClass.
    Move,
    /// The append-only file is switched off.
    AppendOff,
    AppendOn,
    /// The servers ask for no password any more.
    AuthOff,
    AuthOn,
}

const PLANNED: [Accident; 9] = [
    Accident::Eviction,
    Accident::Roll,
    Accident::ScaleIn,
    Accident::ScaleOut,
    Accident::Move,
    Accident::AppendOff,
    Accident::AppendOn,
    Accident::AuthOff,
    Accident::AuthOn,
];

impl Accident {
    /// What the spec has before, and the change of it, where that is always the same.
    fn change(self) -> Option<(Value, Value)> {
        let replicas = |count: i32| json!({ "replicas": count });
        let append = |word: &str| json!({"config": {"appendonly": word}});
        let auth = |enabled: bool| json!({"auth": {"enabled": enabled}});
        match self {
            Self::Failover | Self::Eviction | Self::Roll | Self::Move => None,
            Self::ScaleIn => Some((replicas(3), replicas(2))),
            Self::ScaleOut => Some((replicas(2), replicas(3))),
            Self::AppendOff => Some((append("yes"), append("no"))),
            Self::AppendOn => Some((append("no"), append("yes"))),
            Self::AuthOff => Some((auth(true), auth(false))),
            Self::AuthOn => Some((auth(false), auth(true))),
        }
    }
}

/// Every how many writes one is cut short after: `EVERY=1` is each of them, as `just soak` has it.
fn every() -> usize {
    std::env::var("EVERY").map_or(12, |every| every.parse().expect("EVERY must be a number"))
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_operator_that_dies_after_any_write_is_followed_by_another_with_the_same_end() {
    let place = Place::new("kill").await;
    let client = place.client.clone();
    settled(&client).await;
    let classes: Api<StorageClass> = Api::all(client.clone());
    let other = format!("{}-other", place.namespace);
    let class = json!({"metadata": {"name": other}, "provisioner": "cluster.local/folder"});
    classes.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
    // No operator but the test's own.
    remove(&client).await;

    let mut operator = Operator::reconciling_only(&place).await;
    let spec =
        json!({"image": "redis:7.0.15", "replicas": 3, "storage": {"size": "64Mi", "storageClassName": "standard"}});
    place.create("cache", spec).await.unwrap();
    at_rest(&place, "the beginning").await;
    let confirmed = Writer::start_confirmed(&place, "cache").await;
    operator = each_write(&place, Accident::Failover, (&confirmed, operator), &other).await;
    confirmed.stop_without_loss("failovers, under a client that waits for a replica").await;
    for accident in PLANNED {
        let plain = Writer::start(&place, "cache").await;
        operator = each_write(&place, accident, (&plain, operator), &other).await;
        place.change("cache", json!({"replicas": 3})).await;
        at_rest(&place, &format!("the end of {accident:?}")).await;
        plain.stop_without_loss(&format!("{accident:?}, under a client that does not wait")).await;
    }

    operator.kill();
    scale(&client, 2).await;
    classes.delete(&other, &DeleteParams::default()).await.unwrap();
    place.leave().await;
}

/// Has the accident happen once for each write of the operator, which dies after it; returns the operator that runs in the end.
async fn each_write(
    place: &Place,
    accident: Accident,
    (writer, mut operator): (&Writer, Operator),
    other: &str,
) -> Operator {
    let members = Members { place, instance: "cache" };
    let mut cuts = 0;
    for writes in (0..).step_by(every()) {
        if let Some((before, _)) = accident.change() {
            place.change("cache", before).await;
        }
        at_rest(place, &format!("{accident:?} after {writes} writes")).await;
        writer.goes_on(20).await;
        operator.kill();
        let over = cut_short(place, &members, accident, writes, other).await;
        operator = Operator::reconciling_only(place).await;
        at_rest(place, &format!("{accident:?} cut short after {writes} writes")).await;
        if over {
            break;
        }
        cuts += 1;
    }
    eprintln!("{accident:?}: {cuts} times cut short");
    assert!(cuts > 0, "{accident:?}: nothing was written");
    operator
}

/// Has the accident happen to an operator that hangs in its write after so many; whether it was over before.
async fn cut_short(place: &Place, members: &Members<'_>, accident: Accident, writes: usize, other: &str) -> bool {
    let proxy = Proxy::start().await;
    let mut operator = Operator::launch(place, Launch { server: Some(proxy.url()), ..Launch::default() }).await;
    operator.says("watches are synced").await;
    let (ours, passed) = (place.namespace.clone(), Arc::new(AtomicUsize::new(0)));
    let is_write = move |asked: &Asked| asked.writes() && asked.namespace == ours && asked.resource != "events";
    let counted = is_write.clone();
    proxy.fail(Fault::Hang, usize::MAX, move |asked| counted(asked) && passed.fetch_add(1, Relaxed) >= writes);
    let primary = members.primary().await.unwrap();
    happen(place, members, accident, &primary, other).await;
    let over = eventually(&format!("write {} of {accident:?}, or its end", writes + 1), || async {
        if proxy.asked(&is_write).len() > writes {
            return Some(false);
        }
        // A changed spec shows by its generation that it was seen; an accident by another primary.
        let begun = !matches!(accident, Accident::Failover | Accident::Eviction)
            || members.primary().await.is_some_and(|now| now != primary);
        (begun && rest(place).await.is_ok()).then_some(true)
    })
    .await;
    operator.kill();
    over
}

async fn happen(place: &Place, members: &Members<'_>, accident: Accident, primary: &str, other: &str) {
    if let Some((_, change)) = accident.change() {
        place.change("cache", change).await;
        return;
    }
    let instance: RedisInstance = place.api().get("cache").await.unwrap();
    match accident {
        Accident::Failover => members.signal(primary, "KILL").await,
        Accident::Eviction => {
            // Answered when the pod is on its way; a budget that is used up refuses, which at rest it is not.
            place.api::<Pod>().evict(primary, &EvictParams::default()).await.unwrap();
        }
        Accident::Roll => {
            let config = instance.spec.config.unwrap_or_default();
            let databases: u32 = config.get("databases").map_or(16, |value| value.0.parse().unwrap());
            place.change("cache", json!({"config": {"databases": (databases + 1).to_string()}})).await;
        }
        _ => {
            let present = instance.spec.storage.and_then(|storage| storage.storage_class_name).unwrap_or_default();
            let class = if present == other { "standard" } else { other };
            place.change("cache", json!({"storage": {"storageClassName": class}})).await;
        }
    }
}

/// Waits until everything is as the spec wants it, or says what was not.
async fn at_rest(place: &Place, when: &str) {
    let (begun, mut pause) = (Instant::now(), tokio::time::interval(Duration::from_millis(100)));
    while let Err(missing) = rest(place).await {
        assert!(begun.elapsed() < DEADLINE, "no rest at {when} within {DEADLINE:?}: {missing}");
        pause.tick().await;
    }
}

/// Everything is as the spec wants it: or what is not.
async fn rest(place: &Place) -> Result<(), String> {
    let need = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    let instance: RedisInstance = place.api().get("cache").await.map_err(|error| error.to_string())?;
    let status = instance.status.clone().unwrap_or_default();
    let current = status.observed_generation == instance.metadata.generation;
    need(
        current && status.status == Phase::Running,
        &format!("phase {:?}: {:?}", status.status, status.last_condition_message),
    )?;
    let wanted = instance.spec.replicas.unwrap_or(1);
    let ours = ListParams::default().labels("redis.github.com/instance=cache");
    let set: StatefulSet = place.api().get("cache").await.map_err(|error| error.to_string())?;
    let spec = set.spec.unwrap_or_default();
    let revision = set.status.and_then(|status| status.update_revision);
    need(spec.replicas == Some(wanted), "the StatefulSet has another number of pods")?;
    let pods = place.api::<Pod>().list(&ours).await.map_err(|error| error.to_string())?.items;
    let newest = pods.iter().all(|pod| {
        pod.metadata.deletion_timestamp.is_none() && pod.labels().get("controller-revision-hash") == revision.as_ref()
    });
    need(i32::try_from(pods.len()) == Ok(wanted) && newest, "pods are missing, too many or of an older template")?;
    let members = Members { place, instance: "cache" };
    let labelled: Vec<String> = members.labelled_primary().await.iter().map(ResourceExt::name_any).collect();
    need(labelled.len() == 1 && status.primary == labelled.first().cloned(), "no one primary by label and status")?;
    let mut writable = BTreeSet::new();
    for pod in &pods {
        let name = pod.name_any();
        let role = members.try_ask(&name, "INFO replication").await.ok_or_else(|| format!("{name} does not answer"))?;
        if role.contains("role:master") {
            writable.insert(name);
        } else {
            need(role.contains("master_link_status:up"), &format!("{name} does not follow"))?;
        }
    }
    need(writable.into_iter().collect::<Vec<_>>() == labelled, "another one takes writes than the labelled primary")?;
    let claims = place.api::<PersistentVolumeClaim>().list(&ours).await.map_err(|error| error.to_string())?.items;
    let class = instance.spec.storage.and_then(|storage| storage.storage_class_name);
    let used: BTreeSet<String> = pods.iter().map(|pod| format!("redis-data-{}", pod.name_any())).collect();
    for claim in claims.iter().filter(|claim| used.contains(&claim.name_any())) {
        let held = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone());
        let staying = claim.metadata.deletion_timestamp.is_none();
        // A claim that a smaller number of replicas left behind keeps its class.
        need(staying && (held == class || wanted != 3), &format!("{} is of {held:?}", claim.name_any()))?;
        need(claim.annotations().contains_key("redis.github.com/replication"), "a claim without its mark")?;
    }
    Ok(())
}
