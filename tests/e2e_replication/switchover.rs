//! Planned switchovers: an eviction of the primary, and a switchover that replicas refuse.

use std::pin::pin;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::EvictParams,
    runtime::{WatchStreamExt, watcher},
};
use redis_operator::api::v1::Phase;
use serde_json::json;
use tokio::time::timeout;

use crate::common::{
    cluster::{DEADLINE, Place},
    members::{Members, ROLE},
    moments::rounds,
    writer::Writer,
};

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_evicted_primary_hands_its_role_over_first() {
    let place = Place::new("drain").await;
    let members = place.create_cache(3, json!({})).await;
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
    writer.stop_without_loss("eviction of the primary").await;
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
    let members = place.create_cache(3, json!({})).await;
    members.make_last_pod_primary().await;
    let writer = Writer::start(&place, "cache").await;
    writer.goes_on(50).await;

    // Both replicas answer the operator and receive no writes. Whether the operator still counts them as in sync when it
    // tries the handover depends on the speed of the machine; either way cache-2 keeps the role.
    let leader = members.pod("cache-2").await.unwrap().status.unwrap().pod_ip.unwrap();
    for pod in ["cache-0", "cache-1"] {
        members.deafen(pod, &leader, true).await;
    }
    place.change("cache", json!({"replicas": 2})).await;
    place.wait_for_condition("Replicated", "primary cache-2 keeps its role").await;
    assert_eq!(members.one_takes_writes().await, "cache-2");
    writer.goes_on(50).await;

    // Both are in sync again and refuse to be promoted.
    for pod in ["cache-0", "cache-1"] {
        assert_eq!(members.ask(pod, "ACL SETUSER default -replicaof -slaveof").await, "+OK");
        members.deafen(pod, &leader, false).await;
    }
    place.wait_for_condition("Replicated", "the handover to cache-0 failed").await;
    assert_eq!(members.one_takes_writes().await, "cache-2");
    writer.goes_on(50).await;

    for pod in ["cache-0", "cache-1"] {
        assert_eq!(members.ask(pod, "ACL SETUSER default +replicaof +slaveof").await, "+OK");
    }
    place.gone::<Pod>("cache-2").await;
    place.reaches("cache", Phase::Running).await;
    writer.goes_on(50).await;
    writer.stop_without_loss("a handover that failed, and was tried again").await;
    place.leave().await;
}
