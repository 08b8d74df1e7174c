//! A part of a review that has to be an object. Where a text stands in its place, serde would repeat all of it in its error,
//! megabytes of it escaped letter by letter. Must not know what the part is.

use std::{fmt, marker::PhantomData};

use serde_json::value::RawValue;

use serde::{
    Deserialize, Deserializer,
    de::{
        Error, MapAccess, Visitor,
        value::{MapAccessDeserializer, UnitDeserializer},
    },
};

/// The error for a string in place of an object.
const TEXT: &str = "invalid type: string, expected an object";

/// An object of this type.
pub(super) struct Part<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(ObjectOnly(PhantomData)).map(Self)
    }
}

/// Reads a field that has to be an object.
pub(super) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(source: D) -> Result<T, D::Error> {
    Part::deserialize(source).map(|Part(object)| object)
}

/// Reads a field that has to be an object, or null.
pub(super) fn optional<'de, T: Deserialize<'de>, D: Deserializer<'de>>(source: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Part<T>>::deserialize(source)?.map(|Part(object)| object))
}

/// Reads a text, or null. One whose JSON is longer than `LIMIT` bytes is malformed, before its escapes are resolved: the API server
/// stores none so long.
pub(super) fn text<'de, const LIMIT: usize, D: Deserializer<'de>>(source: D) -> Result<Option<String>, D::Error> {
    let Some(raw) = Option::<&RawValue>::deserialize(source)? else { return Ok(None) };
    if raw.get().len() > LIMIT {
        return Err(D::Error::custom(format!("a text is longer than {LIMIT} bytes")));
    }
    serde_json::from_str(raw.get()).map_err(D::Error::custom)
}

struct ObjectOnly<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOnly<T> {
    type Value = T;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<T, E> {
        Err(E::custom(TEXT))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        T::deserialize(UnitDeserializer::new())
    }
}
