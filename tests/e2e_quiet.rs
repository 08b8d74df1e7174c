//! What the operator costs a cluster: nothing while nothing changes, and a few requests for a creation.
//! The API server's audit log is the witness.

mod common;

use std::{env, time::Duration};

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
    deployed::rests(&place).await;

    let idle = Duration::from_secs(env::var("IDLE_SECONDS").map_or(20, |seconds| seconds.parse().unwrap()));
    let begun = Timestamp::now();
    watch_the_clock(idle).await;
    assert_no_writes(&place, begun, &format!("in {idle:?} of idling"));

    let old = deployed::settled(&place.client).await;
    let begun = Timestamp::now();
    deployed::pods(&place.client).delete(&old, &DeleteParams::default().grace_period(0)).await.unwrap();
    eventually("list of the instances by the next leader", || async {
        let listed = |entry: &audit::Entry| {
            entry.user() == deployed::ACCOUNT && entry.verb() == "watch" && entry.resource() == "redisinstances"
        };
        audit::since(begun).iter().any(listed).then_some(())
    })
    .await;
    assert_ne!(deployed::settled(&place.client).await, old);
    watch_the_clock(Duration::from_secs(5)).await;
    assert_no_writes(&place, begun, "after the operator was restarted");
    place.leave().await;
}

/// Lets this much time pass: what is tested is what happens in it.
async fn watch_the_clock(time: Duration) {
    tokio::time::interval_at(Instant::now() + time, time).tick().await;
}

fn assert_no_writes(place: &Place, begun: Timestamp, when: &str) {
    let writes = deployed::writes(place, begun);
    assert!(writes.is_empty(), "{when} the operator wrote: {writes:#?}");
}
