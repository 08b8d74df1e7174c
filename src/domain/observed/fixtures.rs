//! Pods for the unit tests of this module.

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};
use serde_json::{Value, json};

use crate::domain::{observed::observe, reason::Reason};

pub(super) fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "cache-0"}, "status": status})).unwrap()
}

pub(super) fn now() -> Time {
    Time("2026-11-24T10:00:00Z".parse().unwrap())
}

pub(super) fn told(pods: &[&Pod]) -> Option<(Reason, bool, String)> {
    observe(None, pods, &now()).trouble.map(|trouble| (trouble.reason, trouble.stalled, trouble.message))
}

pub(super) fn waiting(reason: &str, ended: &Value) -> Pod {
    pod(json!({"containerStatuses": [{"name": "redis", "image": "", "imageID": "", "ready": false, "restartCount": 2,
        "state": {"waiting": {"reason": reason, "message": "no\nsuch tag"}}, "lastState": {"terminated": ended}}]}))
}
