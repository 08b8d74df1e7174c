//! A restart of the operator over instances that are as they should be: what it reads, and that it writes nothing.

use std::time::Instant;

use super::Ledger;
use crate::{
    common::{cluster::Place, operator::Operator},
    figures,
};

/// Kills the operator, starts another, and prints what that one takes until it is at rest.
pub(super) async fn over(place: &Place, mut operator: Operator, instances: usize) -> Operator {
    println!("\noperator killed and started over {instances} instances; {}", figures::machine());
    operator.kill();
    let mut ledger = Ledger::before_the_start(operator.user.clone());
    let begun = Instant::now();
    let operator = Operator::reconciling_only(place).await;
    ledger.of_all(&operator);
    operator.says("watches are synced").await;
    let synced = begun.elapsed().as_secs_f64();
    ledger.quiet().await;
    println!("  watches synced after {synced:.2} s, last request answered after {:.2} s", ledger.last_request());
    ledger.print(instances);
    operator
}
