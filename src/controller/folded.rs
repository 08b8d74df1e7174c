//! Objects as they are kept: the metadata, which every reconcile looks at, and the rest as the text it came as until somebody
//! reads it. A StatefulSet takes a tenth of the memory so, and most changes of it are never read. Must not know what is read.

use std::{
    borrow::Cow,
    collections::VecDeque,
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Resource,
    runtime::reflector::{ObjectRef, Store},
};
use serde::{Deserializer, de::DeserializeOwned};

use super::{
    kept,
    parts::Parts,
    pruned::{Prune, of_its_kind},
};

/// How many objects stay read: as many as are read again and again by the reconciles at work.
const READ: usize = 16;

/// An object of which the metadata are read.
pub(super) struct Folded<K> {
    metadata: ObjectMeta,
    /// A JSON object: the fields but `apiVersion`, `kind` and `metadata`. None of what is no child; nothing, which cannot be
    /// read, of what is larger than a child can be.
    rest: Box<str>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Resource + DeserializeOwned> Folded<K> {
    fn unfold(&self) -> serde_json::Result<K> {
        let mut object: K = serde_json::from_str(&self.rest)?;
        *object.meta_mut() = self.metadata.clone();
        Ok(object)
    }
}

impl<K> Folded<K> {
    /// No more of it than this type has room for; nothing where that cannot be read.
    pub(super) fn part<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&self.rest).ok()
    }
}

impl<K> Clone for Folded<K> {
    fn clone(&self) -> Self {
        Self { metadata: self.metadata.clone(), rest: self.rest.clone(), kind: PhantomData }
    }
}

impl<K> fmt::Debug for Folded<K> {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.debug_struct("Folded").field("metadata", &self.metadata).field("rest", &self.rest).finish()
    }
}

of_its_kind!(Folded, this: &this.metadata, &mut this.metadata);

impl<K: Resource<DynamicType = ()>> Prune for Folded<K> {
    fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let kind = K::kind(&());
        let Parts { metadata, rest } = Parts::read(source, |metadata| kept::room(&kind, metadata))?;
        Ok(Self { metadata, rest: rest.unwrap_or_default().into_boxed_str(), kind: PhantomData })
    }
}

/// The objects of one kind as the watch last showed them.
pub(super) struct Shelf<K: Resource<DynamicType = ()> + 'static> {
    folded: Store<Folded<K>>,
    /// Those that were read last, the latest at the end.
    read: Mutex<VecDeque<Arc<K>>>,
}

impl<K> Shelf<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + 'static,
{
    pub(super) fn new(folded: Store<Folded<K>>) -> Self {
        Self { folded, read: Mutex::default() }
    }

    /// Its metadata, if it is there.
    pub(super) fn glance(&self, object: &ObjectRef<K>) -> Option<Arc<Folded<K>>> {
        let name = ObjectRef::new(&object.name);
        self.folded.get(&match &object.namespace {
            Some(namespace) => name.within(namespace),
            None => name,
        })
    }

    /// The whole of it, if it is there.
    pub(super) fn get(&self, object: &ObjectRef<K>) -> Option<Arc<K>> {
        let folded = self.glance(object)?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = &folded.metadata;
        let is_this =
            |read: &&Arc<K>| read.meta().uid == now.uid && read.meta().resource_version == now.resource_version;
        if let Some(known) = read.iter().rev().find(is_this) {
            return Some(Arc::clone(known));
        }
        match folded.unfold() {
            Ok(whole) => {
                let whole = Arc::new(whole);
                if read.len() >= READ {
                    read.pop_front();
                }
                read.push_back(Arc::clone(&whole));
                Some(whole)
            }
            // The API server keeps to its own types. A reconcile that goes on without it is refused its creation, reads
            // it from the API server and fails with what it finds.
            Err(error) => {
                let reason = if folded.rest.is_empty() {
                    "it is larger than a child can be".to_owned()
                } else {
                    error.to_string()
                };
                tracing::error!(kind = %K::kind(&()), child = object.name, reason, "the stored object cannot be read");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Service};
    use kube::{
        ResourceExt,
        core::{ObjectList, WatchEvent},
        runtime::{reflector, watcher::Event},
    };
    use serde_json::{Value, json};

    use super::{
        super::{observe::running, pruned::Pruned},
        *,
    };

    fn object() -> Value {
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "cache", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "labels": {"redis.github.com/instance": "cache", "app.kubernetes.io/managed-by": "redis-operator"},
                "annotations": {"redis.github.com/note": "a \"quoted\"\nline"}, "managedFields": [{"manager": "x"}]},
            "spec": {"clusterIP": "None", "ports": [{"port": 6379, "name": "an \"odd\" one \u{1F600}"}]},
            "status": {"loadBalancer": {}}})
    }

    #[test]
    fn unfolded_it_is_the_object_that_was_sent() {
        let text = object().to_string();
        let Pruned(folded) = serde_json::from_str::<Pruned<Folded<Service>>>(&text).unwrap();
        let mut sent: Service = serde_json::from_str(&text).unwrap();
        assert!(sent.metadata.managed_fields.take().is_some());
        assert_eq!(folded.metadata, sent.metadata);
        assert_eq!(folded.unfold().unwrap(), sent);
        assert!(!folded.rest.contains("managedFields") && !folded.rest.contains("quoted"), "{}", folded.rest);
    }

    #[test]
    fn of_a_stranger_only_whose_it_is_is_kept_and_of_a_child_that_is_too_large_no_field() {
        let read = |change: fn(&mut Value)| {
            let mut object = object();
            change(&mut object);
            let Pruned(folded) = serde_json::from_value::<Pruned<Folded<Service>>>(object).unwrap();
            folded
        };
        let stranger =
            read(|object| object["metadata"]["labels"] = json!({"redis.github.com/instance": "other", "a": "b"}));
        assert_eq!((stranger.rest.as_ref(), stranger.metadata.annotations.as_ref()), ("{}", None));
        assert_eq!(stranger.labels().len(), 1);
        assert_eq!(stranger.unfold().unwrap().spec, None);
        let large = |object: &mut Value| object["spec"]["externalName"] = json!("x".repeat(40_000));
        assert!(read(large).rest.is_empty());
        assert!(read(large).unfold().is_err(), "it is not taken for one without fields");
        assert!(read(|object| object["shortened"] = json!(true)).unfold().is_err());
        assert_eq!(read(large).annotations().len(), 1);
    }

    #[test]
    fn it_is_read_from_lists_and_events() {
        let list = json!({"metadata": {"resourceVersion": "9"}, "items": [object(), object()]}).to_string();
        let list: ObjectList<Pruned<Folded<Service>>> = serde_json::from_str(&list).unwrap();
        assert_eq!(list.items.len(), 2);
        let object = object().to_string();
        for event in
            [format!(r#"{{"type":"ADDED","object":{object}}}"#), format!(r#"{{"object":{object},"type":"ADDED"}}"#)]
        {
            let event: WatchEvent<Pruned<Folded<Service>>> = serde_json::from_str(&event).unwrap();
            let WatchEvent::Added(Pruned(folded)) = event else { panic!("{event:?}") };
            assert_eq!(folded.unfold().unwrap().spec.unwrap().cluster_ip.as_deref(), Some("None"));
        }
    }

    #[test]
    fn a_shelf_shows_the_latest_and_reads_each_once() {
        let (reader, mut writer) = reflector::store();
        let shelf = Shelf::<StatefulSet>::new(reader);
        let place = ObjectRef::new("cache").within("shop");
        let mut shows = |version: &str, replicas: Value| {
            let labels =
                json!({"redis.github.com/instance": "cache", "app.kubernetes.io/managed-by": "redis-operator"});
            let object = json!({"metadata": {"name": "cache", "namespace": "shop", "uid": "u", "resourceVersion": version, "labels": labels},
                "spec": {"replicas": replicas, "selector": {}, "serviceName": "", "template": {}}});
            let Pruned(folded) = serde_json::from_str::<Pruned<Folded<StatefulSet>>>(&object.to_string()).unwrap();
            writer.apply_watcher_event(&Event::Apply(folded));
        };
        assert!(shelf.get(&place).is_none());
        let replicas = |set: &StatefulSet| set.spec.as_ref().unwrap().replicas.unwrap();
        for version in 1..40 {
            shows(&version.to_string(), json!(version));
            let first = shelf.get(&place).unwrap();
            assert_eq!((first.resource_version().unwrap(), replicas(&first)), (version.to_string(), version));
            assert!(Arc::ptr_eq(&first, &shelf.get(&place).unwrap()), "read once");
            assert_eq!(running(&shelf.glance(&place).unwrap()), version, "read in part");
        }
        assert_eq!(shelf.read.lock().unwrap().len(), READ);
        shows("40", json!("three"));
        assert!(shelf.get(&place).is_none(), "what cannot be read is not there");
        let folded = shelf.glance(&place).unwrap();
        assert_eq!((folded.name_any(), running(&folded)), ("cache".to_owned(), 1));
    }
}
