//! Many instances created at once: how long until every child exists and every instance serves, and what that cost.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Secret, Service},
    },
};
use kube::{Resource, api::ListParams};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Ledger, all_running, name, patiently};
use crate::{
    common::{audit::Entry, cluster::Place, operator::Operator},
    figures,
};

/// Clients that create at once.
const CLIENTS: usize = 8;

/// Prints what the creation of so many takes.
pub(super) async fn creation(place: &Place, operator: &Operator, instances: usize) {
    println!("\n{instances} instances at once, {CLIENTS} clients, no node, no webhook; {}", figures::machine());
    println!("  resident before {:.0} MiB", figures::memory(operator.id()).0);
    let mut ledger = Ledger::open(operator);
    let creations =
        stream::iter((0..instances).map(name)).map(|name| async move { place.create(&name, json!({})).await });
    let created = creations.buffer_unordered(CLIENTS).filter(|result| std::future::ready(result.is_ok())).count().await;
    println!("  {created} created after {:.2} s", since(ledger.begun));

    let ledger = &mut ledger;
    patiently("StatefulSet of each instance", || {
        ledger.read();
        let sets = ledger.ours.iter().filter(|entry| is_creation(entry, "statefulsets")).count();
        std::future::ready((sets >= created).then_some(()))
    })
    .await;
    println!("  {}", times(ledger));
    println!("  {}; {}", children(place).await, figures::machine());
    all_running(place, created).await;
    println!("  all Running after {:.2} s; {}", since(ledger.begun), figures::machine());
    ledger.quiet().await;
    println!("  settled after {:.2} s (the last request); {}", ledger.last_request(), figures::machine());
    ledger.print(instances);
}

/// When the last child existed, and how long each instance waited from its creation to that of its StatefulSet, the last
/// of its children: from answer to answer.
fn times(ledger: &Ledger) -> String {
    let instances: BTreeMap<&str, Timestamp> = ledger
        .others
        .iter()
        .filter(|entry| is_creation(entry, "redisinstances"))
        .map(|entry| (entry.name(), entry.answered()))
        .collect();
    let sets: Vec<&Entry> = ledger.ours.iter().filter(|entry| is_creation(entry, "statefulsets")).collect();
    let last = sets.iter().map(|entry| entry.answered()).max().unwrap();
    let delays: Vec<f64> = sets
        .iter()
        .filter_map(|set| Some(set.answered().duration_since(*instances.get(set.name())?).as_secs_f64() * 1000.0))
        .collect();
    format!(
        "all children exist after {:.2} s; delay of an instance {}",
        last.duration_since(ledger.begun).as_secs_f64(),
        figures::quantiles(delays)
    )
}

fn is_creation(entry: &Entry, resource: &str) -> bool {
    entry.verb() == "create" && entry.resource() == resource && entry.code() == 201
}

/// What is really there, by the API server.
async fn children(place: &Place) -> String {
    format!(
        "there are {} ConfigMaps, {} Secrets, {} Services, {} StatefulSets",
        count::<ConfigMap>(place).await,
        count::<Secret>(place).await,
        count::<Service>(place).await,
        count::<StatefulSet>(place).await
    )
}

async fn count<K>(place: &Place) -> usize
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=redis-operator");
    place.api::<K>().list_metadata(&ours).await.unwrap().items.len()
}

fn since(begun: Timestamp) -> f64 {
    Timestamp::now().duration_since(begun).as_secs_f64()
}
