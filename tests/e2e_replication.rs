//! Several pods on a real cluster with real Redis: one primary, the others its replicas. Which pod takes over when the
//! primary dies, what planned changes cost, and what no accident may do to the data.

mod common;
#[path = "e2e_replication/data_loss.rs"]
mod data_loss;
#[path = "e2e_replication/primary_failure.rs"]
mod primary_failure;
#[path = "e2e_replication/roles.rs"]
mod roles;
#[path = "e2e_replication/rollout_and_scaling.rs"]
mod rollout_and_scaling;
#[path = "e2e_replication/switchover.rs"]
mod switchover;
