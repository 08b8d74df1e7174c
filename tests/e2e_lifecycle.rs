//! The life of an instance on a real cluster with real Redis: created, used, changed, damaged, deleted.

mod common;
#[path = "e2e_lifecycle/conflicts.rs"]
mod conflicts;
#[path = "e2e_lifecycle/deletion.rs"]
mod deletion;
#[path = "e2e_lifecycle/drift.rs"]
mod drift;
#[path = "e2e_lifecycle/secret.rs"]
mod secret;
#[path = "e2e_lifecycle/serving.rs"]
mod serving;
#[path = "e2e_lifecycle/storage.rs"]
mod storage;
