//! Many instances on an API server without a node: their creation, a while at rest, a restart of the operator, drift, and
//! an API server that goes away. Figures only; nothing here fails because something is slow.
//!
//! `INSTANCES` (1000), `IDLE_SECONDS` (120) and `OUTAGE_SECONDS` (0: left out) say how much.

mod drift;
mod ledger;
mod outage;
mod peers;
mod restart;
mod storm;

use std::{env, time::Duration};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::ListParams;
use redis_operator::api::v1::{Phase, RedisInstance};
use tokio::time::Instant;

use self::ledger::Ledger;
use crate::{
    common::{cluster::Place, operator::Operator},
    figures,
    nodes::Nodes,
};

/// Runs all of it in this place, with an operator of its own.
pub(crate) async fn measure(place: &Place) {
    let (instances, idle, away) = (number("INSTANCES", 1000), number("IDLE_SECONDS", 120), number("OUTAGE_SECONDS", 0));
    let _nodes = Nodes::start(place);
    let operator = Operator::reconciling_only(place).await;
    operator.says("watches are synced").await;

    storm::creation(place, &operator, instances).await;
    println!("{}", peers::PEERS);
    all_bound(place, instances).await;
    rest(&operator, instances, Duration::from_secs(idle.try_into().unwrap())).await;
    let operator = restart::over(place, operator, instances).await;
    drift::repaired(place, &operator, instances).await;
    if away > 0 {
        Box::pin(outage::survived(place, &operator, instances, Duration::from_secs(away.try_into().unwrap()))).await;
    }
}

/// A number from the environment.
fn number(variable: &str, default: usize) -> usize {
    env::var(variable).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number, not {text:?}"))
    })
}

/// Prints what the operator takes while nothing happens.
async fn rest(operator: &Operator, instances: usize, time: Duration) {
    println!("\nat rest for {time:?}; {}", figures::machine());
    let mut ledger = Ledger::open(operator);
    tokio::time::interval_at(Instant::now() + time, time).tick().await;
    ledger.read();
    ledger.print(instances);
}

/// How many instances serve, by their status.
async fn running(place: &Place) -> usize {
    let cached = ListParams::default().match_any();
    let Ok(instances) = place.api::<RedisInstance>().list(&cached).await else { return 0 };
    let serves = |instance: &&RedisInstance| {
        instance.metadata.deletion_timestamp.is_none()
            && instance.status.as_ref().is_some_and(|status| status.status == Phase::Running)
    };
    instances.iter().filter(serves).count()
}

/// Waits until as many instances serve.
pub(crate) async fn all_running(place: &Place, instances: usize) {
    patiently(&format!("{instances} instances in phase Running"), || async {
        (running(place).await >= instances).then_some(())
    })
    .await;
}

/// Waits until as many claims are bound, so that the objects change no more.
pub(crate) async fn all_bound(place: &Place, claims: usize) {
    patiently(&format!("{claims} claims in phase Bound"), || async {
        let all = place.api::<PersistentVolumeClaim>().list(&ListParams::default().match_any()).await.ok()?;
        let bound = |claim: &&PersistentVolumeClaim| {
            claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
        };
        (all.iter().filter(bound).count() >= claims).then_some(())
    })
    .await;
}

/// Asks until there is an answer, for up to a quarter of an hour: twice a second, or as seldom as it takes for the asking to
/// be a tenth of the time, which a list of thousands is not to exceed where something else is measured.
async fn patiently<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_mins(15), "no {what} within a quarter of an hour");
        tokio::time::sleep_until(asked + Duration::from_millis(500).max(asked.elapsed() * 10)).await;
    }
}

/// Name of the instance with this number.
fn name(number: usize) -> String {
    format!("cache-{number}")
}
