//! Writes the status, in one request, only when it differs; and tells the events that a person cares about.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};

use super::{context::Context, error::Error, events, observe};
use crate::{
    api::{
        self,
        v1::{Phase, RedisInstance, RedisInstanceStatus},
    },
    domain::{
        instance::ValidatedInstance,
        names::OPERATOR,
        status::{Finding, Subject, derive},
    },
};

/// Derives the status from what this reconcile found, and writes it if it differs from the last one.
pub(super) async fn record(
    stored: &RedisInstance,
    instance: Option<&ValidatedInstance>,
    finding: &Finding,
    context: &Context,
) -> Result<(), Error> {
    let previous = latest(stored, context);
    let observed = match finding {
        Finding::Applied(observed) => observed.clone(),
        _ => observe::observe(&stored.namespace().unwrap_or_default(), &stored.name_any(), None, context),
    };
    let subject = Subject { generation: stored.metadata.generation, instance, observed: &observed };
    let status = derive(&previous, subject, finding, &Time(whole_second(Timestamp::now())));
    if status == previous {
        return Ok(());
    }
    let name = stored.name_any();
    let api: Api<RedisInstance> = Api::namespaced(context.client.clone(), &stored.namespace().unwrap_or_default());
    let patch = serde_json::json!({"apiVersion": format!("{}/v1", api::GROUP), "kind": api::KIND, "status": status});
    match api.patch_status(&name, &PatchParams::apply(OPERATOR).force(), &Patch::Apply(patch)).await {
        Ok(written) => remember(&written, &status, context),
        // Deleted meanwhile: there is nobody to tell.
        Err(kube::Error::Api(refusal)) if refusal.is_not_found() => return Ok(()),
        Err(error) => return Err(Error::request("patch the status of", api::KIND, &name)(error)),
    }
    events::status_changed(stored, &previous, &status, context).await;
    Ok(())
}

/// Whether the present spec was carried out and proved, by this process or by the one before it.
pub(super) fn is_settled(stored: &RedisInstance, status: &RedisInstanceStatus) -> bool {
    status.status == Phase::Running && status.observed_generation == stored.metadata.generation
}

/// The status that this process wrote last, as long as the watch has not caught up with it; else the one the watch shows.
pub(super) fn latest(stored: &RedisInstance, context: &Context) -> RedisInstanceStatus {
    let shown = stored.status.clone().unwrap_or_default();
    let version = |text: &str| text.parse::<u128>().unwrap_or(0);
    match context.recall(&stored.uid().unwrap_or_default()).written {
        Some((written_at, written))
            if version(&written_at) > version(&stored.resource_version().unwrap_or_default()) =>
        {
            written
        }
        _ => shown,
    }
}

fn remember(written: &RedisInstance, status: &RedisInstanceStatus, context: &Context) {
    let version = written.resource_version().unwrap_or_default();
    context.remember(&written.uid().unwrap_or_default(), |memory| memory.written = Some((version, status.clone())));
}

/// Times are stored to the second; a finer one would read back as different.
fn whole_second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
