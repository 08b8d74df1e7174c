//! Objects as the API server sends them, without what nobody here reads: it is passed over while the text is parsed, and
//! so never becomes a tree of values. A third of an object is who owns which field. Must not know what the rest is for.

use std::{borrow::Cow, fmt};

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Resource, core::error_boundary::InvalidObject};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, IgnoredAny, IntoDeserializer, MapAccess, Visitor},
};
use serde_json::Value;

use super::{Stored, kept, parts::Parts};
use crate::api::v1::{RedisInstance, RedisInstanceSpec, RedisInstanceStatus};

/// Which fields are passed over: of an object, and of its metadata.
#[derive(Clone, Copy)]
struct Unread {
    here: &'static [&'static str],
    metadata: &'static [&'static str],
}

const METADATA: &[&str] = &["managedFields"];
const NOTHING: &[&str] = &[];

/// An object that is read without some of its fields, and written as it is.
#[derive(Clone, Debug)]
pub(super) struct Pruned<K>(pub(super) K);

/// How a kind is read.
pub(super) trait Prune: Sized {
    /// Reads an object without the fields that nobody reads.
    fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Self, D::Error>;
}

macro_rules! without {
    ($($kind:ty: $fields:expr),*) => {$(
        impl Prune for $kind {
            fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
                let mut object = Self::deserialize(Pruning { source, unread: Unread { here: $fields, metadata: METADATA } })?;
                kept::reduce(object.meta_mut(), Some(kept::CHILD));
                Ok(object)
            }
        }
    )*};
}
without! {
    ConfigMap: NOTHING, Service: NOTHING, StatefulSet: NOTHING, PodDisruptionBudget: NOTHING,
    PersistentVolumeClaim: NOTHING, Secret: NOTHING, RedisInstance: NOTHING
}

impl Prune for Pod {
    /// What a pod was made from is its StatefulSet's to tell.
    fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let mut pod = Self::deserialize(Pruning { source, unread: Unread { here: &["spec"], metadata: METADATA } })?;
        kept::reduce_pod(&mut pod);
        Ok(pod)
    }
}

impl Prune for Stored {
    /// One that cannot be read is an error of that instance, for which its metadata has to do.
    fn read<'de, D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let Parts { metadata, rest } = Parts::read(source, |_| Some(kept::INSTANCE))?;
        let Some(rest) = rest else {
            let error = format!("spec and status have more than {} bytes", kept::INSTANCE.fields);
            return Ok(Self(Err(InvalidObject { error, metadata })));
        };
        // A value first: its errors do not tell a position in a text that nobody sees.
        let read = serde_json::from_str::<Value>(&rest).and_then(|value| Fields::deserialize(&value));
        Ok(Self(match read {
            Ok(Fields { spec, status }) => Ok(RedisInstance { metadata, spec, status }),
            Err(error) => Err(InvalidObject { error: error.to_string(), metadata }),
        }))
    }
}

/// The fields of an instance beside its metadata.
#[derive(Deserialize)]
struct Fields {
    spec: RedisInstanceSpec,
    status: Option<RedisInstanceStatus>,
}

impl<'de, K: Prune> Deserialize<'de> for Pruned<K> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        K::read(source).map(Self)
    }
}

impl<K: Serialize> Serialize for Pruned<K> {
    fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(target)
    }
}

/// Has what wraps an object be of its kind.
macro_rules! of_its_kind {
    ($wrapper:ident, $this:ident: $read:expr, $write:expr) => {
        impl<K: Resource> Resource for $wrapper<K> {
            type DynamicType = K::DynamicType;
            type Scope = K::Scope;

            fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
                K::kind(of)
            }
            fn group(of: &Self::DynamicType) -> Cow<'_, str> {
                K::group(of)
            }
            fn version(of: &Self::DynamicType) -> Cow<'_, str> {
                K::version(of)
            }
            fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
                K::plural(of)
            }
            fn meta(&self) -> &ObjectMeta {
                let $this = self;
                $read
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                let $this = self;
                $write
            }
        }
    };
}
pub(super) use of_its_kind;
of_its_kind!(Pruned, this: this.0.meta(), this.0.meta_mut());

/// Any part of an object: a source of it, a receiver of it, or its fields on their way from one to the other.
struct Pruning<T> {
    source: T,
    unread: Unread,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Pruning<D> {
    type Error = D::Error;

    /// JSON says itself what it is.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.source.deserialize_any(Pruning { source: visitor, unread: self.unread })
    }

    /// That something is there is said around it.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.source.deserialize_option(Pruning { source: visitor, unread: self.unread })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Pruning<V> {
    type Value = V::Value;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.expecting(text)
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.source.visit_none()
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.source.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, source: D) -> Result<V::Value, D::Error> {
        self.source.visit_some(Pruning { source, unread: self.unread })
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.source.visit_map(Reading { source: fields, unread: self.unread, in_metadata: false })
    }
}

/// The fields of an object that are read.
struct Reading<A> {
    source: A,
    unread: Unread,
    in_metadata: bool,
}

/// The name of a field, without a copy where the source has it whole.
#[derive(Deserialize)]
pub(super) struct Name<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Reading<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(Name(name)) = self.source.next_key()? {
            if self.unread.here.contains(&name.as_ref()) {
                self.source.next_value::<IgnoredAny>()?;
                continue;
            }
            self.in_metadata = name == "metadata" && !self.unread.metadata.is_empty();
            return seed.deserialize(name.into_deserializer()).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        if !self.in_metadata {
            return self.source.next_value_seed(seed);
        }
        let unread = Unread { here: self.unread.metadata, metadata: NOTHING };
        self.source.next_value_seed(Pruning { source: seed, unread })
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Pruning<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<S::Value, D::Error> {
        self.source.deserialize(Pruning { source, unread: self.unread })
    }
}

/// The metadata of an object, read without what nobody reads of them.
pub(super) struct Metadata;

impl<'de> DeserializeSeed<'de> for Metadata {
    type Value = ObjectMeta;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<ObjectMeta, D::Error> {
        ObjectMeta::deserialize(Pruning { source, unread: Unread { here: METADATA, metadata: NOTHING } })
    }
}

#[cfg(test)]
mod tests {
    use kube::core::WatchEvent;
    use serde_json::json;

    use super::*;

    /// An object with every field that is passed over.
    fn whole(kind: &str, version: &str, mut object: Value) -> Value {
        object["kind"] = json!(kind);
        object["apiVersion"] = json!(version);
        object["metadata"] = json!({"name": "cache-0", "namespace": "shop", "uid": "u", "labels": {"redis.github.com/instance": "cache"},
            "managedFields": [{"manager": "x", "operation": "Apply", "fieldsV1": {"f:spec": {}}}], "resourceVersion": "7"});
        object
    }

    fn read<K: Prune>(object: &Value) -> Pruned<K> {
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[test]
    fn all_but_the_unread_fields_is_as_it_was_sent() {
        let object =
            whole("ConfigMap", "v1", json!({"data": {"managedFields": "kept", "spec": "kept", "metadata": "kept"}}));
        let mut expected: ConfigMap = serde_json::from_value(object.clone()).unwrap();
        assert!(expected.metadata.managed_fields.take().is_some());
        assert_eq!(read::<ConfigMap>(&object).0, expected);
        assert_eq!(serde_json::to_value(read::<ConfigMap>(&object)).unwrap(), serde_json::to_value(expected).unwrap());
    }

    #[test]
    fn of_a_pod_only_what_it_does_is_read() {
        let object = whole("Pod", "v1", json!({"spec": {"containers": "no list"}, "status": {"phase": "Running"}}));
        let pod = read::<Pod>(&object).0;
        assert_eq!((pod.spec, pod.status.unwrap().phase.as_deref()), (None, Some("Running")));
    }

    #[test]
    fn a_watch_event_is_read_too() {
        let object = whole("Service", "v1", json!({"spec": {"clusterIP": "None"}}));
        let text = json!({"type": "ADDED", "object": object}).to_string();
        let Ok(WatchEvent::Added(Pruned(service))) = serde_json::from_str::<WatchEvent<Pruned<Service>>>(&text) else {
            panic!("{text}")
        };
        assert_eq!(service.metadata.managed_fields, None);
        assert_eq!(service.spec.unwrap().cluster_ip.as_deref(), Some("None"));
    }

    #[test]
    fn an_instance_that_cannot_be_read_is_known_by_its_metadata() {
        let version = "redis.github.com/v1";
        let sound = read::<Stored>(&whole("RedisInstance", version, json!({"spec": {"replicas": 3}}))).0;
        assert_eq!(sound.0.unwrap().spec.replicas, Some(3));
        let broken = read::<Stored>(&whole("RedisInstance", version, json!({"spec": {"replicas": "three"}}))).0;
        assert_eq!(broken.meta().name.as_deref(), Some("cache-0"));
        assert!(broken.0.unwrap_err().error.contains("three"));
        let large = json!({"spec": {"config": {"save": "x".repeat(200_000)}}});
        let large = read::<Stored>(&whole("RedisInstance", version, large)).0;
        assert_eq!(large.meta().name.as_deref(), Some("cache-0"));
        assert!(large.0.unwrap_err().error.contains("more than 131072 bytes"));
    }
}
