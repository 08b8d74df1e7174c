//! Several pods on a real cluster with real Redis: one primary, the others its replicas; who takes over when it dies, what
//! planned changes cost, and what no accident may do to the data.

mod common;

use std::{collections::BTreeSet, pin::pin, time::Duration};

use common::{
    cluster::{DEADLINE, Place, eventually},
    members::{Members, ROLE},
    writer::Writer,
};
use futures::StreamExt;
use k8s_openapi::{
    api::{
        core::v1::{PersistentVolumeClaim, Pod, Service},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, EvictParams, Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use redis_operator::api::v1::{Phase, RedisInstance, RedisInstanceStatus};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

/// How often a test that can be repeated is: `ROUNDS`, else this many times.
fn rounds(usual: usize) -> usize {
    std::env::var("ROUNDS").map_or(usual, |rounds| rounds.parse().expect("ROUNDS must be a number"))
}

/// An instance of three pods that is Running.
async fn three(place: &Place, spec: Value) {
    let mut whole = json!({"image": "redis:7.0.15", "replicas": 3, "storage": {"size": "64Mi"}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    place.create("cache", whole).await.unwrap();
    place.reaches("cache", Phase::Running).await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn three_pods_are_one_primary_and_two_replicas() {
    let place = Place::new("three").await;
    three(&place, json!({})).await;
    let members = Members { place: &place, instance: "cache" };
    let named = members.primary().await.unwrap();
    let mut primary = place.connect("cache").await;
    primary.ask(&format!("AUTH {}", place.password("cache").await)).await;
    assert_eq!(primary.ask("SET order 4711").await, "+OK");
    assert_eq!(primary.ask("WAIT 2 2000").await, ":2");
    for pod in ["cache-0", "cache-1", "cache-2"] {
        let role = if pod == named { "primary" } else { "replica" };
        assert_eq!(members.pod(pod).await.unwrap().labels()[ROLE], role);
        assert_eq!(members.ask(pod, "GET order").await, "4711");
        let answer = members.ask(pod, "SET order 1").await;
        assert_eq!(answer.starts_with("-READONLY"), role == "replica", "{pod}: {answer}");
        members.try_ask(pod, "SET order 4711").await;
    }
    let reads: Service = place.api().get("cache-replicas").await.unwrap();
    assert!(reads.spec.unwrap().selector.unwrap().contains_key("redis.github.com/reads"));
    // A budget that somebody widens is put back: it would let a drain take the primary and its replicas at once.
    let wide = Patch::Merge(json!({"spec": {"maxUnavailable": 3}}));
    place.api::<PodDisruptionBudget>().patch("cache", &PatchParams::default(), &wide).await.unwrap();
    place
        .until("cache", "budget of one pod", |budget: Option<&PodDisruptionBudget>| {
            let most = budget.and_then(|budget| budget.spec.as_ref()?.max_unavailable.clone());
            most == Some(IntOrString::Int(1))
        })
        .await;
    let instance: RedisInstance = place.api().get("cache").await.unwrap();
    let replicated = instance.status.unwrap().conditions.into_iter().find(|condition| condition.type_ == "Replicated");
    assert_eq!(replicated.unwrap().message, format!("all replicas are in sync with primary {named}"));
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_primary_that_dies_is_followed_in_time_and_what_a_replica_confirmed_stays() {
    let place = Place::new("failover").await;
    three(&place, json!({})).await;
    let members = Members { place: &place, instance: "cache" };
    let writer = Writer::start_confirmed(&place, "cache").await;
    let mut times = Vec::new();
    for _ in 0..rounds(3) {
        writer.goes_on(50).await;
        let former = members.one_takes_writes().await;
        members.signal(&former, "KILL").await;
        times.push(taken_again(&members, &former).await);
        // A container that was killed often is started ever later; a new pod is not.
        place.api::<Pod>().delete(&former, &DeleteParams::default().grace_period(0)).await.unwrap();
        writer.goes_on(50).await;
        place.reaches("cache", Phase::Running).await;
    }
    let outcome = writer.stop().await;
    times.sort_unstable();
    eprintln!(
        "{} failovers: writes taken again after {:?} (median), {:?} (longest); {} confirmed writes, {} lost",
        times.len(),
        times[times.len() / 2],
        times[times.len() - 1],
        outcome.acknowledged,
        outcome.lost.len()
    );
    assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);
    place.leave().await;
}

/// How long it takes until another pod than this one takes writes behind the Service. Meanwhile no two do.
async fn taken_again(members: &Members<'_>, former: &str) -> Duration {
    let begun = Instant::now();
    eventually(&format!("writes by another than {former}"), || async {
        let mut writable = Vec::new();
        for pod in members.labelled_primary().await {
            let name = pod.name_any();
            if members.try_ask(&name, "SET probe 1").await.as_deref() == Some("+OK") {
                writable.push(name);
            }
        }
        assert!(writable.len() < 2, "two that take writes stand behind the Service: {writable:?}");
        writable.first().is_some_and(|primary| primary != former).then_some(())
    })
    .await;
    begun.elapsed()
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_primary_that_freezes_is_followed_and_comes_back_as_a_replica() {
    let place = Place::new("frozen").await;
    three(&place, json!({})).await;
    let members = Members { place: &place, instance: "cache" };
    let former = members.primary().await.unwrap();
    let mut primary = members.connect(&former).await.unwrap();
    assert_eq!(primary.ask("SET order 4711").await, "+OK");
    assert_ne!(primary.ask("WAIT 1 5000").await, ":0", "what no replica has may be lost");
    members.signal(&former, "STOP").await;
    let time = taken_again(&members, &former).await;
    eprintln!("frozen primary: writes taken again after {time:?}");
    // Its kubelet ended it first: the pod of that name is a new one.
    place.reaches("cache", Phase::Running).await;
    eventually("former primary as a replica", || async {
        members.try_ask(&former, "INFO replication").await.filter(|told| told.contains("role:slave"))
    })
    .await;
    assert_eq!(members.ask(&former, "GET order").await, "4711");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_roll_restarts_the_primary_last_and_loses_no_write() {
    let place = Place::new("roll").await;
    three(&place, json!({})).await;
    let members = Members { place: &place, instance: "cache" };
    let writer = Writer::start(&place, "cache").await;
    for databases in 0..rounds(1) {
        writer.goes_on(50).await;
        let uids = uids(&place).await;
        place.change("cache", json!({"config": {"databases": (20 + databases).to_string()}})).await;
        place.reaches("cache", Phase::Running).await;
        assert!(uids.is_disjoint(&self::uids(&place).await), "every pod restarts");
        assert_eq!(members.labelled_primary().await.len(), 1);
    }
    let outcome = writer.stop().await;
    eprintln!("roll of three: {outcome}");
    assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);
    place.leave().await;
}

async fn uids(place: &Place) -> BTreeSet<String> {
    let labels = kube::api::ListParams::default().labels("redis.github.com/instance=cache");
    place.api::<Pod>().list(&labels).await.unwrap().items.iter().filter_map(ResourceExt::uid).collect()
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_primary_that_is_cut_off_is_followed_and_gives_up_what_nobody_confirmed() {
    let place = Place::new("cut").await;
    three(&place, json!({})).await;
    let members = Members { place: &place, instance: "cache" };
    let writer = Writer::start_confirmed(&place, "cache").await;
    writer.goes_on(50).await;
    let former = members.primary().await.unwrap();
    let begun = Instant::now();
    members.cut(&former, true).await;
    let primary = members.primary_after(&former).await;
    writer.goes_on(50).await;
    eprintln!("writes again {:?} after the network of {former} was cut, at {primary}", begun.elapsed());

    // Its kubelet ended it first: the new pod of that name is not cut off.
    place.reaches("cache", Phase::Running).await;
    assert_eq!(members.one_takes_writes().await, primary, "it comes back as a replica");
    let outcome = writer.stop().await;
    eprintln!("cut off: {} confirmed writes, {} lost", outcome.acknowledged, outcome.lost.len());
    assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_evicted_primary_hands_its_role_over_first() {
    let place = Place::new("drain").await;
    three(&place, json!({})).await;
    let members = Members { place: &place, instance: "cache" };
    let writer = Writer::start(&place, "cache").await;
    for _ in 0..rounds(1) {
        writer.goes_on(50).await;
        let former = members.one_takes_writes().await;
        let uid = members.pod(&former).await.unwrap().uid();
        let led_to = led_to_a_replica(&members, &former);
        let evicted = async { place.api::<Pod>().evict(&former, &EvictParams::default()).await.unwrap() };
        tokio::join!(led_to, evicted);
        members.primary_after(&former).await;
        place.until(&former, "new pod", move |pod: Option<&Pod>| pod.is_some_and(|pod| pod.uid() != uid)).await;
        place.reaches("cache", Phase::Running).await;
    }
    let outcome = writer.stop().await;
    eprintln!("eviction of the primary: {outcome}");
    assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);
    place.leave().await;
}

/// Waits until the Service leads to another pod than this one, which is to be so while that one still is a replica: the nodes
/// take a second to follow, and meanwhile the old primary takes the writes of the connections that there are.
async fn led_to_a_replica(members: &Members<'_>, former: &str) {
    let label = watcher::Config::default().labels(&format!("{ROLE}=primary"));
    let mut shown = pin!(watcher(members.place.api::<Pod>(), label).applied_objects());
    let led_to = async {
        loop {
            let pod = shown.next().await.unwrap().unwrap();
            if pod.name_any() != former {
                return pod.name_any();
            }
        }
    };
    let pod = timeout(DEADLINE, led_to).await.unwrap_or_else(|_| panic!("the Service leads to none but {former}"));
    let role = members.ask(&pod, "INFO replication").await;
    assert!(role.contains("role:slave"), "{pod} was promoted before the Service led to it: {role}");
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_handover_that_fails_leaves_the_role_and_the_service_where_they_were() {
    let place = Place::new("balk").await;
    three(&place, json!({})).await;
    let members = Members { place: &place, instance: "cache" };
    for pod in ["cache-0", "cache-1"] {
        place.api::<Pod>().delete(pod, &DeleteParams::default()).await.unwrap();
    }
    eventually("primary cache-2", || async { members.primary().await.filter(|primary| primary == "cache-2") }).await;
    place.reaches("cache", Phase::Running).await;
    let writer = Writer::start(&place, "cache").await;
    writer.goes_on(50).await;

    // Both replicas answer the operator and receive no writes. Whether the operator still counts them as in sync when it
    // tries the handover depends on the speed of the machine; either way cache-2 keeps the role.
    let leader = members.pod("cache-2").await.unwrap().status.unwrap().pod_ip.unwrap();
    for pod in ["cache-0", "cache-1"] {
        members.deafen(pod, &leader, true).await;
    }
    place.change("cache", json!({"replicas": 2})).await;
    replicated_says(&place, "primary cache-2 keeps its role").await;
    assert_eq!(members.one_takes_writes().await, "cache-2");
    writer.goes_on(50).await;

    // Both are in sync again and refuse to be promoted.
    for pod in ["cache-0", "cache-1"] {
        assert_eq!(members.ask(pod, "ACL SETUSER default -replicaof -slaveof").await, "+OK");
        members.deafen(pod, &leader, false).await;
    }
    replicated_says(&place, "the handover to cache-0 failed").await;
    assert_eq!(members.one_takes_writes().await, "cache-2");
    writer.goes_on(50).await;

    for pod in ["cache-0", "cache-1"] {
        assert_eq!(members.ask(pod, "ACL SETUSER default +replicaof +slaveof").await, "+OK");
    }
    place.gone::<Pod>("cache-2").await;
    place.reaches("cache", Phase::Running).await;
    writer.goes_on(50).await;
    let outcome = writer.stop().await;
    eprintln!("a handover that failed, and was tried again: {outcome}");
    assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);
    place.leave().await;
}

/// Waits until the condition Replicated of the instance `cache` contains these words.
async fn replicated_says(place: &Place, words: &str) {
    eventually(&format!("condition Replicated with the words {words:?}"), || async {
        let conditions = told(place).await?.conditions;
        let replicated = conditions.into_iter().find(|condition| condition.type_ == "Replicated")?;
        replicated.message.contains(words).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn one_becomes_three_and_three_become_one_without_a_lost_write() {
    let place = Place::new("scale").await;
    place.create("cache", json!({"image": "redis:7.0.15", "storage": {"size": "64Mi"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let members = Members { place: &place, instance: "cache" };
    let first = members.pod("cache-0").await.unwrap().uid();
    let writer = Writer::start(&place, "cache").await;
    for round in 0..rounds(2) {
        let uid = members.pod("cache-0").await.unwrap().uid();
        place.change("cache", json!({"replicas": 3})).await;
        place.reaches("cache", Phase::Running).await;
        assert_eq!(members.pod("cache-0").await.unwrap().uid(), uid, "more replicas restart nobody");
        // The role goes to a pod that a smaller number takes away.
        place.api::<Pod>().delete("cache-0", &DeleteParams::default()).await.unwrap();
        let primary = members.primary_after("cache-0").await;
        place.reaches("cache", Phase::Running).await;
        writer.goes_on(50).await;
        place.change("cache", json!({"replicas": 1})).await;
        place.reaches("cache", Phase::Running).await;
        for pod in ["cache-1", "cache-2"] {
            place.gone::<Pod>(pod).await;
        }
        assert_eq!(members.primary().await.as_deref(), Some("cache-0"), "round {round}: and not {primary}");
        place.gone::<Service>("cache-replicas").await;
        place.gone::<PodDisruptionBudget>("cache").await;
        writer.goes_on(50).await;
    }
    assert_ne!(members.pod("cache-0").await.unwrap().uid(), first);
    let outcome = writer.stop().await;
    eprintln!("1 to 3 to 1: {outcome}");
    assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);
    // One that is left of several is restarted as one that was always alone.
    place.change("cache", json!({"config": {"databases": "20"}})).await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(members.ask("cache-0", "CONFIG GET databases").await, "databases 20");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn growth_beside_another_change_moves_the_role_once() {
    let place = Place::new("grow").await;
    three(&place, json!({})).await;
    let members = Members { place: &place, instance: "cache" };
    let writer = Writer::start(&place, "cache").await;
    writer.goes_on(50).await;
    // The StatefulSet is released from its pods and made anew, with another template: they are rolled as ever.
    let begun = term(&place).await;
    // A roll begins with the last pod. The role can only go from it to one whose turn is still to come.
    let moves = if members.primary().await.as_deref() == Some("cache-2") { 2 } else { 1 };
    place.change("cache", json!({"storage": {"size": "96Mi"}, "config": {"databases": "20"}})).await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(term(&place).await, begun + moves, "handovers of a roll: {:#?}", told(&place).await);

    // And with fewer pods, of which the primary's is one.
    for pod in ["cache-0", "cache-1"] {
        place.api::<Pod>().delete(pod, &DeleteParams::default()).await.unwrap();
    }
    eventually("primary cache-2", || async { members.primary().await.filter(|primary| primary == "cache-2") }).await;
    place.reaches("cache", Phase::Running).await;
    writer.goes_on(50).await;
    let begun = term(&place).await;
    place.change("cache", json!({"storage": {"size": "128Mi"}, "replicas": 2})).await;
    place.reaches("cache", Phase::Running).await;
    place.gone::<Pod>("cache-2").await;
    assert_eq!(term(&place).await, begun + 1, "handovers of a scale in: {:#?}", told(&place).await);
    writer.goes_on(50).await;
    let outcome = writer.stop().await;
    eprintln!("growth with a roll, and with a scale in: {outcome}");
    assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);
    place.leave().await;
}

/// What the status tells, its history included.
async fn told(place: &Place) -> Option<RedisInstanceStatus> {
    place.api::<RedisInstance>().get("cache").await.unwrap().status
}

/// How often a primary was made, as the claims are marked.
async fn term(place: &Place) -> u64 {
    let labels = kube::api::ListParams::default().labels("redis.github.com/instance=cache");
    let claims = place.api::<PersistentVolumeClaim>().list(&labels).await.unwrap().items;
    let marks = claims.iter().filter_map(|claim| claim.annotations().get("redis.github.com/replication"));
    marks.filter_map(|mark| mark.split(' ').next()?.parse().ok()).max().unwrap()
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn no_accident_replaces_data_by_less() {
    let place = Place::new("accident").await;
    three(&place, json!({})).await;
    let members = Members { place: &place, instance: "cache" };
    let all = ["cache-0", "cache-1", "cache-2"];
    let primary = members.primary().await.unwrap();
    assert_eq!(members.ask(&primary, "SET order 4711").await, "+OK");
    let kept = |what: &'static str| {
        let (place, members) = (&place, &members);
        async move {
            place.reaches("cache", Phase::Running).await;
            for pod in all {
                eventually(&format!("data in {pod} after {what}"), || async {
                    members.try_ask(pod, "GET order").await.filter(|held| held == "4711")
                })
                .await;
            }
        }
    };
    kept("the beginning").await;

    for pod in all {
        members.signal(pod, "KILL").await;
    }
    kept("all servers were killed").await;

    for pod in all {
        place.api::<Pod>().delete(pod, &DeleteParams::default().grace_period(0)).await.unwrap();
    }
    kept("all pods were deleted").await;

    for of_primary in [false, true] {
        let primary = members.primary().await.unwrap();
        let pod = all.into_iter().find(|pod| (*pod == primary) == of_primary).unwrap();
        let claim = format!("redis-data-{pod}");
        let uid = place.api::<PersistentVolumeClaim>().get(&claim).await.unwrap().uid();
        place.delete::<PersistentVolumeClaim>(&claim).await;
        place.delete::<Pod>(pod).await;
        place
            .until(&claim, "new claim", move |claim: Option<&PersistentVolumeClaim>| {
                claim.is_some_and(|claim| claim.uid() != uid)
            })
            .await;
        kept(if of_primary { "the primary's volume was deleted" } else { "a replica's volume was deleted" }).await;
    }

    // Two of three volumes go, and every server at the same time: of those that come back only one has the data.
    let primary = members.primary().await.unwrap();
    for pod in all.into_iter().filter(|pod| *pod != primary) {
        place.delete::<PersistentVolumeClaim>(&format!("redis-data-{pod}")).await;
    }
    let before = uids(&place).await;
    for pod in all {
        // The operator, which sees the claims go, may be as fast.
        match place.api::<Pod>().delete(pod, &DeleteParams::default().grace_period(0)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => panic!("{error}"),
        }
    }
    eventually("three other pods", || async {
        let now = uids(&place).await;
        (now.len() == 3 && now.is_disjoint(&before)).then_some(())
    })
    .await;
    kept("both replicas' volumes were deleted with all pods").await;

    // The instance goes, its volumes stay, and another one of its name takes them up.
    place.delete::<RedisInstance>("cache").await;
    for pod in all {
        place.gone::<Pod>(pod).await;
    }
    three(&place, json!({})).await;
    kept("the instance was made anew over its volumes").await;
    place.leave().await;
}
