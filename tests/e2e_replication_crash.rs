//! Operators that die at random while roles move, and none at all while a primary dies: what comes out is the same. A file of
//! its own, because no other test can work meanwhile.

mod common;

use std::time::Duration;

use common::{
    cluster::{Place, eventually},
    deployed::{leader, pods, scale, settled},
    members::{Members, kill_operator},
    writer::Writer,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use redis_operator::api::v1::Phase;
use serde_json::json;

fn rounds() -> u64 {
    std::env::var("ROUNDS").map_or(2, |rounds| rounds.parse().expect("ROUNDS must be a number"))
}

/// Moments that look random and are the same for the same seed.
struct Moments(u64);

impl Moments {
    /// Those of SEED.
    fn seeded() -> Self {
        let seed = std::env::var("SEED").map_or(4711, |seed| seed.parse().expect("SEED must be a number"));
        eprintln!("SEED={seed}");
        Self(seed)
    }

    /// Lets less than this pass.
    #[expect(clippy::disallowed_methods, reason = "the moment of a crash is what is tried here, not a condition")]
    async fn pass(&mut self, most: Duration) {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part = (self.0 >> 33) % 1000;
        tokio::time::sleep(most * u32::try_from(part).unwrap() / 1000).await;
    }
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_writer_without_wait_loses_nothing_in_planned_changes_though_operators_die() {
    let place = Place::new("planned-crash").await;
    let client = place.client.clone();
    settled(&client).await;
    let config =
        |databases: &str, appendonly: &str| json!({"config": {"databases": databases, "appendonly": appendonly}});
    let mut whole = config("16", "yes");
    whole["image"] = json!("redis:7.0.15");
    whole["replicas"] = json!(3);
    whole["storage"] = json!({"size": "64Mi"});
    place.create("cache", whole).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let members = Members { place: &place, instance: "cache" };
    let writer = Writer::start(&place, "cache").await;
    let mut moments = Moments::seeded();
    let mut killed = 0;
    for _ in 0..rounds().div_ceil(2) {
        for change in [
            config("17", "yes"),
            config("17", "no"),
            json!({"replicas": 2}),
            config("16", "yes"),
            json!({"replicas": 3}),
            json!({"auth": {"enabled": false}}),
            json!({"auth": {"enabled": true}}),
        ] {
            writer.goes_on(50).await;
            place.change("cache", change.clone()).await;
            moments.pass(Duration::from_secs(4)).await;
            kill_operator(&pods(&client).get(&leader(&client).await).await.unwrap()).await;
            killed += 1;
            place.reaches("cache", Phase::Running).await;
            settled(&client).await;
            members.one_takes_writes().await;
            eprintln!("{change}: the operator was killed and the change is complete");
        }
    }
    let outcome = writer.stop().await;
    eprintln!("{killed} planned changes, an operator killed in each: {outcome}");
    assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn operators_that_die_at_any_moment_lose_nothing() {
    let place = Place::new("crash").await;
    let client = place.client.clone();
    settled(&client).await;
    place.create("cache", json!({"image": "redis:7.0.15", "replicas": 3, "storage": {"size": "64Mi"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let members = Members { place: &place, instance: "cache" };
    let writer = Writer::start_confirmed(&place, "cache").await;
    let mut moments = Moments::seeded();
    for round in 0..rounds() {
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
        rounds(),
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
