//! The bounds of the schema on lists and maps, checked on the JSON of a spec before it is read: the first excess ends the
//! check, and no further item is looked at. Takes the bounds from the CRD, so that none is forgotten.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::LazyLock};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::field_error::FieldError;
use crate::api::crd;

/// The most characters of a key of a map that are repeated in a path.
const KEY_LIMIT: usize = 64;

static SPEC: LazyLock<Bound> = LazyLock::new(|| {
    let schema = crd::definition().ok();
    let spec = schema.as_ref().and_then(|crd| crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec"));
    spec.map(Bound::of).unwrap_or_default()
});

/// The bounds that a schema sets on a value and on what is below it.
#[derive(Debug, Default)]
struct Bound {
    /// Most items of a list, or of a map.
    items: Option<usize>,
    fields: BTreeMap<String, Self>,
    each: Option<Box<Self>>,
}

impl Bound {
    fn of(schema: &Value) -> Self {
        let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let each = ["items", "additionalProperties"].into_iter().find_map(|below| schema.get(below));
        Self {
            items: limit("maxItems").or_else(|| limit("maxProperties")),
            fields: fields.map(|(name, schema)| (name.clone(), Self::of(schema))).collect(),
            each: each.filter(|below| below.is_object()).map(|below| Box::new(Self::of(below))),
        }
    }
}

/// The first list or map of a spec, as JSON, that is larger than the schema allows. `None` also if the text is not JSON
/// or has other types than the schema: decoding reports that.
#[must_use]
pub fn excess(spec: &str) -> Option<FieldError> {
    let (mut path, mut found) = (vec![Step::Field("spec")], None);
    let walk = Walk { bound: &SPEC, path: &mut path, found: &mut found };
    // An error means that the walk ended early, which is not an error of the user unless something was found.
    drop(walk.deserialize(&mut serde_json::Deserializer::from_str(spec)));
    found
}

enum Step<'a> {
    Field(&'a str),
    Item(usize),
    Key(String),
}

/// A walk over one value.
struct Walk<'a, 'b> {
    bound: &'b Bound,
    path: &'a mut Vec<Step<'b>>,
    found: &'a mut Option<FieldError>,
}

impl<'b> Walk<'_, 'b> {
    /// Walks over a value one step below.
    fn below<'c>(&'c mut self, bound: &'b Bound, step: Step<'b>) -> Walk<'c, 'b> {
        self.path.push(step);
        Walk { bound, path: self.path, found: self.found }
    }

    fn field(&self) -> String {
        let mut text = String::new();
        for step in self.path.iter() {
            match step {
                Step::Field(name) if text.is_empty() => text.push_str(name),
                Step::Field(name) => text.extend([".", name]),
                Step::Item(index) => text.extend(["[", &index.to_string(), "]"]),
                Step::Key(key) => text.extend(["[", key, "]"]),
            }
        }
        text
    }

    /// Ends the walk with what it found.
    fn end<E: Error>(&mut self, limit: usize) -> E {
        *self.found = Some(FieldError::too_many(self.field(), limit));
        E::custom("larger than the schema allows")
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let bound = self.bound;
        let mut count = 0;
        loop {
            let more = match (bound.items, &bound.each) {
                (Some(limit), _) if count >= limit => items.next_element_seed(End(&mut self, limit))?,
                (_, Some(each)) => {
                    let more = items.next_element_seed(self.below(each, Step::Item(count)))?;
                    self.path.pop();
                    more
                }
                (_, None) => items.next_element::<IgnoredAny>()?.map(drop),
            };
            if more.is_none() {
                return Ok(());
            }
            count += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let bound = self.bound;
        let mut count = 0;
        while let Some(Key(key)) = entries.next_key::<Key<'de>>()? {
            if let Some(each) = &bound.each {
                if let Some(limit) = bound.items.filter(|limit| count >= *limit) {
                    return Err(self.end(limit));
                }
                let key = key.chars().filter(char::is_ascii_graphic).take(KEY_LIMIT).collect();
                entries.next_value_seed(self.below(each, Step::Key(key)))?;
            } else if let Some((name, field)) = bound.fields.get_key_value(key.as_ref()) {
                entries.next_value_seed(self.below(field, Step::Field(name)))?;
            } else {
                entries.next_value::<IgnoredAny>()?;
                continue;
            }
            self.path.pop();
            count += 1;
        }
        Ok(())
    }
}

/// Takes the place of the first item beyond the bound: it ends the walk and reads nothing.
struct End<'a, 'b, 'c>(&'a mut Walk<'b, 'c>, usize);

impl<'de> DeserializeSeed<'de> for End<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Err(self.0.end(self.1))
    }
}

/// A key, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    /// The path of every bound of the schema, as a value that exceeds it by one.
    fn beyond(schema: &Value, wrap: &dyn Fn(Value) -> Value, found: &mut Vec<(Value, String)>, path: &str) {
        let limit = |keyword: &str| schema[keyword].as_u64().map(|n| usize::try_from(n).unwrap());
        if let Some(limit) = limit("maxItems") {
            // The item beyond the bound is no JSON of the schema's: it is not read.
            let mut items = vec![Value::Null; limit];
            items.push(json!("x"));
            found.push((wrap(items.into()), format!("{path}: Too many: must have at most {limit} items")));
        }
        if let Some(limit) = limit("maxProperties") {
            let entries: Map<String, Value> = (0..=limit).map(|n| (format!("k{n}"), Value::Null)).collect();
            found.push((wrap(entries.into()), format!("{path}: Too many: must have at most {limit} items")));
        }
        for (name, below) in schema["properties"].as_object().into_iter().flatten() {
            beyond(below, &|value| wrap(json!({ name: value })), found, &format!("{path}.{name}"));
        }
        if schema["items"].is_object() {
            beyond(&schema["items"], &|value| wrap(json!([null, value])), found, &format!("{path}[1]"));
        }
        if schema["additionalProperties"].is_object() {
            beyond(&schema["additionalProperties"], &|value| wrap(json!({"k": value})), found, &format!("{path}[k]"));
        }
    }

    #[test]
    fn every_bound_of_the_schema_is_kept() {
        let crd = crd::definition().unwrap();
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let mut found = Vec::new();
        beyond(spec, &|value| value, &mut found, "spec");
        let text = spec.to_string();
        let keywords: usize =
            ["maxItems", "maxProperties"].map(|keyword| text.matches(&format!("\"{keyword}\"")).count()).iter().sum();
        assert_eq!(found.len(), keywords, "a bound stands where this test does not look");
        for (value, fault) in found {
            assert_eq!(excess(&value.to_string()).map(|fault| fault.to_string()), Some(fault));
        }
    }

    /// A list or map without a bound would be read to its end.
    #[test]
    fn every_list_and_map_of_the_schema_has_a_bound() {
        fn check(bound: &Bound, path: &str) {
            assert!(bound.each.is_none() || bound.items.is_some(), "{path} has no bound");
            for (name, field) in &bound.fields {
                check(field, &format!("{path}.{name}"));
            }
            bound.each.iter().for_each(|each| check(each, &format!("{path}[]")));
        }
        assert!(SPEC.fields.len() > 5);
        check(&SPEC, "spec");
    }

    #[test]
    fn nothing_beyond_a_bound_is_read() {
        // What follows the 32nd item is no JSON; a check that read on would end with an error and find nothing.
        let spec = format!("{{\"pod\":{{\"tolerations\":[{} this is never read", "{},".repeat(32));
        let fault = excess(&spec).map(|fault| fault.to_string());
        assert_eq!(fault.as_deref(), Some("spec.pod.tolerations: Too many: must have at most 32 items"));
    }

    #[test]
    fn keys_written_twice_count_twice() {
        let spec = format!("{{\"config\":{{{}\"hz\":\"1\"}}}}", "\"hz\":\"1\",".repeat(256));
        assert!(excess(&spec).is_some());
    }

    #[test]
    fn what_the_schema_does_not_know_or_is_no_json_has_no_excess() {
        for spec in
            ["{\"unknown\":[1,2,{\"x\":[]}]}", "null", "7", "[[[]]]", "{\"config\":[1.5,true]}", "{", "", "\"x\""]
        {
            assert_eq!(excess(spec), None, "{spec}");
        }
        let deep = format!("{{\"pod\":{}", "[".repeat(100_000));
        assert_eq!(excess(&deep), None);
    }
}
