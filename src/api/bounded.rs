//! The schema of core/v1's types as a part of ours: every text, list, map and number bounded, every description a
//! line or two. Decides bounds only; names and types are Kubernetes' own.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

/// The longest text: a label key of the longest prefix and name. What it may hold is judged by `domain`, in better words.
const TEXT: i64 = 253 + 1 + 63;
/// The most items of a list and of a map.
const ITEMS: i64 = 32;
/// The most characters of a description that is more than one sentence.
const LINES: usize = 160;
/// The range of the 32-bit integers of Kubernetes.
const INT32: (i64, i64) = (-(1 << 31), (1 << 31) - 1);
/// The largest number that JSON carries unharmed between programs.
const LARGEST: i64 = (1 << 53) - 1;

/// The schema of a type of core/v1, bounded.
pub(super) fn bounded<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    bound(schema.ensure_object());
    schema
}

/// The schema of a list of them.
pub(super) fn list<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let items = bounded::<T>(generator);
    json_schema!({"type": "array", "maxItems": ITEMS, "items": items})
}

fn bound(schema: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = words(text);
    }
    let bounds: &[(&str, i64)] = match schema.get("type").and_then(Value::as_str) {
        Some("string") => &[("maxLength", TEXT)],
        Some("array") => &[("maxItems", ITEMS)],
        Some("object") if schema.contains_key("additionalProperties") => &[("maxProperties", ITEMS)],
        Some("integer") if schema.get("format").is_some_and(|format| format == "int32") => {
            &[("minimum", INT32.0), ("maximum", INT32.1)]
        }
        Some("integer") => &[("minimum", -LARGEST), ("maximum", LARGEST)],
        _ => &[],
    };
    schema.extend(bounds.iter().map(|(keyword, limit)| ((*keyword).to_owned(), (*limit).into())));
    for below in ["items", "additionalProperties"] {
        if let Some(Value::Object(below)) = schema.get_mut(below) {
            bound(below);
        }
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut).for_each(bound);
}

/// As many sentences as fit on a line or two, and at least one: the chapters are in Kubernetes' own documentation.
fn words(text: &str) -> String {
    let paragraph = text.lines().next().unwrap_or_default();
    let paragraph = paragraph.strip_prefix("Required. ").unwrap_or(paragraph);
    let ends = paragraph.match_indices(". ").map(|(at, _)| at + 1).chain([paragraph.len()]);
    // The point of an abbreviation ends no sentence.
    let ends =
        ends.filter(|end| paragraph.get(..*end).is_some_and(|text| !text.ends_with(".g.") && !text.ends_with(".e.")));
    let ends: Vec<usize> = ends.collect();
    let end = ends.iter().rev().find(|end| **end <= LINES).or_else(|| ends.first());
    end.and_then(|end| paragraph.get(..*end)).unwrap_or(paragraph).trim_end_matches('.').to_owned() + "."
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Affinity, Toleration};
    use schemars::generate::SchemaSettings;

    use super::*;

    /// Every schema below this one, with its path.
    fn all(path: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
        found.push((path.to_owned(), schema.clone()));
        for (name, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            all(&format!("{path}.{name}"), below, found);
        }
        for below in ["items", "additionalProperties"].iter().filter_map(|below| schema.get(below)) {
            all(&format!("{path}[]"), below, found);
        }
    }

    #[test]
    fn a_description_is_cut_between_sentences() {
        let (first, long) = ("Rules (e.g. of nodes) for pods.", "x".repeat(LINES));
        assert_eq!(words(&format!("Required. {first} Valid are A, B.\n\nMore.")), format!("{first} Valid are A, B."));
        assert_eq!(words(&format!("{first} {long}. More.")), first);
        assert_eq!((words(&long), words("")), (format!("{long}."), ".".to_owned()));
    }

    #[test]
    fn whatever_can_grow_has_a_bound_and_a_line_of_words() {
        let mut generator =
            SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true).into_generator();
        let (mut found, schemas) =
            (Vec::new(), [bounded::<Affinity>(&mut generator), list::<Toleration>(&mut generator)]);
        for schema in &schemas {
            all("", schema.as_value(), &mut found);
        }
        assert!(found.len() > 60, "only {} schemas", found.len());
        for (path, schema) in found {
            let bound = match schema["type"].as_str().unwrap() {
                "string" => "maxLength",
                "array" => "maxItems",
                "integer" => "maximum",
                _ if schema.get("additionalProperties").is_some() => "maxProperties",
                _ => "properties",
            };
            assert!(schema.get(bound).is_some(), "{path} has no {bound}: {schema}");
            let told = schema["description"].as_str().unwrap_or("none.");
            assert!(told.ends_with('.') && !told.contains('\n') && (3..400).contains(&told.len()), "{path}: {told}");
        }
    }
}
