//! Writes the status, in one request, only when it differs; and tells the events that a person cares about.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};

use super::{context::Context, error::Error, events, observe, pruned::Pruned, replication::Roles, seen::version};
use crate::{
    api::{
        self,
        v1::{Phase, RedisInstance, RedisInstanceStatus},
    },
    domain::{
        instance::ValidatedInstance,
        names::{OPERATOR, PROMOTE_ANNOTATION, VOUCHED_ANNOTATION, pod},
        observed::Replication,
        reason::Reason,
        status::{Finding, Subject, derive},
    },
};

/// How long the first status of an instance waits for the next one, so that one request tells both. Not longer: programs
/// that read conditions take an instance without any for one that is ready.
const FIRST: Duration = Duration::from_millis(300);
/// How long the status of one whose pods merely start waits for them to serve.
const START: Duration = Duration::from_secs(5);

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
        _ => observe::observe((&stored.namespace().unwrap_or_default(), &stored.name_any(), &uid), None, context),
    };
    let beside = context.remember(&uid, |memory| memory.config_beside.take());
    observed.config = observed.config.or(beside);
    observed.replication = roles.filter(|_| !matches!(finding, Finding::Deleting)).map(|roles| Replication {
        primary: roles.primary.map(|ordinal| pod(&stored.name_any(), ordinal)),
        aspect: roles.aspect.clone(),
    });
    observed.writes = context.recall(&uid, |memory| memory.writes.reported());
    let subject = Subject { generation: stored.metadata.generation, instance, observed: &observed };
    let status = derive(&previous, subject, finding, &Time(whole_second(Timestamp::now())));
    let now = Instant::now();
    let since = context.recall(&uid, |memory| memory.held_back.as_ref().map(|(since, _)| *since));
    if since.is_none() && status == previous {
        return Ok(Told::Same);
    }
    let since = since.unwrap_or(now);
    let rest = (since + patience(told(stored, context).status, &status)).saturating_duration_since(now);
    if !rest.is_zero() {
        context.remember(&uid, |memory| memory.held_back = Some((since, status)));
        return Ok(Told::HeldBack(rest));
    }
    let name = stored.name_any();
    let api: Api<Pruned<RedisInstance>> =
        Api::namespaced(context.client.clone(), &stored.namespace().unwrap_or_default());
    let patch = serde_json::json!({"apiVersion": format!("{}/v1", api::GROUP), "kind": api::KIND, "status": status});
    let written = match api.patch_status(&name, &PatchParams::apply(OPERATOR).force(), &Patch::Apply(patch)).await {
        Ok(Pruned(written)) => written,
        // Deleted meanwhile: there is nobody to tell.
        Err(kube::Error::Api(refusal)) if refusal.is_not_found() => return Ok(Told::Same),
        Err(error) => return Err(Error::request("patch the status of", api::KIND, &name)(error)),
    };
    remember(&written, &status, context);
    events::status_changed(stored, &previous, &status, context).await;
    Ok(Told::Written(version(&written).filter(|_| differ_in_status_only(stored, &written))))
}

/// How long a status may wait for one that is about to follow, by the phase that was told last: what is new and starts as
/// it should will soon say more.
fn patience(told: Phase, status: &RedisInstanceStatus) -> Duration {
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    let starts = matches!(status.status, Phase::Creating | Phase::Pending)
        && ready.and_then(|ready| Reason::of(&ready.reason)).is_some_and(|reason| reason.urgency().is_none());
    match (told, status.status) {
        (Phase::Unknown, _) if starts => FIRST,
        (Phase::Creating, Phase::Pending) if starts => START,
        _ => Duration::ZERO,
    }
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
    let held_back = context.recall(&stored.uid().unwrap_or_default(), |memory| {
        memory.held_back.as_ref().map(|(_, status)| status.clone())
    });
    held_back.unwrap_or_else(|| told(stored, context))
}

/// The same without what is held back.
fn told(stored: &RedisInstance, context: &Context) -> RedisInstanceStatus {
    let shown_at = version(stored).unwrap_or(0);
    let written = context.recall(&stored.uid().unwrap_or_default(), |memory| {
        let newer = memory.written.as_ref().filter(|(written_at, _)| *written_at > shown_at);
        newer.map(|(_, status)| status.clone())
    });
    written.unwrap_or_else(|| stored.status.clone().unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

    use super::*;

    #[test]
    fn only_what_starts_as_it_should_waits_for_the_next_status() {
        let ready = |reason: Reason| Condition {
            type_: "Ready".to_owned(),
            status: "False".to_owned(),
            reason: reason.to_string(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        let waits = |told, (phase, reason)| {
            let conditions = vec![ready(reason)];
            patience(told, &RedisInstanceStatus { status: phase, conditions, ..RedisInstanceStatus::default() })
        };
        let creating = (Phase::Creating, Reason::Creating);
        let starting = [(Phase::Pending, Reason::PodsNotReady), (Phase::Pending, Reason::VolumePending)];
        assert_eq!(waits(Phase::Unknown, creating), FIRST);
        for starting in starting {
            assert_eq!(waits(Phase::Unknown, starting), FIRST);
            assert_eq!(waits(Phase::Creating, starting), START);
            for told in [Phase::Running, Phase::Updating, Phase::Failed, Phase::Pending] {
                assert_eq!(waits(told, starting), Duration::ZERO, "{told:?}");
            }
        }
        for told in [
            (Phase::Running, Reason::Ready),
            (Phase::Pending, Reason::Unschedulable),
            (Phase::Pending, Reason::SecretNotFound),
            (Phase::Failed, Reason::Rejected),
            (Phase::Updating, Reason::RollingOut),
        ] {
            assert_eq!(waits(Phase::Unknown, told), Duration::ZERO, "{told:?}");
            assert_eq!(waits(Phase::Creating, told), Duration::ZERO, "{told:?}");
        }
    }
}
