//! Whose object it is that has the name of one of our children. What is not ours is never written to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{
    api,
    domain::{
        instance::ValidatedInstance,
        names::{INSTANCE_LABEL, OPERATOR},
        reason::Reason,
        status::Finding,
    },
};

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// This instance's.
    Ours,
    /// Nobody's any more, and labelled by us for an instance of this name: its owner was deleted without it.
    Orphan,
    /// A deleted instance's of the same name, or on its own way out; it goes by itself.
    Leaving,
    /// Somebody else's.
    Foreign,
}

fn holder(metadata: &ObjectMeta, instance: &ValidatedInstance) -> Holder {
    if metadata.deletion_timestamp.is_some() {
        return Holder::Leaving;
    }
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    match owner {
        Some(owner) if owner.uid == instance.uid => Holder::Ours,
        Some(owner)
            if owner.kind == api::KIND && owner.name == instance.name && owner.api_version.starts_with(api::GROUP) =>
        {
            Holder::Leaving
        }
        None if label("app.kubernetes.io/managed-by") == Some(OPERATOR)
            && label(INSTANCE_LABEL) == Some(&instance.name) =>
        {
            Holder::Orphan
        }
        _ => Holder::Foreign,
    }
}

/// Whether this is one of our children, to stay.
pub(super) fn is_ours(metadata: &ObjectMeta, instance: &ValidatedInstance) -> bool {
    matches!(holder(metadata, instance), Holder::Ours | Holder::Orphan)
}

/// Whether this is one of our own children on its way out: deleted to be made anew, or by hand.
pub(super) fn is_leaving(metadata: &ObjectMeta, instance: &ValidatedInstance) -> bool {
    let owned = metadata.owner_references.iter().flatten().any(|owner| owner.uid == instance.uid);
    owned && metadata.deletion_timestamp.is_some()
}

/// What stands in the way of writing to this object; `None` when it is ours to write.
pub(super) fn obstacle(kind: &str, metadata: &ObjectMeta, instance: &ValidatedInstance) -> Option<Finding> {
    let name = metadata.name.as_deref().unwrap_or_default();
    match holder(metadata, instance) {
        Holder::Ours | Holder::Orphan => None,
        Holder::Leaving => Some(Finding::Waiting(
            Reason::PredecessorLeaving,
            format!("waiting for the former {kind} {name} to be deleted"),
        )),
        Holder::Foreign => Some(Finding::Stalled(
            Reason::Conflict,
            format!(
                "the name {name} is taken by a {kind} that is not this instance's, which was left as it is; rename or delete one of the two"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::instance::tests::validated;

    fn of(metadata: Value) -> Holder {
        holder(&serde_json::from_value(metadata).unwrap(), &validated(json!({})))
    }

    fn owned(kind: &str, name: &str, uid: &str) -> Value {
        json!({"ownerReferences": [{"apiVersion": "redis.github.com/v1", "kind": kind, "name": name, "uid": uid, "controller": true}]})
    }

    #[test]
    fn only_our_own_and_our_orphans_are_written_to() {
        let uid = validated(json!({})).uid;
        assert_eq!(of(owned("RedisInstance", "cache", &uid)), Holder::Ours);
        assert_eq!(of(owned("RedisInstance", "cache", "another")), Holder::Leaving);
        assert_eq!(of(owned("RedisInstance", "other", "another")), Holder::Foreign);
        assert_eq!(of(owned("Deployment", "cache", "another")), Holder::Foreign);
        assert_eq!(of(json!({"labels": {"app": "redis"}})), Holder::Foreign);
        let ours = json!({"app.kubernetes.io/managed-by": "redis-operator", "redis.github.com/instance": "cache"});
        assert_eq!(of(json!({"labels": ours})), Holder::Orphan);
        assert_eq!(of(json!({"labels": ours, "deletionTimestamp": "2026-01-01T00:00:00Z"})), Holder::Leaving);
    }
}
