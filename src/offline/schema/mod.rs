//! The schema of the CustomResourceDefinition against an object: what the API server says before it asks any webhook, in
//! its words. Knows the keywords that our schema uses; a test holds that it uses no other.

mod bounds;
mod strip;

use std::collections::BTreeSet;

use serde_json::Value;

use self::bounds::{beyond, bounds};
pub use self::strip::{Stripped, strip};
use super::path::Path;

/// One fault that the schema finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The keys and indices that lead to it.
    pub path: Path,
    /// apimachinery's name of the cause.
    pub reason: &'static str,
    /// The message, without the field.
    pub message: String,
}

/// Every fault of types, words and bounds.
#[must_use]
pub fn faults(schema: &Value, value: &Value) -> Vec<Fault> {
    let mut found = Vec::new();
    check(schema, value, &Path::default(), &mut found);
    found
}

fn check(schema: &Value, value: &Value, path: &Path, found: &mut Vec<Fault>) {
    let mut fault = |reason, message| found.push(Fault { path: path.clone(), reason, message });
    let expected = types(schema);
    let given = type_of(value);
    let fits = |wanted: &&str| *wanted == given || (*wanted == "number" && given == "integer");
    if !expected.is_empty() && !expected.iter().any(fits) {
        let (field, expected) = (path.field(), expected.join(","));
        let message = format!("Invalid value: \"{given}\": {field} in body must be of type {expected}: \"{given}\"");
        return fault("FieldValueTypeInvalid", message);
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array).filter(|words| !words.contains(value)) {
        let words: Vec<String> = words.iter().map(Value::to_string).collect();
        fault("FieldValueNotSupported", format!("Unsupported value: {value}: supported values: {}", words.join(", ")));
    }
    let over = |keyword: &str, count: usize| {
        let limit = schema.get(keyword).and_then(Value::as_u64)?;
        (u64::try_from(count).unwrap_or(u64::MAX) > limit).then_some(limit)
    };
    match value {
        Value::String(text) => {
            if let Some(limit) = over("maxLength", text.chars().count()) {
                fault("FieldValueTooLong", format!("Too long: may not be more than {limit} bytes"));
            }
            if schema.get("format").is_some_and(|format| format == "date-time")
                && text.parse::<jiff::Timestamp>().is_err()
            {
                fault(
                    "FieldValueInvalid",
                    format!("Invalid value: {value}: must be a time such as 2006-01-02T15:04:05Z"),
                );
            }
        }
        Value::Number(_) => {
            for words in beyond(schema, value) {
                let words = format!("{} in body should be {words}", path.field());
                fault("FieldValueInvalid", format!("Invalid value: {value}: {words}"));
            }
            for bound in bounds(schema).iter().filter(|bound| !bound.holds(value)) {
                fault("FieldValueInvalid", format!("Invalid value: {value}: {}", bound.message));
            }
        }
        Value::Array(items) => {
            if let Some(limit) = over("maxItems", items.len()) {
                fault("FieldValueTooMany", format!("Too many: {}: must have at most {limit} items", items.len()));
            }
            let schema = schema.get("items").unwrap_or(&Value::Null);
            for (index, item) in items.iter().enumerate() {
                check(schema, item, &path.index(index), found);
            }
        }
        Value::Object(fields) => {
            if let Some(limit) = over("maxProperties", fields.len()) {
                fault("FieldValueTooMany", format!("Too many: {}: must have at most {limit} items", fields.len()));
            }
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            for name in required.filter_map(Value::as_str).filter(|name| !fields.contains_key(*name)) {
                let message = "Required value".to_owned();
                found.push(Fault { path: path.key(name), reason: "FieldValueRequired", message });
            }
            let items = schema.get("additionalProperties");
            for (name, value) in fields {
                if let Some(schema) = schema.get("properties").and_then(|known| known.get(name)).or(items) {
                    check(schema, value, &path.key(name), found);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn types(schema: &Value) -> Vec<&str> {
    if schema.get("x-kubernetes-int-or-string").is_some() {
        return vec!["integer", "string"];
    }
    schema.get("type").and_then(Value::as_str).into_iter().collect()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Every keyword of a schema, for the test that holds that none is missed here.
#[must_use]
pub fn keywords(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Some(fields) = schema.as_object() {
        for (keyword, below) in fields {
            found.insert(keyword.clone());
            match (keyword.as_str(), below) {
                ("properties", Value::Object(properties)) => {
                    properties.values().for_each(|schema| found.extend(keywords(schema)));
                }
                ("items" | "additionalProperties", schema) => found.extend(keywords(schema)),
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::offline::resource;

    fn told(spec: Value) -> Vec<String> {
        let mut object = json!({"apiVersion": "redis.github.com/v1", "kind": "RedisInstance", "metadata": {"name": "a"}, "spec": spec});
        let schema = resource::schema().unwrap();
        let stripped = strip(&schema, &mut object);
        let unknown = stripped.unknown.iter().map(|(path, meant)| format!("unknown {} {meant:?}", path.field()));
        let faults = faults(&schema, &object);
        unknown.chain(faults.iter().map(|fault| format!("{}: {}", fault.path.field(), fault.message))).collect()
    }

    #[test]
    fn types_words_and_bounds_are_told_in_the_api_servers_words() {
        assert_eq!(
            told(
                json!({"replicas": "3", "config": {"maxclients": 100, "appendonly": true}, "storage": {"retention": "Keep", "size": 1.5}})
            ),
            [
                "spec.config.appendonly: Invalid value: \"boolean\": spec.config.appendonly in body must be of type string: \"boolean\"",
                "spec.config.maxclients: Invalid value: \"integer\": spec.config.maxclients in body must be of type string: \"integer\"",
                "spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\"",
                "spec.storage.retention: Unsupported value: \"Keep\": supported values: \"Retain\", \"Delete\"",
                "spec.storage.size: Invalid value: \"number\": spec.storage.size in body must be of type string: \"number\"",
            ]
        );
        assert_eq!(
            told(json!({"replicas": 2_147_483_648_u64})),
            ["spec.replicas: Invalid value: 2147483648: must be less than or equal to 16"]
        );
        assert_eq!(told(json!({"image": "x".repeat(1025)})), ["spec.image: Too long: may not be more than 1024 bytes"]);
        assert_eq!(
            told(json!({"resources": {"limits": {"cpu": true}, "claims": [{}]}})),
            [
                "spec.resources.claims[0].name: Required value",
                "spec.resources.limits.cpu: Invalid value: \"boolean\": spec.resources.limits.cpu in body must be of type integer,string: \"boolean\"",
            ]
        );
        assert_eq!(told(json!([])), ["spec: Invalid value: \"array\": spec in body must be of type object: \"array\""]);
        let config: Map<String, Value> = (0..257).map(|n| (format!("a{n}"), json!("x"))).collect();
        assert_eq!(told(json!({ "config": config })), ["spec.config: Too many: 257: must have at most 256 items"]);
    }

    #[test]
    fn unknown_fields_come_with_what_was_meant_and_nulls_go() {
        assert_eq!(
            told(json!({"replcas": 1, "storage": {"Size": "1Gi"}, "image": null})),
            ["unknown spec.replcas Some(\"replicas\")", "unknown spec.storage.Size Some(\"size\")"]
        );
        let mut object = json!({"spec": {"config": {"save": null, "hz": "10"}, "image": null}});
        let stripped = strip(&resource::schema().unwrap(), &mut object);
        assert_eq!(stripped.nulls.iter().map(Path::field).collect::<Vec<_>>(), ["spec.config.save"]);
        assert_eq!(object, json!({"spec": {"config": {"hz": "10"}}}));
    }

    #[test]
    fn no_keyword_of_our_schema_is_missed() {
        let understood = [
            "additionalProperties",
            "enum",
            "format",
            "items",
            "maxItems",
            "maxLength",
            "maxProperties",
            "maximum",
            "minimum",
            "properties",
            "required",
            "type",
            "x-kubernetes-int-or-string",
            "x-kubernetes-validations",
            // words, and what only a merge or a default of the status needs
            "default",
            "description",
            "title",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-list-type",
            "x-kubernetes-map-type",
            "x-kubernetes-patch-merge-key",
            "x-kubernetes-patch-strategy",
        ];
        let missed: Vec<String> = keywords(&resource::schema().unwrap())
            .into_iter()
            .filter(|word| !understood.contains(&word.as_str()))
            .collect();
        assert!(missed.is_empty(), "keywords of the schema that are not checked here: {missed:?}");
    }
}
