//! The validating webhook: the object must be one the operator can build, and the change one it can carry out.
//! The rules are `domain`'s; this turns a review into their input and their faults into a refusal.

use serde_json::{Map, Value};

use super::review::{Request, ReviewError, Verdict};
use crate::{
    api::v1::RedisInstance,
    domain::{
        defaults::Defaults,
        field_error::FieldError,
        update::validate_update,
        validate::{validate, validate_replicas},
        warnings::warnings,
    },
};

pub(super) fn judge(request: &Request, defaults: &Defaults) -> Result<Verdict, ReviewError> {
    if request.is_scale() {
        return Ok(judge_scale(request));
    }
    if !request.is_judged() {
        return Ok(Verdict::allow());
    }
    let new = typed(&request.object, defaults)?;
    // A stored object that this version cannot even read has no faults to be excused by.
    let old = typed(&request.old_object, defaults).ok().filter(|_| request.operation == "UPDATE");
    let judged = validate(&new);
    let errors = match (&old, &judged) {
        (Some(old), _) => validate_update(old, &new),
        (None, Err(errors)) => errors.clone(),
        (None, Ok(_)) => Vec::new(),
    };
    if !errors.is_empty() {
        return Ok(refuse(request, errors));
    }
    // Builders take what was checked and cannot fail, so what is accepted here can be built.
    Ok(Verdict::Allow { patch: None, warnings: judged.map(|instance| warnings(&instance)).unwrap_or_default() })
}

/// Judges the one number that the scale subresource can set; an unchanged one is nobody's mistake now.
fn judge_scale(request: &Request) -> Verdict {
    let replicas =
        |object: &Value| object.pointer("/spec/replicas").and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
    let wanted = replicas(&request.object);
    match validate_replicas(wanted) {
        Err(error) if wanted != replicas(&request.old_object) => refuse(request, vec![error]),
        _ => Verdict::allow(),
    }
}

/// The API server has checked the types by now, so an object that cannot be read is a review made by somebody else.
/// What is not judged, such as the record of field managers, is left behind before anything is copied.
fn typed(object: &Value, defaults: &Defaults) -> Result<RedisInstance, ReviewError> {
    let part = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    let metadata =
        ["name", "namespace", "uid", "annotations"].map(|field| (field, part(&format!("/metadata/{field}"))));
    let metadata: Map<String, Value> = metadata.into_iter().map(|(field, value)| (field.to_owned(), value)).collect();
    let mut object = Value::Object(Map::from_iter([
        ("metadata".to_owned(), Value::Object(metadata)),
        ("spec".to_owned(), part("/spec")),
    ]));
    defaults.apply(&mut object);
    Ok(serde_json::from_value(object)?)
}

fn refuse(request: &Request, errors: Vec<FieldError>) -> Verdict {
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    tracing::info!(instance = ?request.name(), operation = ?request.operation, ?fields, "refused an invalid spec");
    Verdict::Deny { name: request.name().to_owned(), errors }
}
