//! From creation to a serving Redis on a cluster with real nodes: what a user waits for.

use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

use crate::{common::cluster::Place, figures, nodes::is_ready};

/// How many creations, one after another.
const RUNS: usize = 5;

/// Prints how long each of five creations takes to a ready pod, and to phase Running.
pub(crate) async fn creations(place: &Place) {
    println!("from creation to a serving Redis, image present, {RUNS} runs; {}", figures::machine());
    let (mut ready, mut running) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let name = format!("cache-{run}");
        let begun = Instant::now();
        place.create(&name, json!({})).await.unwrap();
        let elapsed = || begun.elapsed().as_secs_f64();
        let pod_name = format!("{name}-0");
        let pod = async {
            place.until(&pod_name, "ready pod", |pod: Option<&Pod>| pod.is_some_and(is_ready)).await;
            elapsed()
        };
        let instance = async {
            place
                .until(&name, "phase Running", |instance: Option<&RedisInstance>| {
                    instance
                        .and_then(|instance| instance.status.as_ref())
                        .is_some_and(|status| status.status == Phase::Running)
                })
                .await;
            elapsed()
        };
        let (pod, instance) = tokio::join!(pod, instance);
        ready.push(pod);
        running.push(instance);
    }
    println!("  pod Ready      {}", listed(ready));
    println!("  phase Running  {}", listed(running));
}

fn listed(mut seconds: Vec<f64>) -> String {
    seconds.sort_by(f64::total_cmp);
    let all: Vec<String> = seconds.iter().map(|s| format!("{s:.2}")).collect();
    format!("median {:.2} s (sorted: {})", seconds[seconds.len() / 2], all.join(", "))
}
