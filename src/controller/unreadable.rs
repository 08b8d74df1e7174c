//! An instance whose stored object cannot be read, as after a downgrade of the operator below its CRD: failover goes on by what
//! runs, and nothing else is done, since the spec is not known.

use std::time::{Duration, Instant};

use kube::{
    ResourceExt,
    core::error_boundary::InvalidObject,
    runtime::{controller::Action, reflector::ObjectRef},
};

use super::{
    context::Context,
    error::{Error, spread},
    relabel, replication,
};
use crate::{
    api::v1::{ConfigValue, Durability, RedisInstance, RedisInstanceSpec, ReplicationSpec},
    domain::{directives::release::Release, effective::Effective, names::CONFIG_KEY},
};

/// When the pods of an instance without a group of several are looked at again.
const RESYNC: Duration = Duration::from_secs(15);
/// Seconds of silence after which a primary is ended, whatever the spec says, which may allow more than the default.
const SILENCE_LIMIT: i32 = 60;
/// How long reconciles fail before the primary counts as unknown.
const LASTING: Duration = Duration::from_secs(10);

/// Keeps one of the running pods the primary.
pub(super) async fn keep(invalid: &InvalidObject, context: &Context) -> Result<Action, Error> {
    let place = ObjectRef::new(invalid.metadata.name.as_deref().unwrap_or_default())
        .within(invalid.metadata.namespace.as_deref().unwrap_or_default());
    let uid = invalid.metadata.uid.clone().unwrap_or_default();
    let live = context.stores.config_maps.get(&place);
    let live = live.filter(|live| live.owner_references().iter().any(|owner| owner.uid == uid));
    let conf = live.as_ref().and_then(|live| live.data.as_ref()?.get(CONFIG_KEY));
    let instance = without_spec(invalid, conf.map(String::as_str));
    let version = instance.resource_version();
    let former = context.remember(&uid, |memory| std::mem::replace(&mut memory.unreadable, version.clone()));
    if former != version {
        tracing::warn!(
            error = %invalid.error,
            "the stored object cannot be read, so that its spec is not applied; failover goes on: correct the object, or use the release of the operator that its CRD belongs to"
        );
    }
    if instance.metadata.deletion_timestamp.is_some() {
        context.forget(&uid);
        context.metrics.roles.forget(&uid);
        context.servers.forget(&instance.namespace().unwrap_or_default(), &instance.name_any());
        return Ok(Action::await_change());
    }
    let began = Instant::now();
    let roles = replication::keep(&instance, context).await.inspect_err(|_| {
        let since = context.remember(&uid, |memory| *memory.failing.get_or_insert(began));
        if since.elapsed() >= LASTING {
            context.metrics.roles.looked(&uid, false, Instant::now());
        }
    })?; // client, redis
    context.remember(&uid, |memory| (memory.failures, memory.failing, memory.outage) = (0, None, false));
    relabel::restore(&instance, context).await; // client
    Ok(Action::requeue(roles.map_or_else(|| spread(RESYNC, &uid), |roles| roles.again)))
}

/// The instance by its metadata and by the redis.conf that its servers have. Where that is not known either, two BUSY answers are of two
/// scripts. The bound is assumed to be in force: a failover then waits until the former primary has stopped to acknowledge writes.
fn without_spec(invalid: &InvalidObject, conf: Option<&str>) -> RedisInstance {
    let config = match conf {
        Some(conf) => {
            let effective = Effective::read(conf, Release::Unknown);
            effective.iter().map(|(name, words)| (name.to_owned(), ConfigValue(words.join(" ")))).collect()
        }
        None => [("busy-reply-threshold".to_owned(), ConfigValue("0".to_owned()))].into(),
    };
    let replication =
        ReplicationSpec { durability: Some(Durability::Bounded), failover_after_seconds: Some(SILENCE_LIMIT) };
    let spec =
        RedisInstanceSpec { replication: Some(replication), config: Some(config), ..RedisInstanceSpec::default() };
    RedisInstance { metadata: invalid.metadata.clone(), spec, status: None }
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use serde_json::json;

    use super::*;
    use crate::domain::replication::fence::Limits;

    #[test]
    fn the_limits_of_a_failover_without_a_readable_spec_are_those_of_the_running_servers() {
        let object = json!({
            "metadata": {"name": "x", "namespace": "shop", "uid": "1", "annotations": {"redis.github.com/promote": "x-1"}},
            "spec": {"replication": {"durability": "OfALaterRelease"}}
        });
        let stored: DeserializeGuard<RedisInstance> = serde_json::from_value(object).unwrap();
        let invalid = stored.0.unwrap_err();
        let conf = "appendonly yes\nrepl-ping-replica-period 10\nbusy-reply-threshold 100\nmin-replicas-max-lag 20\n";
        for (conf, hearing, acknowledging, same_script_ms) in
            [(Some(conf), 21, 20, 100), (Some("appendonly yes\n"), 3, 10, 5000), (None, 3, 10, 0)]
        {
            let instance = without_spec(&invalid, conf);
            assert_eq!((instance.name_any().as_str(), instance.annotations().len()), ("x", 1));
            let limits = Limits::of(&instance.spec);
            assert_eq!((limits.hearing, limits.acknowledging, limits.silence), (hearing, Some(acknowledging), 60));
            assert_eq!(limits.same_script, Duration::from_millis(same_script_ms), "{conf:?}");
        }
    }
}
