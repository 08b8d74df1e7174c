//! Which children need not be compared with what they should be, since they are as they were when that was done. It must not
//! know what is compared.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use kube::Resource;

use super::{
    context::Context,
    seen::{Place, place, version},
};

/// The states in which children of one instance were found to hold all that their own hash stands for.
#[derive(Clone, Debug, Default)]
pub(super) struct Sound(BTreeMap<Place, u128>);

impl Context {
    /// Whether a child in this very state, its status aside, was found to hold all that its own hash stands for.
    pub(super) fn is_sound<K: Resource<DynamicType = ()>>(&self, uid: &str, live: &K) -> bool {
        let sound = self.recall(uid, |memory| memory.sound.0.get(&place(live)).copied());
        sound.is_some() && sound == state(live)
    }

    /// Remembers that it does.
    pub(super) fn found_sound<K: Resource<DynamicType = ()>>(&self, uid: &str, live: &K) {
        let Some(state) = state(live) else { return };
        self.remember(uid, |memory| memory.sound.0.insert(place(live), state));
    }
}

/// What tells one state of an object from another, whatever its status: where the API server counts the changes of the spec,
/// that count and the metadata that people write; else the version.
fn state<K: Resource<DynamicType = ()>>(object: &K) -> Option<u128> {
    let metadata = object.meta();
    let Some(generation) = metadata.generation else { return version(object) };
    let mut state = DefaultHasher::new();
    (generation, &metadata.uid, metadata.deletion_timestamp.is_some()).hash(&mut state);
    (&metadata.labels, &metadata.annotations, &metadata.finalizers).hash(&mut state);
    for owner in metadata.owner_references.iter().flatten() {
        (&owner.api_version, &owner.kind, &owner.name, &owner.uid, owner.controller, owner.block_owner_deletion)
            .hash(&mut state);
    }
    Some(state.finish().into())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::{apps::v1::StatefulSet, core::v1::ConfigMap},
        apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
    };
    use kube::ResourceExt;

    use super::*;

    #[test]
    fn a_status_changes_no_state_and_all_else_does() {
        let set = |change: fn(&mut StatefulSet)| {
            let mut set = StatefulSet::default();
            set.metadata.generation = Some(1);
            set.metadata.resource_version = Some("7".to_owned());
            change(&mut set);
            state(&set)
        };
        let unchanged = set(|_| {});
        assert_eq!(set(|set| set.metadata.resource_version = Some("8".to_owned())), unchanged);
        let changes: [fn(&mut StatefulSet); 6] = [
            |set| set.metadata.generation = Some(2),
            |set| set.metadata.uid = Some("another".to_owned()),
            |set| set.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH)),
            |set| drop(set.labels_mut().insert("app".to_owned(), "other".to_owned())),
            |set| drop(set.annotations_mut().insert("by".to_owned(), "hand".to_owned())),
            |set| set.metadata.owner_references = Some(vec![OwnerReference::default()]),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert_ne!(set(change), unchanged, "change {number}");
        }
        let mut map = ConfigMap::default();
        map.metadata.resource_version = Some("7".to_owned());
        assert_eq!(state(&map), Some(7), "nobody counts what is changed of it");
    }
}
