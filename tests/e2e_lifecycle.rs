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

use k8s_openapi::api::core::v1::Pod;

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
