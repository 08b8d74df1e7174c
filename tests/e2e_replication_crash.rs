//! Operators that die at random while roles move, and none at all while a primary dies: what comes out is the same. A file of
//! its own, because no other test can work meanwhile.

mod common;

use std::time::Duration;

use common::{
    cluster::{Place, eventually},
    deployed::{leader, pods, scale, settled},
    members::kill_operator,
    moments::{Moments, rounds},
    writer::Writer,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use redis_operator::api::v1::Phase;
use serde_json::json;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn operators_that_die_at_any_moment_lose_nothing() {
    let place = Place::new("crash").await;
    let client = place.client.clone();
    settled(&client).await;
    let members = place.create_cache(3, json!({})).await;
    let writer = Writer::start_confirmed(&place, "cache").await;
    let mut moments = Moments::seeded();
    for round in 0..rounds(2) {
        writer.goes_on(50).await;
        place.change("cache", json!({"config": {"databases": (20 + round).to_string()}})).await;
        moments.pass(Duration::from_secs(3)).await;
        kill_operator(&pods(&client).get(&leader(&client).await).await.unwrap()).await;
        place.reaches("cache", Phase::Running).await;
        settled(&client).await;

        let former = members.one_takes_writes().await;
        members.signal(&former, "KILL").await;
        moments.pass(Duration::from_millis(1500)).await;
        kill_operator(&pods(&client).get(&leader(&client).await).await.unwrap()).await;
        place.api::<Pod>().delete(&former, &DeleteParams::default().grace_period(0)).await.unwrap();
        settled(&client).await;
        members.one_takes_writes().await;
        place.reaches("cache", Phase::Running).await;
    }
    let outcome = writer.stop().await;
    eprintln!(
        "{} rounds of a roll and a failover, an operator killed in each: {} confirmed writes, {} lost",
        rounds(2),
        outcome.acknowledged,
        outcome.lost.len()
    );
    assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);

    // No operator: the server that restarts takes no writes, until one is back that knows whose data are the newest.
    let primary = members.one_takes_writes().await;
    let mut connection = members.connect(&primary).await.unwrap();
    assert_eq!(connection.ask("SET order 4711").await, "+OK");
    assert_ne!(connection.ask("WAIT 1 5000").await, ":0");
    scale(&client, 0).await;
    members.signal(&primary, "KILL").await;
    eventually("fenced server", || async {
        members.try_ask(&primary, "SET order 1").await.filter(|answer| answer.starts_with("-READONLY"))
    })
    .await;
    scale(&client, 2).await;
    let primary = members.one_takes_writes().await;
    assert_eq!(members.ask(&primary, "GET order").await, "4711");
    place.leave().await;
}
