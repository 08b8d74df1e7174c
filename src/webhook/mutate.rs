//! The defaulting webhook: absent fields get their values, as a JSON Patch between the raw object and the defaulted one.
//! Runs before the API server checks types, so it judges nothing and lets everything pass.

use serde_json::Value;

use super::review::{Request, ReviewError, Verdict};
use crate::domain::defaults::Defaults;

pub(super) fn judge(request: &Request<'_>, defaults: &Defaults) -> Result<Verdict, ReviewError> {
    let Some(object) = request.judged().filter(|object| !object.is_too_long()) else { return Ok(Verdict::allow()) };
    let object = object.to_value()?;
    let mut defaulted = object.clone();
    if let Some(stored) = request.stored().filter(|stored| !stored.is_too_long()) {
        keep_size(&mut defaulted, &stored.to_value()?);
    }
    defaults.apply(&mut defaulted);
    let patch = json_patch::diff(&object, &defaulted);
    let patch = (!patch.0.is_empty()).then_some(patch);
    Ok(Verdict::Allow { patch, warnings: Vec::new() })
}

/// A size that is left out of an update stays what it was: the default could be a growth nobody asked for, which cannot
/// be taken back.
fn keep_size(object: &mut Value, stored: &Value) {
    let Some(size) = stored.pointer("/spec/storage/size").filter(|size| size.is_string()) else { return };
    if object.pointer("/spec/storage/size").is_some_and(|size| !size.is_null()) {
        return;
    }
    let absent = |value: &Value| value.is_null();
    let Some(object) = object.as_object_mut() else { return };
    let mut section = object;
    for name in ["spec", "storage"] {
        let entry = section.entry(name).or_insert(Value::Null);
        if absent(entry) {
            *entry = Value::Object(serde_json::Map::new());
        }
        let Some(inner) = entry.as_object_mut() else { return };
        section = inner;
    }
    section.insert("size".to_owned(), size.clone());
}
