//! An instance whose stored object cannot be read, as after a downgrade of the operator below its CRD: failover goes on by what
//! runs, and nothing else is done, since the spec is not known.

use kube::{ResourceExt, core::error_boundary::InvalidObject, runtime::controller::Action};

use super::{context::Context, error::Error, relabel, replication};
use crate::api::v1::{Durability, RedisInstance, RedisInstanceSpec, ReplicationSpec};

/// Keeps one of the running pods the primary.
pub(super) async fn keep(invalid: &InvalidObject, context: &Context) -> Result<Action, Error> {
    let instance = without_spec(invalid);
    let uid = instance.uid().unwrap_or_default();
    let version = instance.resource_version();
    let former = context.remember(&uid, |memory| std::mem::replace(&mut memory.unreadable, version.clone()));
    if former != version {
        tracing::warn!(
            error = %invalid.error,
            "the stored object cannot be read, so that its spec is not applied; failover goes on: correct the object, or use the release of the operator that its CRD belongs to"
        );
    }
    if instance.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let roles = replication::keep(&instance, context).await?; // client, redis
    relabel::restore(&instance, context).await; // client
    Ok(roles.map_or_else(Action::await_change, |roles| Action::requeue(roles.again)))
}

/// The instance by its metadata. The bound is assumed to be in force: a failover then waits until the former primary has stopped to
/// acknowledge writes.
fn without_spec(invalid: &InvalidObject) -> RedisInstance {
    let replication = ReplicationSpec { durability: Some(Durability::Bounded), ..ReplicationSpec::default() };
    let spec = RedisInstanceSpec { replication: Some(replication), ..RedisInstanceSpec::default() };
    RedisInstance { metadata: invalid.metadata.clone(), spec, status: None }
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use serde_json::json;

    use super::*;
    use crate::domain::replication::fence::Limits;

    #[test]
    fn a_failover_of_an_instance_without_a_readable_spec_waits_for_the_bound() {
        let object = json!({
            "metadata": {"name": "x", "namespace": "shop", "uid": "1", "annotations": {"redis.github.com/promote": "x-1"}},
            "spec": {"replication": {"durability": "OfALaterRelease"}}
        });
        let stored: DeserializeGuard<RedisInstance> = serde_json::from_value(object).unwrap();
        let instance = without_spec(&stored.0.unwrap_err());
        assert_eq!(instance.name_any(), "x");
        assert_eq!(instance.annotations().len(), 1);
        assert_eq!(Limits::of(&instance.spec).acknowledging, Some(10));
    }
}
