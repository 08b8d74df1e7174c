//! YAML into nodes, document by document, as kubectl would read it: aliases and merge keys resolved, keys as text. A
//! document with a fault does not hide the others. Knows the form only; what a plain scalar is worth, `scalar` says.

use std::{borrow::Cow, collections::BTreeMap};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use thiserror::Error;

use super::{
    node::{Content, Entry, Node},
    scalar,
};

/// The most values one document may hold once its aliases are written out: a few lines can stand for billions.
const VALUE_LIMIT: usize = 200_000;
/// The deepest nesting, as in the JSON that the API server takes.
const DEPTH_LIMIT: usize = 128;

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Unreadable {
    /// The line that cannot be read, from 1; 0 where it is not known.
    pub line: usize,
    /// The error message.
    pub message: String,
}

impl Unreadable {
    fn at(span: Span, message: impl Into<String>) -> Self {
        Self { line: span.start.line(), message: message.into() }
    }
}

impl From<ScanError> for Unreadable {
    fn from(error: ScanError) -> Self {
        Self { line: error.marker().line(), message: error.info() }
    }
}

/// Every document of the text that is not empty, or why it cannot be read.
#[must_use]
pub fn documents(text: &str) -> Vec<Result<Node, Unreadable>> {
    let options = granit_parser::options! { emit_comments: false, block_scalar_eof_without_line_feed: true };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut documents = Vec::new();
    loop {
        let mut reader = Reader { parser: &mut parser, anchors: BTreeMap::new(), values: 0 };
        match reader.document() {
            Ok(None) => return documents,
            Ok(Some(node)) if node.content == Content::Null => {}
            Ok(Some(node)) => documents.push(Ok(node)),
            Err(error) => {
                documents.push(Err(error));
                match parser.proceed_next_document() {
                    Ok(true) => {}
                    Ok(false) => return documents,
                    Err(error) => {
                        documents.push(Err(error.into()));
                        return documents;
                    }
                }
            }
        }
    }
}

struct Reader<'p, 'text> {
    parser: &'p mut Parser<'text, StrInput<'text>>,
    anchors: BTreeMap<usize, Node>,
    values: usize,
}

impl<'text> Reader<'_, 'text> {
    fn next(&mut self) -> Result<(Event<'text>, Span), Unreadable> {
        match self.parser.next_event() {
            Some(event) => Ok(event?),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The next document; `None` at the end of the text.
    fn document(&mut self) -> Result<Option<Node>, Unreadable> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentEnd, _) => {}
                (Event::DocumentStart(_, Some(version)), span) if (version.major, version.minor) != (1, 1) => {
                    return Err(Unreadable::at(span, "found incompatible YAML document: kubectl reads YAML 1.1"));
                }
                (Event::DocumentStart(..), _) => {
                    let (event, span) = self.next()?;
                    return self.node(event, span, 0).map(Some);
                }
                (_, _) => return Ok(None),
            }
        }
    }

    fn node(&mut self, event: Event<'text>, span: Span, depth: usize) -> Result<Node, Unreadable> {
        self.values += 1;
        if depth > DEPTH_LIMIT {
            return Err(Unreadable::at(span, format!("is nested more than {DEPTH_LIMIT} deep")));
        }
        let line = span.start.line();
        let (content, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar_content(text, style, tag.as_deref(), span)?, anchor),
            Event::SequenceStart(_, anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(depth)?, anchor),
            Event::Alias(id) => {
                let node = self.anchors.get(&id).ok_or_else(|| Unreadable::at(span, "an anchor contains itself"))?;
                let content = node.content.clone();
                self.values += size(&content);
                (content, 0)
            }
            _ => (Content::Null, 0),
        };
        if self.values > VALUE_LIMIT {
            return Err(Unreadable::at(
                span,
                format!("holds more than {VALUE_LIMIT} values once aliases are written out"),
            ));
        }
        let node = Node { line, content };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Content, Unreadable> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Content::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Content, Unreadable> {
        let mut entries = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Content::Map(entries));
            }
            let merge = is_merge(&event);
            let key = self.node(event, span, depth + 1)?;
            let (event, value_span) = self.next()?;
            let node = self.node(event, value_span, depth + 1)?;
            if merge {
                entries.extend(
                    merged(node).ok_or_else(|| {
                        Unreadable::at(span, "map merge requires map or sequence of maps as the value")
                    })?,
                );
            } else {
                entries.push(Entry { key: key_text(key, span)?, line: span.start.line(), merged: false, node });
            }
        }
    }
}

/// The name of a tag of YAML's own.
fn yaml_kind(tag: &Tag) -> Option<Cow<'_, str>> {
    tag.suffix_in_namespace("tag:yaml.org,2002:")
}

fn is_merge(event: &Event<'_>) -> bool {
    let Event::Scalar(text, ScalarStyle::Plain, _, tag) = event else { return false };
    text == "<<" && tag.as_deref().is_none_or(|tag| yaml_kind(tag).as_deref() == Some("merge"))
}

/// The entries of one mapping or of several, of which the first has precedence: the last entry of a key holds.
fn merged(node: Node) -> Option<Vec<Entry>> {
    match node.content {
        Content::Map(entries) => Some(entries.into_iter().map(|entry| Entry { merged: true, ..entry }).collect()),
        Content::List(items) => {
            let maps: Option<Vec<_>> = items
                .into_iter()
                .rev()
                .map(|item| if matches!(item.content, Content::Map(_)) { merged(item) } else { None })
                .collect();
            maps.map(|maps| maps.concat())
        }
        _ => None,
    }
}

fn size(content: &Content) -> usize {
    match content {
        Content::List(items) => items.iter().map(|item| 1 + size(&item.content)).sum(),
        Content::Map(entries) => entries.iter().map(|entry| 2 + size(&entry.node.content)).sum(),
        _ => 0,
    }
}

/// Only unquoted scalars are looked at; a tag of YAML's own says what it is.
fn scalar_content(
    text: Cow<'_, str>,
    style: ScalarStyle,
    tag: Option<&Tag>,
    span: Span,
) -> Result<Content, Unreadable> {
    let resolved = || scalar::resolve(&text).map_err(|message| Unreadable::at(span, message));
    let Some(kind) = tag.and_then(yaml_kind) else {
        // A custom tag leaves the value a string.
        return if style == ScalarStyle::Plain && tag.is_none() {
            resolved()
        } else {
            Ok(Content::Text(text.into_owned()))
        };
    };
    match kind.as_ref() {
        "str" | "timestamp" => return Ok(Content::Text(text.into_owned())),
        "merge" if text == "<<" => return Ok(Content::Text(text.into_owned())),
        _ => {}
    }
    match (kind.as_ref(), resolved()?) {
        ("null", Content::Null) => Ok(Content::Null),
        ("int", content @ Content::Number(_)) if scalar::is_integer(&text) => Ok(content),
        ("bool", content @ Content::Bool(_)) | ("float", content @ Content::Number(_)) => Ok(content),
        (kind, _) => Err(Unreadable::at(span, format!("cannot decode `{text}` as a !!{kind}"))),
    }
}

fn key_text(key: Node, span: Span) -> Result<String, Unreadable> {
    match key.content {
        Content::Text(text) => Ok(text),
        Content::Bool(value) => Ok(value.to_string()),
        Content::Number(number) => Ok(number.to_string()),
        Content::Null => Err(Unreadable::at(span, "a key without text")),
        Content::List(_) | Content::Map(_) => Err(Unreadable::at(span, "a key must be text; quote what holds braces")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Vec<Result<Value, (usize, String)>> {
        documents(text)
            .into_iter()
            .map(|document| document.map(|node| node.to_json()).map_err(|error| (error.line, error.message)))
            .collect()
    }

    #[test]
    fn documents_are_read_one_by_one_and_empty_ones_are_none() {
        assert_eq!(read("# only a comment\n"), []);
        assert_eq!(read("---\n---\na: 1\n--- # note\nb: 2\n...\n"), [Ok(json!({"a": 1})), Ok(json!({"b": 2}))]);
        assert_eq!(read("\u{feff}a: 1\r\nb: x\r\n"), [Ok(json!({"a": 1, "b": "x"}))]);
    }

    #[test]
    fn a_faulty_document_is_told_with_its_line_and_hides_no_other() {
        let read = read("a: 1\n---\nb: [1\nc: 2\n---\nd: 4\n");
        assert_eq!((&read[0], &read[2]), (&Ok(json!({"a": 1})), &Ok(json!({"d": 4}))));
        assert!((3..=5).contains(&read[1].as_ref().unwrap_err().0), "{read:?}");
        assert_eq!(self::read("a: {{ .Values.x }}\n").len(), 1);
        assert!(self::read("a: {{ .Values.x }}\n")[0].is_err());
    }

    #[test]
    fn quotes_tags_aliases_and_merge_keys() {
        let text = "base: &base {v: 1, w: 2}\nquoted: \"yes\"\ntagged: !!str 5\nother: !mine 5\ncopy: *base\nmerged:\n  <<: *base\n  w: 3\nkeys: {yes: 1, 2: b}\nlist:\n  <<: [{x: 1}, {x: 2, z: 3}]\n";
        assert_eq!(
            read(text),
            [Ok(
                json!({"base": {"v": 1, "w": 2}, "quoted": "yes", "tagged": "5", "other": "5", "copy": {"v": 1, "w": 2},
                "merged": {"v": 1, "w": 3}, "keys": {"true": 1, "2": "b"}, "list": {"x": 1, "z": 3}})
            )]
        );
        assert!(read("a: *nowhere\n")[0].is_err() && read("? [a]\n: 1\n")[0].is_err());
    }

    #[test]
    fn a_few_lines_cannot_stand_for_billions_of_values() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
            text.extend([format!("a{level}: &a{level} [{aliases}]\n")]);
        }
        assert!(read(&text)[0].as_ref().unwrap_err().1.contains("aliases"));
        assert!(read(&"[".repeat(10_000))[0].is_err());
    }
}
