//! Lists with their large objects shortened as they arrive. A page is in memory as a whole, and more than once, before it is
//! parsed, and an object can have megabytes: so what a page takes is bounded here, by the number of its objects. Must not
//! know what a list is of.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::api;

/// Objects above this size lose their managed fields and the annotations of other applications, which the operator does
/// not read.
const LONG: usize = 32 << 10;
/// Objects still above this size are reduced to their identity. The StatefulSet of the largest spec is smaller.
const LONGEST: usize = 192 << 10;
/// The longest of its labels, annotations and owners that it then keeps, in bytes of JSON each.
const KEPT: usize = 8 << 10;
/// The metadata fields that are kept.
const IDENTITY: [&str; 8] =
    ["name", "namespace", "uid", "resourceVersion", "deletionTimestamp", "labels", "annotations", "ownerReferences"];
/// The cause of the last change of a StatefulSet's pod template, as `kubectl rollout history` shows it.
const CAUSE: &str = "kubernetes.io/change-cause";
/// Nesting depth of an object in a list: the list, its items, the object.
const OBJECT: usize = 3;

/// The state of a list that is streamed through. Only strings, nesting and the names of the list's own fields are
/// tracked.
#[derive(Debug, Default)]
pub(super) struct Shortener {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// The last string at the depth of the list's own fields, as far as it may be `items`.
    field: Vec<u8>,
    in_items: bool,
    /// The incomplete object: at most a megabyte and a half, and six times that with every letter escaped.
    object: Vec<u8>,
}

impl Shortener {
    /// Returns the text with its large objects shortened; an incomplete object is returned with a later part.
    pub(super) fn pass(&mut self, part: &[u8]) -> Vec<u8> {
        let mut passed = Vec::with_capacity(part.len());
        let mut from = 0;
        for (at, byte) in part.iter().enumerate() {
            let was_object = self.depth >= OBJECT && self.in_items;
            self.step(*byte);
            let is_object = self.depth >= OBJECT && self.in_items;
            if was_object != is_object {
                let rest = part.get(from..=at).unwrap_or_default();
                from = at + 1;
                if is_object {
                    // The brace that begins it is the object's.
                    passed.extend_from_slice(rest.split_last().map_or(rest, |(_, before)| before));
                    self.object.push(*byte);
                } else {
                    self.object.extend_from_slice(rest);
                    if self.object.len() > LONG {
                        passed.extend_from_slice(&shortened(&self.object));
                        self.object = Vec::new();
                    } else {
                        passed.append(&mut self.object);
                    }
                }
            }
        }
        let rest = part.get(from..).unwrap_or_default();
        if self.depth >= OBJECT && self.in_items {
            self.object.extend_from_slice(rest);
        } else {
            passed.extend_from_slice(rest);
        }
        passed
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_string = false,
                _ if self.depth == 1 && self.field.len() <= b"items".len() => self.field.push(byte),
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 {
                    self.field.clear();
                }
            }
            b'[' => {
                self.in_items |= self.depth == 1 && self.field == b"items";
                self.depth += 1;
            }
            b'{' => self.depth += 1,
            b']' | b'}' => {
                self.depth = self.depth.saturating_sub(1);
                self.in_items &= self.depth > 1;
            }
            _ => {}
        }
    }
}

/// The object without the fields that the operator does not read, or reduced to its identity.
fn shortened(object: &[u8]) -> Vec<u8> {
    // Text that is not an object is passed on unchanged; the reader of the list reports the error.
    without_the_unread(object)
        .filter(|text| text.len() <= LONGEST)
        .or_else(|| identity(object))
        .unwrap_or_else(|| object.to_vec())
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

fn without_the_unread(object: &[u8]) -> Option<Vec<u8>> {
    let mut fields: Fields<'_> = serde_json::from_slice(object).ok()?;
    let mut metadata: Fields<'_> = serde_json::from_str(fields.get("metadata")?.get()).ok()?;
    metadata.remove("managedFields");
    let annotations = metadata.get("annotations").map_or("{}", |annotations| annotations.get());
    let mut annotations: Fields<'_> = serde_json::from_str(annotations).ok()?;
    annotations.retain(|name, _| name.starts_with(api::GROUP) || name == CAUSE);
    let annotations = serde_json::value::to_raw_value(&annotations).ok()?;
    metadata.insert("annotations".to_owned(), &annotations);
    let metadata = serde_json::value::to_raw_value(&metadata).ok()?;
    fields.insert("metadata".to_owned(), &metadata);
    text(&fields)
}

fn identity(object: &[u8]) -> Option<Vec<u8>> {
    let mut fields: Fields<'_> = serde_json::from_slice(object).ok()?;
    let mut metadata: Fields<'_> = serde_json::from_str(fields.get("metadata")?.get()).ok()?;
    metadata.retain(|name, value| IDENTITY.contains(&name.as_str()) && value.get().len() <= KEPT);
    let metadata = serde_json::value::to_raw_value(&metadata).ok()?;
    fields.retain(|name, value| ["apiVersion", "kind"].contains(&name.as_str()) && value.get().len() <= KEPT);
    fields.insert("metadata".to_owned(), &metadata);
    // Marks the object as shortened, so that it is not mistaken for a complete one.
    let shortened = serde_json::value::to_raw_value(&true).ok()?;
    fields.insert("shortened".to_owned(), &shortened);
    text(&fields)
}

/// Places the metadata first, because it determines how the remaining fields are decoded.
fn text(fields: &Fields<'_>) -> Option<Vec<u8>> {
    let mut text = Vec::from(b"{");
    let rest = fields.iter().filter(|(name, _)| *name != "metadata");
    for (name, value) in fields.get_key_value("metadata").into_iter().chain(rest) {
        if text.len() > 1 {
            text.push(b',');
        }
        serde_json::to_writer(&mut text, name).ok()?;
        text.push(b':');
        text.extend_from_slice(value.get().as_bytes());
    }
    text.push(b'}');
    Some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn passed(list: &str, part: usize) -> String {
        let mut shortener = Shortener::default();
        let parts = list.as_bytes().chunks(part).flat_map(|part| shortener.pass(part));
        String::from_utf8(parts.collect()).unwrap()
    }

    fn list(items: Vec<Value>) -> Value {
        json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "items": ["[{"]}, "items": items})
    }

    #[test]
    fn a_list_of_small_objects_goes_through_as_it_is() {
        let odd = json!({"metadata": {"name": "a"}, "data": {"x": "}]\"\\", "items": [[{"items": []}], "\\\""]}, "empty": {}});
        for list in [
            list(vec![]),
            list(vec![odd.clone(), json!({}), odd.clone()]),
            json!({"items": null}),
            json!({"items": {"a": {}}}),
            json!({"x": "items", "y": [[{}]], "items": [odd]}),
            json!([]),
        ] {
            let text = serde_json::to_string_pretty(&list).unwrap();
            for part in [1, 2, 7, 4096] {
                assert_eq!(passed(&text, part), text, "in parts of {part}");
            }
        }
        assert_eq!(passed("no JSON at all ]]}}", 3), "no JSON at all ]]}}");
    }

    #[test]
    fn a_large_object_loses_copies_first_and_then_all_but_who_it_is() {
        let small = json!({"metadata": {"name": "small"}, "data": {"x": "1"}});
        let object = |data: usize, copies: usize| {
            json!({"metadata": {"name": "large", "uid": "u", "labels": {"a": "b"}, "managedFields": ["x".repeat(copies)],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x".repeat(copies), "redis.github.com/kept": "1"}, "finalizers": ["x".repeat(data)]},
                "data": {"x": "<".repeat(data)}})
        };
        let shown = |object: Value| -> Value {
            let text = list(vec![small.clone(), object, small.clone()]).to_string();
            let passed = passed(&text, 1000);
            assert!(passed.len() < text.len().min(LONGEST * 2));
            let list: Value = serde_json::from_str(&passed).unwrap();
            assert_eq!((&list["items"][0], &list["items"][2]), (&small, &small));
            list["items"][1].clone()
        };
        let copied = shown(object(20_000, 100_000));
        assert_eq!(copied["metadata"]["annotations"], json!({"redis.github.com/kept": "1"}));
        assert_eq!(
            (copied["metadata"].get("managedFields"), copied["data"]["x"].as_str().unwrap().len()),
            (None, 20_000)
        );
        let large = shown(object(900_000, 10));
        assert_eq!(large["shortened"], json!(true));
        assert_eq!((large.get("data"), large["metadata"].get("finalizers")), (None, None));
        assert_eq!((&large["metadata"]["name"], &large["metadata"]["labels"]), (&json!("large"), &json!({"a": "b"})));
    }
}
