//! What the operator costs a cluster: nothing while nothing changes, and a few requests for a creation.
//! The API server's audit log is the witness.

mod common;

use std::{collections::BTreeMap, env, time::Duration};

use common::{
    audit,
    cluster::{Place, eventually},
    deployed,
};
use jiff::Timestamp;
use kube::api::DeleteParams;
use redis_operator::api::v1::Phase;
use serde_json::json;
use tokio::time::Instant;

const OPERATOR: &str = "system:serviceaccount:redis-operator-system:redis-operator";
const INSTANCES: usize = 20;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn idle_instances_cost_no_write_and_an_operator_that_restarts_neither() {
    let place = Place::new("idle").await;
    for n in 0..INSTANCES {
        place.create(&format!("cache-{n}"), json!({})).await.unwrap();
    }
    for n in 0..INSTANCES {
        place.reaches(&format!("cache-{n}"), Phase::Running).await;
    }
    settled(&place).await;

    let idle = Duration::from_secs(env::var("IDLE_SECONDS").map_or(20, |seconds| seconds.parse().unwrap()));
    let begun = Timestamp::now();
    watch_the_clock(idle).await;
    assert_no_writes(&place, begun, &format!("in {idle:?} of idling"));

    let old = deployed::settled(&place.client).await;
    let begun = Timestamp::now();
    deployed::pods(&place.client).delete(&old, &DeleteParams::default().grace_period(0)).await.unwrap();
    eventually("list of the instances by the next leader", || async {
        let listed = |entry: &audit::Entry| {
            entry.user() == OPERATOR && entry.verb() == "watch" && entry.resource() == "redisinstances"
        };
        audit::since(begun).iter().any(listed).then_some(())
    })
    .await;
    assert_ne!(deployed::settled(&place.client).await, old);
    watch_the_clock(Duration::from_secs(5)).await;
    assert_no_writes(&place, begun, "after the operator was restarted");
    place.leave().await;
}

/// Waits until the operator has written nothing for two seconds.
async fn settled(place: &Place) {
    eventually("two seconds without a write", || async {
        let recent = Timestamp::now() - jiff::SignedDuration::from_secs(2);
        writes(place, recent).is_empty().then_some(())
    })
    .await;
}

/// Lets this much time pass: what is tested is what happens in it.
async fn watch_the_clock(time: Duration) {
    tokio::time::interval_at(Instant::now() + time, time).tick().await;
}

fn writes(place: &Place, begun: Timestamp) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in audit::since(begun) {
        // Reading one Secret by name on the periodic pass is how a Secret is looked at without watching all of them.
        if entry.user() == OPERATOR && entry.is_write() && entry.namespace() == place.namespace {
            let key = format!("{} {} {} -> {}", entry.verb(), entry.resource(), entry.name(), entry.code());
            *counts.entry(key).or_default() += 1;
        }
    }
    counts
}

fn assert_no_writes(place: &Place, begun: Timestamp, when: &str) {
    let writes = writes(place, begun);
    assert!(writes.is_empty(), "{when} the operator wrote: {writes:#?}");
}
