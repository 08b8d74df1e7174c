//! Removes unknown fields and nulls from an object, as the API server does when it decodes it.

use serde_json::{Map, Value};

use crate::offline::path::Path;

/// Fields that the API server removes from an object when it decodes it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stripped {
    /// Fields that the schema does not have, each with the nearest name that it does have.
    pub unknown: Vec<(Path, Option<String>)>,
    /// Values of maps that are null, which are dropped without a word.
    pub nulls: Vec<Path>,
}

/// Removes unknown fields and nulls, as the API server does, and returns them.
pub fn strip(schema: &Value, value: &mut Value) -> Stripped {
    let mut stripped = Stripped::default();
    strip_at(schema, value, &Path::default(), &mut stripped);
    stripped.unknown.sort_by_key(|(path, _)| path.field());
    stripped
}

fn strip_at(schema: &Value, value: &mut Value, path: &Path, stripped: &mut Stripped) {
    match value {
        Value::Object(fields) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let items = schema.get("additionalProperties");
            if properties.is_none() && items.is_none() {
                return; // free in form, as the fields that a manager owns
            }
            fields.retain(|name, value| {
                let path = path.key(name);
                let Some(schema) = properties.and_then(|properties| properties.get(name)).or(items) else {
                    stripped.unknown.push((path, meant(name, properties)));
                    return false;
                };
                if value.is_null() {
                    stripped.nulls.extend(items.map(|_| path));
                    return false;
                }
                strip_at(schema, value, &path, stripped);
                true
            });
        }
        Value::Array(items) => {
            let schema = schema.get("items").unwrap_or(&Value::Null);
            for (index, item) in items.iter_mut().enumerate() {
                strip_at(schema, item, &path.index(index), stripped);
            }
        }
        _ => {}
    }
}

/// The field that was probably meant; a name that differs only in case is preferred.
fn meant(name: &str, properties: Option<&Map<String, Value>>) -> Option<String> {
    let known: Vec<&str> = properties?.keys().map(String::as_str).collect();
    let by_case = known.iter().find(|known| known.eq_ignore_ascii_case(name)).copied();
    by_case.or_else(|| crate::domain::directives::suggest::nearest(name, &known)).map(str::to_owned)
}
