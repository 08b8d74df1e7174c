//! JSON into nodes: one document, or several one after the other. Keeps keys that are written twice, which the API server
//! refuses. Lines are not known.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;

use super::{
    node::{Content, Entry, Node},
    scalar::json_number,
    yaml::Unreadable,
};

/// Every document of the text.
///
/// # Errors
/// Where the text is not JSON.
pub fn documents(text: &str) -> Result<Vec<Node>, Unreadable> {
    let read = serde_json::Deserializer::from_str(text).into_iter::<Node>();
    read.map(|node| node.map_err(|error| Unreadable { line: error.line(), message: error.to_string() })).collect()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let content = deserializer.deserialize_any(ContentVisitor)?;
        Ok(Self { line: 0, content })
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Number(Number::from(value)))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Number(Number::from(value)))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Number(json_number(value)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Content::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = pairs.next_entry()? {
            entries.push(Entry { key, line: 0, merged: false, node });
        }
        Ok(Content::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn several_documents_and_repeated_keys() {
        let nodes = documents("{\"a\": 1.0, \"b\": [null, true, \"x\"]}\n{\"a\": 1, \"a\": -2}").unwrap();
        assert_eq!(nodes[0].to_json(), json!({"a": 1, "b": [null, true, "x"]}));
        assert_eq!((nodes[1].to_json(), nodes[1].duplicates().len()), (json!({"a": -2}), 1));
        assert_eq!(documents("{\n\"a\": }").unwrap_err().line, 2);
        assert!(documents(&"[".repeat(10_000)).is_err());
    }
}
