//! Stands in for the nodes of a control plane that has none: every pod is Ready as soon as it is there, so that an
//! instance's whole life can be measured. No Redis runs.

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::common::cluster::Place;

/// Pods that are answered at once.
const CONCURRENCY: usize = 8;

/// Makes pods ready until it is dropped.
pub(crate) struct Nodes(JoinHandle<()>);

impl Nodes {
    /// Begins with the pods of this place.
    pub(crate) fn start(place: &Place) -> Self {
        let api: Api<Pod> = place.api();
        let pods = watcher(api.clone(), watcher::Config::default().labels("app=redis"))
            .default_backoff()
            .applied_objects()
            .filter_map(|pod| async { pod.ok().filter(|pod| !is_ready(pod)) });
        Self(tokio::spawn(pods.for_each_concurrent(CONCURRENCY, move |pod| {
            let api = api.clone();
            // One that is gone again, or an API server that is away: the watch shows it anew.
            async move {
                let status = Patch::Merge(ready(&pod));
                drop(api.patch_status(&pod.name_any(), &PatchParams::default(), &status).await);
            }
        })))
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether the pod says that it is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The status that a kubelet gives a pod whose probes succeed.
fn ready(pod: &Pod) -> Value {
    let now = Timestamp::now().to_string();
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
    let conditions: Vec<Value> =
        ["PodScheduled", "Initialized", "ContainersReady", "Ready"].into_iter().map(condition).collect();
    let image = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.clone());
    let container = json!({"name": "redis", "image": image, "imageID": "", "ready": true, "started": true, "restartCount": 0,
        "state": {"running": {"startedAt": now}}});
    json!({"status": {"phase": "Running", "startTime": now, "conditions": conditions, "containerStatuses": [container]}})
}
