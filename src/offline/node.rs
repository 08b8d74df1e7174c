//! A document with the line of each part, so that errors can name their line and duplicate keys are found. Independent
//! of YAML, JSON and the meaning of the values.

use serde_json::{Map, Number, Value};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Line of the first character, from 1; 0 where it is not known.
    pub line: usize,
    /// The value.
    pub content: Content,
}

/// The kinds of values that JSON has.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// No value.
    Null,
    /// true or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the document, repeated keys included.
    Map(Vec<Entry>),
}

/// One key of a mapping and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Line of the key.
    pub line: usize,
    /// Whether it came in by a YAML merge key, which may be written over.
    pub merged: bool,
    /// The value.
    pub node: Node,
}

/// A key that is written twice in one mapping.
#[derive(Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Path from the document's root.
    pub path: String,
    /// Line of the second one.
    pub line: usize,
}

impl Node {
    /// The value under this key; the last one of several, which is what kubectl sends.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Map(entries) => entries.iter().rev().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as JSON, without lines; of repeated keys the last holds.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(value) => Value::Number(value.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Map(entries) => {
                let entries = entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }

    /// Every key that is written twice, in the order of the document.
    #[must_use]
    pub fn duplicates(&self) -> Vec<Duplicate> {
        let mut found = Vec::new();
        self.collect_duplicates("", &mut found);
        found
    }

    fn collect_duplicates(&self, path: &str, found: &mut Vec<Duplicate>) {
        match &self.content {
            Content::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect_duplicates(&format!("{path}[{index}]"), found);
                }
            }
            Content::Map(entries) => {
                let mut seen = std::collections::BTreeSet::new();
                for entry in entries {
                    let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                    if !entry.merged && !seen.insert(&entry.key) {
                        found.push(Duplicate { path: path.clone(), line: entry.line });
                    }
                    entry.node.collect_duplicates(&path, found);
                }
            }
            _ => {}
        }
    }

    /// The line of a field named as field errors name it (`spec.config[maxmemory]`, `spec.resources.claims[0].name`): that
    /// of its key, or of the nearest part around it that is there.
    #[must_use]
    pub fn line_of(&self, field: &str) -> usize {
        let (mut node, mut line, mut rest) = (self, self.line, field);
        while let Some((step, found, after)) = node.step(rest) {
            (node, line, rest) = (found, step, after);
        }
        line
    }

    /// The longest key, or the index, that the path begins with: keys may have dots and slashes of their own.
    fn step<'a>(&self, path: &'a str) -> Option<(usize, &Self, &'a str)> {
        match &self.content {
            Content::Map(entries) => {
                let path = path.strip_prefix('.').unwrap_or(path);
                let matching = entries.iter().rev().filter_map(|entry| {
                    let after = match path.strip_prefix('[') {
                        Some(inner) => inner.strip_prefix(&entry.key)?.strip_prefix(']')?,
                        None => path.strip_prefix(&entry.key).filter(|after| is_end(after))?,
                    };
                    Some((entry.line, &entry.node, after))
                });
                matching.min_by_key(|(_, _, after)| after.len())
            }
            Content::List(items) => {
                let (index, after) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.get(index.parse::<usize>().ok()?)?;
                Some((item.line, item, after))
            }
            _ => None,
        }
    }
}

fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['.', '['])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::yaml;

    fn node(text: &str) -> Node {
        yaml::documents(text).remove(0).unwrap()
    }

    #[test]
    fn a_field_is_found_by_the_name_that_errors_give_it() {
        let node = node(
            "metadata:\n  name: a\nspec:\n  config:\n    maxmemory: 1gb\n    save: \"\"\n  resources:\n    limits:\n      nvidia.com/gpu: 1\n    claims:\n    - name: x\n    - nam: y\n",
        );
        for (field, line) in [
            ("metadata.name", 2),
            ("spec.config[maxmemory]", 5),
            ("spec.config.save", 6),
            ("spec.config[absent]", 4),
            ("spec.resources.limits[nvidia.com/gpu]", 9),
            ("spec.resources.limits.nvidia.com/gpu", 9),
            ("spec.resources.claims[1].nam", 12),
            ("spec.storage.size", 3),
            ("", 1),
        ] {
            assert_eq!(node.line_of(field), line, "{field}");
        }
    }

    #[test]
    fn keys_written_twice_are_told_and_the_last_one_holds() {
        let node = node("spec:\n  image: a\n  config: {x: 1, x: 2}\n  image: b\n");
        let found: Vec<_> = node.duplicates().into_iter().map(|duplicate| (duplicate.path, duplicate.line)).collect();
        assert_eq!(found, [("spec.config.x".to_owned(), 3), ("spec.image".to_owned(), 4)]);
        assert_eq!(node.to_json(), serde_json::json!({"spec": {"image": "b", "config": {"x": 2}}}));
    }
}
