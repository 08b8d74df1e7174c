//! The watches on several namespaces as one: what a single watch on all of them would show. It must not know what is
//! watched, nor what for.

use std::collections::{BTreeMap, BTreeSet};

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use kube::{
    Resource, ResourceExt,
    runtime::{
        reflector::Store,
        watcher::{self, Event},
    },
};

type Events<K> = BoxStream<'static, watcher::Result<Event<K>>>;

/// Merges the watches on these namespaces. `shown` is filled by what comes out of here.
pub(super) fn merged<K>(
    watches: Vec<(String, Events<K>)>,
    shown: Store<K>,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let mut merger = Merger::new(watches.iter().map(|(namespace, _)| namespace.clone()));
    let named = watches.into_iter().map(|(namespace, events)| events.map(move |event| (namespace.clone(), event)));
    stream::select_all(named.map(StreamExt::boxed)).flat_map(move |(namespace, event)| {
        let events = match event {
            Ok(event) => merger.take(&namespace, event, &shown).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(events)
    })
}

struct Merger<K> {
    /// The namespaces that have not been listed to their end, not even once.
    unlisted: BTreeSet<String>,
    /// What was seen until all have been: a store takes a list only as a whole.
    gathered: BTreeMap<(String, String), K>,
    /// Names that the running list of a namespace has shown.
    listing: BTreeMap<String, BTreeSet<String>>,
}

impl<K: Resource<DynamicType = ()> + Clone> Merger<K> {
    fn new(namespaces: impl Iterator<Item = String>) -> Self {
        Self { unlisted: namespaces.collect(), gathered: BTreeMap::new(), listing: BTreeMap::new() }
    }

    fn take(&mut self, namespace: &str, event: Event<K>, shown: &Store<K>) -> Vec<Event<K>> {
        let is_first = !self.unlisted.is_empty();
        match event {
            Event::Init => {
                self.listing.insert(namespace.to_owned(), BTreeSet::new());
                self.gathered.retain(|(of, _), _| of != namespace);
                Vec::new()
            }
            Event::InitApply(object) => {
                self.listing.entry(namespace.to_owned()).or_default().insert(object.name_any());
                self.apply(namespace, object, is_first)
            }
            Event::Apply(object) => self.apply(namespace, object, is_first),
            Event::Delete(object) if is_first => {
                self.gathered.remove(&(namespace.to_owned(), object.name_any()));
                Vec::new()
            }
            Event::Delete(object) => vec![Event::Delete(object)],
            Event::InitDone if is_first => {
                self.unlisted.remove(namespace);
                self.begin()
            }
            Event::InitDone => {
                let listed = self.listing.remove(namespace).unwrap_or_default();
                let gone = shown.state().into_iter().filter(|object| {
                    object.namespace().as_deref() == Some(namespace) && !listed.contains(&object.name_any())
                });
                gone.map(|object| Event::Delete(object.as_ref().clone())).collect()
            }
        }
    }

    fn apply(&mut self, namespace: &str, object: K, is_first: bool) -> Vec<Event<K>> {
        if !is_first {
            return vec![Event::Apply(object)];
        }
        self.gathered.insert((namespace.to_owned(), object.name_any()), object);
        Vec::new()
    }

    /// The one list of all namespaces, once each has been listed.
    fn begin(&mut self) -> Vec<Event<K>> {
        if !self.unlisted.is_empty() {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.gathered).into_values().map(Event::InitApply);
        [Event::Init].into_iter().chain(all).chain([Event::InitDone]).collect()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::reflector;

    use super::*;

    fn object(namespace: &str, name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some(namespace.to_owned());
        object.metadata.name = Some(name.to_owned());
        object
    }

    /// Feeds events into a merger and gives back what a store then holds, and whether it was ever told a whole list.
    fn after(events: &[(&str, Event<ConfigMap>)]) -> (Vec<String>, bool) {
        let (reader, mut writer) = reflector::store();
        let mut merger = Merger::new(["a", "b"].map(str::to_owned).into_iter());
        let mut whole = false;
        for (namespace, event) in events {
            for merged in merger.take(namespace, event.clone(), &reader) {
                whole |= matches!(merged, Event::InitDone);
                writer.apply_watcher_event(&merged);
            }
        }
        let mut names: Vec<String> = reader
            .state()
            .iter()
            .map(|object| format!("{}/{}", object.namespace().unwrap(), object.name_any()))
            .collect();
        names.sort();
        (names, whole)
    }

    fn listed(namespace: &'static str, names: &[&str]) -> Vec<(&'static str, Event<ConfigMap>)> {
        let all = names.iter().map(|name| Event::InitApply(object(namespace, name)));
        [Event::Init].into_iter().chain(all).chain([Event::InitDone]).map(|event| (namespace, event)).collect()
    }

    #[test]
    fn nothing_is_shown_before_every_namespace_was_listed_and_nothing_of_the_meantime_is_lost() {
        let meantime = [("a", Event::Apply(object("a", "new"))), ("a", Event::Delete(object("a", "old")))];
        let mut events = listed("a", &["old", "kept"]);
        events.extend(meantime);
        assert_eq!(after(&events), (Vec::new(), false));
        events.extend(listed("b", &["other"]));
        assert_eq!(after(&events), (["a/kept", "a/new", "b/other"].map(str::to_owned).to_vec(), true));
    }

    #[test]
    fn a_list_that_is_begun_again_takes_the_place_of_the_first() {
        let mut events = listed("a", &["gone", "kept"]);
        events.extend(listed("a", &["kept"]));
        events.extend(listed("b", &[]));
        assert_eq!(after(&events).0, ["a/kept"]);
    }

    #[test]
    fn a_later_list_of_one_namespace_leaves_the_other_alone() {
        let mut events = listed("a", &["gone", "kept"]);
        events.extend(listed("b", &["other"]));
        events.extend(listed("a", &["kept", "new"]));
        assert_eq!(after(&events).0, ["a/kept", "a/new", "b/other"]);
    }
}
