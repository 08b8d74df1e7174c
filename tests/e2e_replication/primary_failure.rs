//! A primary that dies, freezes or loses its network: a replica takes over, and confirmed writes stay.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::DeleteParams};
use redis_operator::api::v1::Phase;
use serde_json::json;
use tokio::time::Instant;

use crate::common::{
    cluster::{Place, eventually},
    members::Members,
    moments::rounds,
    writer::Writer,
};

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_primary_that_dies_is_followed_in_time_and_what_a_replica_confirmed_stays() {
    let place = Place::new("failover").await;
    let members = place.create_cache(3, json!({})).await;
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

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_primary_that_freezes_is_followed_and_comes_back_as_a_replica() {
    let place = Place::new("frozen").await;
    let members = place.create_cache(3, json!({})).await;
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
        members.try_ask(&former, "INFO replication").await.filter(|role| role.contains("role:slave"))
    })
    .await;
    assert_eq!(members.ask(&former, "GET order").await, "4711");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_primary_that_is_cut_off_is_replaced_and_gives_up_unconfirmed_writes() {
    let place = Place::new("cut").await;
    let members = place.create_cache(3, json!({})).await;
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
