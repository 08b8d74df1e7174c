//! Whose object it is that has the name of one of our children. What is not ours is never written to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::{
    api,
    domain::{
        instance::ValidatedInstance,
        names::{INSTANCE_LABEL, OPERATOR, selector_labels},
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
    match controller(metadata) {
        Some(owner) if owner.uid == instance.uid => Holder::Ours,
        Some(owner)
            if owner.kind == api::KIND && owner.name == instance.name && owner.api_version.starts_with(api::GROUP) =>
        {
            Holder::Leaving
        }
        None if is_labelled(metadata, &instance.name) => Holder::Orphan,
        _ => Holder::Foreign,
    }
}

/// Whose a pod is that has the name of one of an instance's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PodHolder {
    /// The StatefulSet's of the instance.
    Ours,
    /// Nobody's, or a StatefulSet's of the same name that is gone: one that was deleted to be made again leaves its pods, and
    /// the StatefulSet controller adopts them. Until then they are neither asked nor written to, and nothing is decided
    /// as if they were not there.
    Unadopted,
    /// Somebody else's, who gave it the instance's label.
    Foreign,
}

/// Whose this pod is, where `set` is the uid of the StatefulSet of the instance `name`.
pub(super) fn pod_holder(metadata: &ObjectMeta, name: &str, set: Option<&str>) -> PodHolder {
    let labels = metadata.labels.as_ref();
    // What the StatefulSet does not select its controller would not adopt.
    if !selector_labels(name).iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value)) {
        return PodHolder::Foreign;
    }
    match controller(metadata) {
        Some(owner) if Some(owner.uid.as_str()) == set => PodHolder::Ours,
        Some(owner) if owner.kind != "StatefulSet" || owner.name != name => PodHolder::Foreign,
        _ => PodHolder::Unadopted,
    }
}

/// Whether this StatefulSet runs the pods of the instance with this name and uid, be it on its way out.
pub(super) fn runs_pods(metadata: &ObjectMeta, name: &str, uid: &str) -> bool {
    controller(metadata).map_or_else(|| is_labelled(metadata, name), |owner| owner.uid == uid)
}

fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Whether it has the labels that our children have.
fn is_labelled(metadata: &ObjectMeta, name: &str) -> bool {
    let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    label("app.kubernetes.io/managed-by") == Some(OPERATOR) && label(INSTANCE_LABEL) == Some(name)
}

/// Whether this is one of our children, to stay.
pub(super) fn is_ours(metadata: &ObjectMeta, instance: &ValidatedInstance) -> bool {
    matches!(holder(metadata, instance), Holder::Ours | Holder::Orphan)
}

/// Whether nobody controls this object: writing to it adopts it.
pub(super) fn is_orphan(metadata: &ObjectMeta) -> bool {
    controller(metadata).is_none()
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

/// What stands in the way of taking over the Secret with the password that nobody owns, where nothing of the instance needs that
/// password: whoever made it would know the password.
pub(super) fn unneeded_secret(name: &str) -> Finding {
    Finding::Stalled(
        Reason::Conflict,
        format!(
            "the name {name} is taken by a Secret that no instance owns and no pod or PersistentVolumeClaim of this instance needs, which was left as it is; delete it, or copy it under another name and set spec.auth.secretName to that name"
        ),
    )
}

/// Whether this object is the instance's with this uid, be it on its way out.
pub(super) fn is_controlled_by(metadata: &ObjectMeta, uid: &str) -> bool {
    controller(metadata).is_some_and(|owner| owner.uid == uid)
}

/// Whether nobody controls this object, which has the labels of the children of an instance of this name.
pub(super) fn is_labelled_orphan(metadata: &ObjectMeta, name: &str) -> bool {
    is_orphan(metadata) && is_labelled(metadata, name)
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

    #[test]
    fn a_pod_is_the_instances_by_the_uid_of_its_stateful_set() {
        let labels = json!({"app": "redis", INSTANCE_LABEL: "cache"});
        let owner = |kind: &str, name: &str, uid: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}]);
        let of = |labels: &Value, owners: Value, set| {
            let metadata = json!({"name": "cache-1", "labels": labels, "ownerReferences": owners});
            pod_holder(&serde_json::from_value(metadata).unwrap(), "cache", set)
        };
        assert_eq!(of(&labels, owner("StatefulSet", "cache", "set"), Some("set")), PodHolder::Ours);
        // Left by one that was deleted, or about to be collected with it.
        assert_eq!(of(&labels, json!([]), Some("set")), PodHolder::Unadopted);
        assert_eq!(of(&labels, owner("StatefulSet", "cache", "former"), Some("set")), PodHolder::Unadopted);
        assert_eq!(of(&labels, owner("StatefulSet", "cache", "set"), None), PodHolder::Unadopted);
        // Planted.
        let label = json!({INSTANCE_LABEL: "cache"});
        assert_eq!(of(&labels, owner("ReplicaSet", "cache", "x"), Some("set")), PodHolder::Foreign);
        assert_eq!(of(&labels, owner("StatefulSet", "other", "x"), Some("set")), PodHolder::Foreign);
        assert_eq!(of(&label, json!([]), Some("set")), PodHolder::Foreign);
        assert_eq!(of(&label, owner("StatefulSet", "cache", "set"), Some("set")), PodHolder::Foreign);
    }

    #[test]
    fn a_stateful_set_of_somebody_else_runs_no_pod_of_the_instance() {
        let runs = |metadata: Value| runs_pods(&serde_json::from_value(metadata).unwrap(), "cache", "uid");
        assert!(runs(owned("RedisInstance", "cache", "uid")));
        assert!(!runs(owned("RedisInstance", "cache", "former")));
        assert!(!runs(owned("Deployment", "cache", "another")));
        assert!(!runs(json!({"labels": {INSTANCE_LABEL: "cache"}})));
        let ours = json!({"app.kubernetes.io/managed-by": OPERATOR, INSTANCE_LABEL: "cache"});
        assert!(runs(json!({"labels": ours})));
    }
}
