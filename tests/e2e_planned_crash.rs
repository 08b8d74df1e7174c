//! Operators that die in the middle of planned changes, beside a client that does not wait for replicas. A file of its own, because no
//! other test can work meanwhile.

mod common;

use std::time::Duration;

use common::{
    cluster::Place,
    deployed::{leader, pods, settled},
    members::kill_operator,
    moments::{Moments, rounds},
    writer::Writer,
};
use kube::{ResourceExt, api::DeleteParams};
use redis_operator::api::v1::Phase;
use serde_json::json;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_writer_without_wait_loses_nothing_in_planned_changes_though_operators_die() {
    let place = Place::new("planned-crash").await;
    let client = place.client.clone();
    settled(&client).await;
    let config =
        |databases: &str, appendonly: &str| json!({"config": {"databases": databases, "appendonly": appendonly}});
    let members = place.create_cache(3, config("16", "yes")).await;
    let writer = Writer::start(&place, "cache").await;
    let mut moments = Moments::seeded();
    let mut killed = 0;
    for _ in 0..rounds(1) {
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
            let leader = pods(&client).get(&leader(&client).await).await.unwrap();
            kill_operator(&leader).await;
            // A pod of its own for each: the kubelet would wait ever longer before it starts the container again.
            let at_once = DeleteParams::default().grace_period(0);
            pods(&client).delete(&leader.name_any(), &at_once).await.unwrap();
            killed += 1;
            place.reaches("cache", Phase::Running).await;
            settled(&client).await;
            members.one_takes_writes().await;
            eprintln!("{change}: the operator was killed and the change is complete");
        }
    }
    writer.stop_without_loss(&format!("{killed} planned changes, an operator killed in each")).await;
    place.leave().await;
}
