//! Validates a change: reports the errors of the new object that the old one did not have, and forbidden changes. Both
//! objects have their defaults filled in. Rules about a single object are in `validate`.

use std::collections::BTreeSet;

use super::{downgrade, field_error::FieldError, migration::obstacle, quantity::Quantity};
use crate::api::v1::{RedisInstance, StorageSpec};

/// Every fault that this change brings in: those of the new object that the old one, `known`, does not have, and what is
/// refused as a change. A fault that the stored object already has, word for word, is not held against a change of
/// something else: an object that a newer rule calls invalid still takes a label (ratcheting).
#[must_use]
pub fn faults(
    old: &RedisInstance,
    known: &[FieldError],
    new: &RedisInstance,
    mut errors: Vec<FieldError>,
) -> Vec<FieldError> {
    let known: BTreeSet<&FieldError> = known.iter().collect();
    errors.retain(|error| !known.contains(error));
    errors.extend(downgrade::fault(old, new));
    let replicas = new.spec.replicas.unwrap_or(1);
    let none = StorageSpec::default();
    let (old, new) = (old.spec.storage.as_ref().unwrap_or(&none), new.spec.storage.as_ref().unwrap_or(&none));
    errors.extend(shrunk(old, new));
    errors.extend(moved(old, new, replicas));
    errors
}

/// Shrinking would need a smaller volume with the same data in it, which no volume plugin offers.
fn shrunk(old: &StorageSpec, new: &StorageSpec) -> Option<FieldError> {
    let (before, after) = (old.size.as_deref()?, new.size.as_deref()?);
    let smaller = Quantity::parse(after).ok()? < Quantity::parse(before).ok()?;
    smaller.then(|| {
        let detail = format!("may not be reduced from {before} to {after}; create a new RedisInstance with the smaller size and move the data");
        FieldError::forbidden("spec.storage.size", detail)
    })
}

/// Volumes can only move to another class if a replica has the data.
fn moved(old: &StorageSpec, new: &StorageSpec, replicas: i32) -> Option<FieldError> {
    let (before, after) = (old.storage_class_name.as_deref(), new.storage_class_name.as_deref());
    let detail = obstacle(after, replicas).filter(|_| before != after)?;
    Some(FieldError::invalid("spec.storage.storageClassName", after.unwrap_or_default(), detail))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::validate::validate;

    fn instance(spec: Value) -> RedisInstance {
        serde_json::from_value(json!({"apiVersion": "redis.github.com/v1", "kind": "RedisInstance",
            "metadata": {"name": "cache", "namespace": "shop"}, "spec": spec}))
        .unwrap()
    }

    fn told(old: Value, new: Value) -> Vec<String> {
        let (old, new) = (instance(old), instance(new));
        let of = |instance: &RedisInstance| validate(instance).err().unwrap_or_default();
        faults(&old, &of(&old), &new, of(&new)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn size_is_compared_by_value_and_may_only_grow() {
        let sized = |size: &str| json!({"image": "redis:7", "storage": {"size": size}});
        assert!(told(sized("1Gi"), sized("1024Mi")).is_empty());
        assert!(told(sized("1Gi"), sized("2Gi")).is_empty());
        assert!(
            told(sized("10Gi"), sized("5Gi"))[0]
                .starts_with("spec.storage.size: Forbidden: may not be reduced from 10Gi to 5Gi")
        );
    }

    #[test]
    fn the_class_of_one_pod_stays_also_from_absent_to_empty() {
        let classed = |class: Option<&str>| json!({"image": "redis:7", "storage": {"storageClassName": class}});
        assert!(told(classed(Some("fast")), classed(Some("fast"))).is_empty());
        for (old, new) in [(Some("a"), Some("b")), (Some("a"), None), (None, Some(""))] {
            assert_eq!(told(classed(old), classed(new)).len(), 1, "{old:?} to {new:?}");
        }
        let replicated =
            |class: &str| json!({"image": "redis:7", "replicas": 2, "storage": {"storageClassName": class}});
        assert!(told(replicated("a"), replicated("b")).is_empty(), "a replica has the data");
        assert_eq!(told(replicated("a"), replicated("")).len(), 1);
    }

    #[test]
    fn a_fault_that_was_there_before_is_not_held_against_another_change() {
        let broken = |extra: &str| json!({"image": "Redis:7", "config": {"maxmemory": extra}});
        assert!(told(broken("1gb"), broken("2gb")).is_empty());
        assert_eq!(told(broken("1gb"), broken("\"")).len(), 1);
        assert_eq!(told(broken("1gb"), json!({"image": "Redis:8"})).len(), 1);
    }
}
