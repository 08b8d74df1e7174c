//! Stands in for the nodes and the volumes of a control plane that has none: every pod is Ready and every claim is bound as
//! soon as it is there, so that an instance's whole life can be measured. No Redis runs.

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::common::cluster::{Namespaced, Place};

/// Pods, and claims, that are answered at once.
const CONCURRENCY: usize = 8;

/// Makes pods ready and claims bound until it is dropped.
pub(crate) struct Nodes([JoinHandle<()>; 2]);

impl Nodes {
    /// Begins with the pods and claims of this place.
    pub(crate) fn start(place: &Place) -> Self {
        Self([
            tokio::spawn(answered(place.api::<Pod>(), |pod| (!is_ready(pod)).then(|| ready(pod)))),
            tokio::spawn(answered(place.api(), bound)),
        ])
    }
}

/// Gives each object of ours the status that it lacks, for ever.
async fn answered<K: Namespaced>(api: Api<K>, lacking: impl Fn(&K) -> Option<Value>) {
    let shown =
        watcher(api.clone(), watcher::Config::default().labels("app=redis")).default_backoff().applied_objects();
    let answers = shown.filter_map(|object| {
        let answer = object.ok().and_then(|object| Some((object.name_any(), lacking(&object)?)));
        std::future::ready(answer)
    });
    answers
        .for_each_concurrent(CONCURRENCY, |(name, status)| {
            let api = api.clone();
            // The pod is gone again, or the API server is away: the watch delivers it again.
            async move { drop(api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await) }
        })
        .await;
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
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

/// The status that a volume's controller gives a claim that waits for one.
fn bound(claim: &PersistentVolumeClaim) -> Option<Value> {
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.clone();
    (phase != Some("Bound")).then(|| json!({"status": {"phase": "Bound", "capacity": requests}}))
}
