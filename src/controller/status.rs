//! Writes the status, in one request, only when it differs; and tells the events that a person cares about.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};

use super::{context::Context, error::Error, events, observe, replication::Roles, seen::version};
use crate::{
    api::{
        self,
        v1::{Phase, RedisInstance, RedisInstanceStatus},
    },
    domain::{
        instance::ValidatedInstance,
        names::{OPERATOR, PROMOTE_ANNOTATION, VOUCHED_ANNOTATION, pod},
        observed::Replication,
        status::{Finding, Subject, derive},
    },
};

/// How long the status of a new instance waits for the StatefulSet's controller, which says the next thing at once: one
/// request then tells both.
const GRACE: Duration = Duration::from_secs(1);

/// What became of a status.
pub(super) enum Told {
    /// It was there already.
    Same,
    /// It was written; the version of the instance, unless more than its status had changed meanwhile.
    Written(Option<u128>),
    /// It waits so long for the next one.
    HeldBack(Duration),
}

/// Derives the status from what this reconcile found, and writes it if it differs from the last one.
pub(super) async fn record(
    stored: &RedisInstance,
    instance: Option<&ValidatedInstance>,
    finding: &Finding,
    roles: Option<&Roles>,
    context: &Context,
) -> Result<Told, Error> {
    let uid = stored.uid().unwrap_or_default();
    let previous = latest(stored, context);
    let mut observed = match finding {
        Finding::Applied(observed) => observed.clone(),
        _ => observe::observe(&stored.namespace().unwrap_or_default(), &stored.name_any(), None, context),
    };
    observed.replication = roles.filter(|_| !matches!(finding, Finding::Deleting)).map(|roles| Replication {
        primary: roles.primary.map(|ordinal| pod(&stored.name_any(), ordinal)),
        aspect: roles.aspect.clone(),
    });
    let subject = Subject { generation: stored.metadata.generation, instance, observed: &observed };
    let status = derive(&previous, subject, finding, &Time(whole_second(Timestamp::now())));
    let now = Instant::now();
    let held_back = context.recall(&uid, |memory| memory.held_back.as_ref().map(|(until, _)| *until));
    match held_back {
        None if status == previous => return Ok(Told::Same),
        Some(until) if status == previous && now < until => return Ok(Told::HeldBack(until - now)),
        None if previous.status == Phase::Unknown && status.status == Phase::Creating => {
            context.remember(&uid, |memory| memory.held_back = Some((now + GRACE, status)));
            return Ok(Told::HeldBack(GRACE));
        }
        _ => {}
    }
    let name = stored.name_any();
    let api: Api<RedisInstance> = Api::namespaced(context.client.clone(), &stored.namespace().unwrap_or_default());
    let patch = serde_json::json!({"apiVersion": format!("{}/v1", api::GROUP), "kind": api::KIND, "status": status});
    let written = match api.patch_status(&name, &PatchParams::apply(OPERATOR).force(), &Patch::Apply(patch)).await {
        Ok(written) => written,
        // Deleted meanwhile: there is nobody to tell.
        Err(kube::Error::Api(refusal)) if refusal.is_not_found() => return Ok(Told::Same),
        Err(error) => return Err(Error::request("patch the status of", api::KIND, &name)(error)),
    };
    remember(&written, &status, context);
    events::status_changed(stored, &previous, &status, context).await;
    Ok(Told::Written(version(&written).filter(|_| differ_in_status_only(stored, &written))))
}

/// Whether nothing that a reconcile reads of an instance was changed by others between two versions of it.
fn differ_in_status_only(one: &RedisInstance, other: &RedisInstance) -> bool {
    let read = |instance: &RedisInstance| {
        let metadata = &instance.metadata;
        (metadata.uid.clone(), metadata.generation, metadata.deletion_timestamp.clone(), vouching(instance))
    };
    read(one) == read(other)
}

/// The annotations that count.
fn vouching(instance: &RedisInstance) -> [Option<String>; 2] {
    [VOUCHED_ANNOTATION, PROMOTE_ANNOTATION].map(|annotation| instance.annotations().get(annotation).cloned())
}

/// Whether the present spec was carried out and proved, by this process or by the one before it.
pub(super) fn is_settled(stored: &RedisInstance, status: &RedisInstanceStatus) -> bool {
    status.status == Phase::Running && status.observed_generation == stored.metadata.generation
}

/// Whether a change of the password was told to be under way.
pub(super) fn is_rotating(status: &RedisInstanceStatus) -> bool {
    status.conditions.iter().any(|held| held.type_ == "PasswordRotated" && held.status != "True")
}

/// The status that is held back; else the one that this process wrote last, as long as the watch has not caught up with
/// it; else the one that the watch shows.
pub(super) fn latest(stored: &RedisInstance, context: &Context) -> RedisInstanceStatus {
    let shown_at = version(stored).unwrap_or(0);
    let known = context.recall(&stored.uid().unwrap_or_default(), |memory| {
        let written = memory.written.as_ref().filter(|(written_at, _)| *written_at > shown_at);
        let held_back = memory.held_back.as_ref().map(|(_, status)| status);
        held_back.or_else(|| written.map(|(_, status)| status)).cloned()
    });
    known.unwrap_or_else(|| stored.status.clone().unwrap_or_default())
}

fn remember(written: &RedisInstance, status: &RedisInstanceStatus, context: &Context) {
    let uid = written.uid().unwrap_or_default();
    let version = version(written).unwrap_or(0);
    context.remember(&uid, |memory| {
        memory.written = Some((version, status.clone()));
        memory.held_back = None;
    });
    context.wrote(&uid, written);
}

/// Times are stored to the second; a finer one would read back as different.
fn whole_second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
