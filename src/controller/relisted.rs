//! What a watch changed, told when the store shows it: a list that is begun anew is told as a whole, once it is complete, and
//! with what it lacks. kube tells each object of a list as it comes, when the store does not have it yet, so that a
//! reconcile called by it finds nothing and is lost; and it never tells what went while the watch was away.

use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use kube::{
    Resource,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher::{self, Event},
    },
};

/// The objects that changed or went. `shown` is filled by the same events, before they come here.
pub(super) fn changes<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    shown: Store<K>,
) -> impl Stream<Item = Result<Arc<K>, watcher::Error>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let mut listing = Listing::default();
    events.flat_map(move |event| {
        let changes = match event {
            Ok(event) => listing.take(event, &shown).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(changes)
    })
}

/// What there was before a list that is under way. The list itself is in the store when it is complete.
struct Listing<K>(Vec<Arc<K>>);

impl<K> Default for Listing<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Listing<K> {
    fn take(&mut self, event: Event<K>, shown: &Store<K>) -> Vec<Arc<K>> {
        match event {
            // The store keeps what it had until the list is complete.
            Event::Init => {
                self.0 = shown.state();
                Vec::new()
            }
            Event::InitApply(_) => Vec::new(),
            Event::InitDone => {
                let mut told = shown.state();
                let there = |object: &Arc<K>| shown.get(&ObjectRef::from_obj(object.as_ref())).is_some();
                told.extend(std::mem::take(&mut self.0).into_iter().filter(|object| !there(object)));
                told
            }
            Event::Apply(object) | Event::Delete(object) => vec![Arc::new(object)],
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{ResourceExt, runtime::reflector};

    use super::*;

    fn object(name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object
    }

    #[test]
    fn a_list_is_told_when_the_store_has_it_and_with_what_went() {
        let (reader, mut writer) = reflector::store();
        let mut listing = Listing::default();
        let mut told = |event: Event<ConfigMap>| {
            writer.apply_watcher_event(&event);
            let mut names: Vec<String> = listing.take(event, &reader).iter().map(|object| object.name_any()).collect();
            names.sort();
            let there: Vec<String> = reader.state().iter().map(|object| object.name_any()).collect();
            (names, there)
        };
        told(Event::Init);
        assert!(told(Event::InitApply(object("a"))).0.is_empty(), "the store does not have it yet");
        assert_eq!(told(Event::InitDone).0, ["a"]);
        assert_eq!(told(Event::Apply(object("b"))).0, ["b"]);
        told(Event::Init);
        told(Event::InitApply(object("a")));
        told(Event::InitApply(object("new")));
        let (names, there) = told(Event::InitDone);
        assert_eq!(names, ["a", "b", "new"], "what is there, and b, which went while nobody looked");
        assert_eq!(there.len(), 2);
        assert_eq!(told(Event::Delete(object("a"))).0, ["a"]);
    }
}
