//! Many instances created at once: how long until every child exists, and what that cost.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::ListParams;
use serde_json::json;

use crate::{
    common::{
        audit,
        cluster::{Place, eventually},
        operator::Operator,
    },
    figures,
};

const INSTANCES: usize = 100;

/// Prints what a hundred creations by eight clients take.
pub(crate) async fn hundred_instances(place: &Place, operator: &Operator) {
    println!("\n{INSTANCES} instances at once, 8 clients, no node; {}", figures::machine());
    let (cpu, audited, begun) = (figures::cpu_seconds(operator.id()), Timestamp::now(), Instant::now());
    let names = stream::iter((0..INSTANCES).map(|n| format!("cache-{n}")));
    let creations = names.map(|name| async move { place.create(&name, json!({})).await });
    let created = creations.buffer_unordered(8).filter(|result| std::future::ready(result.is_ok())).count().await;
    println!("  {created} created after {:.2} s", begun.elapsed().as_secs_f64());
    eventually("StatefulSet of each instance", || async {
        let sets = place.api::<StatefulSet>().list_metadata(&ListParams::default()).await.unwrap();
        (sets.items.len() == INSTANCES).then_some(())
    })
    .await;
    println!("  all children exist after {:.2} s", begun.elapsed().as_secs_f64());
    // Settled: the loop has had nothing to do for two seconds.
    let (mut last, mut since) = (figures::cpu_seconds(operator.id()), Instant::now());
    eventually("settled operator", || {
        let quiet = settled(operator, &mut last, &mut since);
        async move { quiet }
    })
    .await;
    let seconds = figures::cpu_seconds(operator.id()) - cpu;
    let (now, peak) = figures::memory(operator.id());
    #[expect(clippy::cast_precision_loss, reason = "a count of instances")]
    let each = seconds * 1000.0 / INSTANCES as f64;
    println!("  CPU {seconds:.2} s ({each:.1} ms an instance), resident {now:.0} MiB, peak {peak:.0} MiB");
    let mut requests: BTreeMap<String, usize> = BTreeMap::new();
    for entry in audit::since(audited).iter().filter(|entry| entry.user() == operator.user) {
        *requests.entry(format!("{} {}", entry.verb(), entry.resource())).or_default() += 1;
    }
    println!("  requests: {requests:?}");
}

fn settled(operator: &Operator, last: &mut f64, since: &mut Instant) -> Option<()> {
    let now = figures::cpu_seconds(operator.id());
    if now > *last + 0.011 {
        (*last, *since) = (now, Instant::now());
    }
    (since.elapsed() > Duration::from_secs(2)).then_some(())
}
