//! Pods: whether one is ready, and whether it is still the same. Knows no test.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::ListParams};

use super::cluster::Place;

/// The pods of an instance with three replicas that is named `cache`.
pub(crate) const THREE_PODS: [&str; 3] = ["cache-0", "cache-1", "cache-2"];

/// Whether the pod has the condition Ready and is not being deleted.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

impl Place {
    /// The pods of the instance `cache` by name, each with its uid: another uid is another pod.
    pub(crate) async fn pod_uids(&self) -> BTreeSet<(String, String)> {
        let labels = ListParams::default().labels("redis.github.com/instance=cache");
        let pods = self.api::<Pod>().list(&labels).await.unwrap().items;
        pods.iter().filter_map(|pod| Some((pod.name_any(), pod.uid()?))).collect()
    }

    /// Waits until another pod than the one with this uid has this name and is ready.
    pub(crate) async fn wait_for_new_pod(&self, name: &str, former: Option<String>) {
        self.until(name, "new pod", move |pod: Option<&Pod>| {
            pod.is_some_and(|pod| pod.uid() != former && is_ready(pod))
        })
        .await;
    }
}
