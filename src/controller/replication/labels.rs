//! The labels that put pods behind the Services: who takes the writes, or is about to, and who answers reads. Written only
//! where they differ.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};

use super::Group;
use crate::{
    controller::{context::Context, error::Error, seen::version},
    domain::names::{OPERATOR, PRIMARY, READS_LABEL, REPLICA, ROLE_LABEL},
};

/// The labels of one pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    /// `None` while it has no role.
    primary: Option<bool>,
    reads: bool,
}

impl Labels {
    pub(super) const fn new(primary: bool, reads: bool) -> Self {
        Self { primary: Some(primary), reads }
    }

    fn of(pod: &Pod) -> Self {
        let role = pod.labels().get(ROLE_LABEL).map(|role| role == PRIMARY);
        Self { primary: role, reads: pod.labels().contains_key(READS_LABEL) }
    }

    pub(super) const fn reads(self) -> bool {
        self.reads
    }

    pub(super) fn is_primary(self) -> bool {
        self.primary == Some(true)
    }
}

/// The labels of a pod: what was written last, until the watch shows it.
pub(super) fn present(group: &Group<'_>, ordinal: i32, context: &Context) -> Option<Labels> {
    let pod = group.object(ordinal)?;
    let uid = pod.uid().unwrap_or_default();
    let written = context.recall(&group.uid, |memory| memory.replication.labels.since(&uid, version(pod)));
    Some(written.unwrap_or_else(|| Labels::of(pod)))
}

/// Brings the labels of a pod to these.
pub(super) async fn ensure(group: &Group<'_>, ordinal: i32, wanted: Labels, context: &Context) -> Result<(), Error> {
    let Some(pod) = group.object(ordinal) else { return Ok(()) };
    if present(group, ordinal, context) == Some(wanted) {
        return Ok(());
    }
    let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
    let role = if wanted.is_primary() { PRIMARY } else { REPLICA };
    let reads = wanted.reads.then_some("true");
    let patch = serde_json::json!({"metadata": {"uid": uid, "labels": {ROLE_LABEL: role, READS_LABEL: reads}}});
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &group.namespace);
    match api.patch_metadata(&name, &params, &Patch::Merge(&patch)).await {
        Ok(written) => {
            tracing::info!(pod = name, role, reads = wanted.reads, "labelled");
            let version = written.metadata.resource_version.as_ref();
            context.remember(&group.uid, |memory| memory.replication.labels.wrote(uid, version, wanted));
            Ok(())
        }
        // Gone, or another pod of this name by now: the watch brings us back.
        Err(kube::Error::Api(status)) if is_another(&status) => Ok(()),
        Err(error) => Err(Error::request("patch", "Pod", &name)(error)),
    }
}

/// What the API server says when there is no such object any more, or another of its name: the uid of one cannot be changed.
pub(super) fn is_another(status: &kube::core::Status) -> bool {
    status.is_not_found() || status.is_conflict() || (status.is_invalid() && status.message.contains("metadata.uid"))
}
