//! A spec reduced to the fields that have defaults: a JSON value takes up to thirty times the memory of its text, and the
//! fields that have none are the larger part. Knows the names in `DEFAULTED`, not the values.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The fields of a spec that have defaults or hold quantities, which the webhook turns into text, and the fields of the
/// sections among them.
const DEFAULTED: &[(&str, &[&str])] = &[
    ("auth", &["enabled"]),
    ("image", &[]),
    ("replicas", &[]),
    ("resources", &["limits", "requests"]),
    ("storage", &["retention", "size"]),
    ("updatePolicy", &["config"]),
];

/// Reads a value with the fields that `keeps` names, each with the fields that are kept of it.
#[derive(Clone, Copy)]
pub(super) enum Outline {
    Spec,
    Section(&'static [&'static str]),
    Quantities,
    Leaf,
}

impl Outline {
    /// The outline of a spec: other fields are left out, lists and deeper objects are empty.
    pub(super) fn of(spec: &str) -> Result<Value, serde_json::Error> {
        Self::Spec.deserialize(&mut serde_json::Deserializer::from_str(spec))
    }

    /// The decoder of the field; `None` if it is skipped.
    fn below(self, field: &str) -> Option<Self> {
        match self {
            Self::Spec => DEFAULTED.iter().find(|(name, _)| *name == field).map(|(_, fields)| Self::Section(fields)),
            Self::Section(fields) if fields.contains(&field) => {
                Some(if matches!(field, "limits" | "requests") { Self::Quantities } else { Self::Leaf })
            }
            Self::Quantities => Some(Self::Leaf),
            Self::Section(_) | Self::Leaf => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Outline {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Outline {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            match self.below(&name) {
                Some(outline) => drop(fields.insert(name, entries.next_value_seed(outline)?)),
                None => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::defaults::Defaults;

    #[test]
    fn the_fields_that_have_defaults_are_those_that_the_defaults_fill() {
        let mut object = json!({});
        Defaults { image: "redis:7.2".to_owned() }.apply(&mut object);
        let spec = object["spec"].as_object().unwrap();
        let filled: Vec<(&str, Vec<&str>)> = spec
            .iter()
            .map(|(name, value)| {
                let mut below: Vec<&str> =
                    value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                below.sort_unstable();
                (name.as_str(), below)
            })
            .collect();
        let mut kept: Vec<(&str, Vec<&str>)> =
            DEFAULTED.iter().map(|(name, fields)| (*name, fields.to_vec())).collect();
        let mut filled = filled;
        // These have no defaults: numbers in them become text.
        filled.push(("resources", vec!["limits", "requests"]));
        filled.sort();
        kept.sort();
        assert_eq!(filled, kept);
    }

    #[test]
    fn what_no_default_depends_on_is_not_kept() {
        let spec = json!({"image": "a", "config": {"hz": "1"}, "auth": {"enabled": null, "secretName": "x"},
            "storage": [[1], {}], "replicas": {"a": 1}, "updatePolicy": {"config": {"deep": [1]}}});
        let outline = json!({"image": "a", "auth": {"enabled": null}, "storage": [], "replicas": {}, "updatePolicy": {"config": {}}});
        assert_eq!(Outline::of(&spec.to_string()).unwrap(), outline);
        let quantities = json!({"resources": {"limits": {"cpu": 0.5, "odd": {"a": 1}}, "claims": [1]}});
        let kept = json!({"resources": {"limits": {"cpu": 0.5, "odd": {}}}});
        assert_eq!(Outline::of(&quantities.to_string()).unwrap(), kept);
        assert_eq!(Outline::of("[1]").unwrap(), json!([]));
        assert!(Outline::of("{").is_err());
    }
}
