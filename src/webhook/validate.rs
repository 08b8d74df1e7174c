//! The validating webhook: the object must be one the operator can build, and the change one it can carry out.
//! The rules are `domain`'s; this turns a review into their input and their faults into a refusal.

use serde_json::Value;

use super::{
    object::Object,
    review::{Request, ReviewError, Verdict},
};
use crate::{
    api::v1::RedisInstance,
    domain::{defaults::Defaults, field_error::FieldError, judgement, validate::validate_replicas},
};

pub(super) fn judge(request: &Request<'_>, defaults: &Defaults) -> Result<Verdict, ReviewError> {
    if request.is_scale() {
        return judge_scale(request);
    }
    let Some(object) = request.judged() else { return Ok(Verdict::allow()) };
    if let Some(excess) = object.excess() {
        // Whatever was stored still takes a label or loses a finalizer.
        let is_unchanged = request.stored().is_some_and(|stored| stored.has_spec_of(object));
        return Ok(if is_unchanged { Verdict::allow() } else { refuse(request, vec![excess]) });
    }
    let new = typed(object, defaults)?;
    // A stored object that this version cannot even read has no faults to be excused by.
    let old = request.stored().filter(|old| old.excess().is_none()).and_then(|old| typed(old, defaults).ok());
    Ok(match judgement::judge(&new, old.as_ref()) {
        Ok(warnings) => Verdict::Allow { patch: None, warnings },
        Err(errors) => refuse(request, errors),
    })
}

/// Validates the number of replicas, which the scale subresource can set. An unchanged number is not an error of this
/// request.
fn judge_scale(request: &Request<'_>) -> Result<Verdict, ReviewError> {
    let replicas = |object: Option<&Object<'_>>| -> Result<Option<i32>, ReviewError> {
        let Some(scale) = object.filter(|scale| scale.excess().is_none()) else { return Ok(None) };
        let number = scale.to_outline()?.pointer("/spec/replicas").and_then(Value::as_i64);
        Ok(number.map(|number| i32::try_from(number).unwrap_or(i32::MAX)))
    };
    let wanted = replicas(request.object.as_ref())?;
    Ok(match validate_replicas(wanted) {
        Err(error) if wanted != replicas(request.stored())? => refuse(request, vec![error]),
        _ => Verdict::allow(),
    })
}

/// The API server has already checked the types, so an object that cannot be decoded does not come from a regular
/// review.
fn typed(object: &Object<'_>, defaults: &Defaults) -> Result<RedisInstance, ReviewError> {
    let mut instance = object.to_instance()?;
    defaults.complete(&mut instance.spec);
    Ok(instance)
}

fn refuse(request: &Request<'_>, errors: Vec<FieldError>) -> Verdict {
    Verdict::Deny { name: request.name().to_owned(), errors }
}
