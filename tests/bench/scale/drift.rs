//! Children that another client changes or deletes: how long until it is as it was.

use std::{mem, pin::pin, time::Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Service},
};
use kube::{
    api::{Patch, PatchParams},
    runtime::watcher::{self, Event, watcher},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Ledger, all_running, name};
use crate::{
    common::{
        cluster::{DEADLINE, Namespaced, Place},
        operator::Operator,
    },
    figures,
};

/// Repairs a series.
const SAMPLES: usize = 30;

/// Prints how long each way of drifting lasts, one after another, and then a tenth of all instances at once.
pub(super) async fn repaired(place: &Place, operator: &Operator, instances: usize) {
    println!("\ndrift, from when a watch shows it to when it shows it repaired; {}", figures::machine());
    let mut ledger = Ledger::open(operator);
    let numbers = || (0..SAMPLES).map(|sample| name(sample * 7 % instances));
    let mut series = Vec::new();
    for name in numbers() {
        series.push(deleted::<ConfigMap>(place, &name).await);
    }
    println!("  ConfigMap deleted      {}", figures::quantiles(mem::take(&mut series)));
    for name in numbers() {
        series.push(deleted::<Service>(place, &name).await);
    }
    println!("  Service deleted        {}", figures::quantiles(mem::take(&mut series)));
    for name in numbers() {
        series.push(deleted::<StatefulSet>(place, &name).await);
    }
    println!("  StatefulSet deleted    {}", figures::quantiles(mem::take(&mut series)));
    for name in numbers() {
        let edit = json!({"data": {"redis.conf": "edited"}});
        let is = |map: &ConfigMap| map.data.as_ref().is_some_and(|data| data["redis.conf"] == "edited");
        series.push(edited(place, &name, edit, is).await);
    }
    println!("  ConfigMap edited       {}", figures::quantiles(mem::take(&mut series)));
    for name in numbers() {
        let is = |set: &StatefulSet| set.spec.as_ref().is_some_and(|spec| spec.replicas == Some(0));
        series.push(edited(place, &name, json!({"spec": {"replicas": 0}}), is).await);
    }
    println!("  StatefulSet scaled     {}", figures::quantiles(mem::take(&mut series)));

    let many = instances.div_ceil(10);
    let begun = Instant::now();
    let services = stream::iter((0..many).map(name)).map(|name| async move { deleted::<Service>(place, &name).await });
    let repairs: Vec<f64> = services.buffer_unordered(many).collect().await;
    println!(
        "  {many} Services at once  {}, all after {:.2} s",
        figures::quantiles(repairs),
        begun.elapsed().as_secs_f64()
    );
    all_running(place, instances).await;
    ledger.quiet().await;
    ledger.print(instances);
}

/// Deletes a child and answers the milliseconds until there is another.
async fn deleted<K: Namespaced>(place: &Place, name: &str) -> f64 {
    let change = async {
        place.delete::<K>(name).await;
    };
    timed(place, name, change, |event: &Event<K>| matches!(event, Event::Delete(_))).await
}

/// Edits a child and answers the milliseconds until the edit is undone.
async fn edited<K: Namespaced>(place: &Place, name: &str, edit: Value, is: impl Fn(&K) -> bool) -> f64 {
    let change = async {
        place.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(edit)).await.unwrap();
    };
    timed(place, name, change, |event: &Event<K>| matches!(event, Event::Apply(child) if is(child))).await
}

/// Milliseconds from the first event of the drift to the first one after it that shows the child there and without it.
async fn timed<K: Namespaced>(
    place: &Place,
    name: &str,
    change: impl Future<Output = ()>,
    drift: impl Fn(&Event<K>) -> bool,
) -> f64 {
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = pin!(watcher(place.api::<K>(), only));
    // What happens after this list is shown by the watch, however late that begins.
    while !matches!(events.next().await.unwrap().unwrap(), Event::InitDone) {}
    let repair = async {
        let mut drifted = None;
        while let Some(event) = events.next().await {
            let event = event.unwrap();
            match drifted {
                None if drift(&event) => drifted = Some(Instant::now()),
                Some(since) if !drift(&event) => return Instant::now().duration_since(since).as_secs_f64() * 1000.0,
                _ => {}
            }
        }
        unreachable!("a watch does not end");
    };
    let both = timeout(DEADLINE, async { tokio::join!(change, repair).1 });
    both.await.unwrap_or_else(|_| panic!("the drift of {} {name} was not repaired within {DEADLINE:?}", K::kind(&())))
}
