//! A restart of the operator over instances that are as they should be: what it reads, and that it writes nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::Ledger;
use crate::{
    common::{cluster::Place, operator::Operator},
    figures,
};

/// How long it is looked at. Its first looks at Secrets come ten a second, for longer than that.
const START: Duration = Duration::from_secs(30);

/// Kills the operator, starts another, and prints what that one takes at first.
pub(super) async fn over(place: &Place, mut operator: Operator, instances: usize) -> Operator {
    println!("\noperator killed and started over {instances} instances; {}", figures::machine());
    operator.kill();
    let mut ledger = Ledger::before_the_start(operator.user.clone());
    let begun = Instant::now();
    let operator = Operator::reconciling_only(place).await;
    ledger.of_all(&operator);
    operator.says("watches are synced").await;
    let synced = begun.elapsed().as_secs_f64();
    tokio::time::interval_at(begun + START, START).tick().await;
    ledger.read();
    println!("  watches synced after {synced:.2} s; the first {START:?}:");
    ledger.print(instances);
    operator
}
