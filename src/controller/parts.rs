//! An object in two parts: its metadata, and the text of its other fields as far as there is room for it. What there is no
//! room for is passed over while it is parsed, and so never is in memory a second time. Must not know how much room there is.

use std::{fmt, io};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor},
};

use super::{
    kept::{self, Room},
    pruned::{Metadata, Name},
};

/// The most that is kept until the metadata have been read, which come first in what the API server writes.
const UNKNOWN: usize = 192 << 10;
/// A field that `client::shortened` puts into an object in the place of all that it left out.
const SHORTENED: &str = "shortened";

/// An object taken apart.
pub(super) struct Parts {
    pub(super) metadata: ObjectMeta,
    /// A JSON object: the fields but `apiVersion`, `kind` and `metadata`; empty where nothing is kept of them. Nothing where
    /// there was no room for it.
    pub(super) rest: Option<String>,
}

impl Parts {
    /// Takes an object apart, keeping as much of it as `room` says by its metadata.
    pub(super) fn read<'de, D, R>(source: D, room: R) -> Result<Self, D::Error>
    where
        D: Deserializer<'de>,
        R: Fn(&ObjectMeta) -> Option<Room>,
    {
        source.deserialize_map(Parting(room))
    }
}

struct Parting<R>(R);

impl<'de, R: Fn(&ObjectMeta) -> Option<Room>> Visitor<'de> for Parting<R> {
    type Value = Parts;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Parts, A::Error> {
        let mut metadata = ObjectMeta::default();
        let mut rest = Text { bytes: Vec::from(b"{"), room: UNKNOWN, is_cut: false };
        let mut is_kept = true;
        while let Some(Name(name)) = fields.next_key()? {
            match name.as_ref() {
                "apiVersion" | "kind" => drop(fields.next_value::<IgnoredAny>()?),
                "metadata" => {
                    metadata = fields.next_value_seed(Metadata)?;
                    let room = (self.0)(&metadata);
                    kept::reduce(&mut metadata, room);
                    is_kept = room.is_some();
                    rest.room = room.map_or(0, |room| room.fields);
                }
                SHORTENED => {
                    fields.next_value::<IgnoredAny>()?;
                    rest.is_cut = true;
                }
                _ if !is_kept => drop(fields.next_value::<IgnoredAny>()?),
                name => {
                    if rest.bytes.len() > 1 {
                        rest.bytes.push(b',');
                    }
                    serde_json::to_writer(&mut rest.bytes, name).map_err(A::Error::custom)?;
                    rest.bytes.push(b':');
                    fields.next_value_seed(Transcoded(&mut rest))?;
                }
            }
        }
        if !is_kept {
            return Ok(Parts { metadata, rest: Some("{}".to_owned()) });
        }
        if rest.is_cut || rest.bytes.len() > rest.room {
            return Ok(Parts { metadata, rest: None });
        }
        rest.bytes.push(b'}');
        let rest = String::from_utf8(rest.bytes).map_err(A::Error::custom)?;
        Ok(Parts { metadata, rest: Some(rest) })
    }
}

/// A text that takes no more than there is room for, and drops the rest.
struct Text {
    bytes: Vec<u8>,
    room: usize,
    is_cut: bool,
}

impl io::Write for Text {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        self.is_cut |= self.bytes.len() + more.len() > self.room;
        if !self.is_cut {
            self.bytes.extend_from_slice(more);
        }
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A value that goes over into JSON text, whatever it comes from: of an event whose type comes last, serde has made values.
struct Transcoded<'a>(&'a mut Text);

impl<'de> DeserializeSeed<'de> for Transcoded<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        serde_transcode::transcode(source, &mut serde_json::Serializer::new(self.0)).map_err(D::Error::custom)
    }
}
