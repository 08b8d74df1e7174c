//! The defaulting webhook: fills in absent fields, as a JSON Patch between the raw and the defaulted object. It runs
//! before the API server checks types, so it validates nothing and admits everything.

use super::review::{Request, ReviewError, Verdict};
use crate::domain::defaults::Defaults;

pub(super) fn judge(request: &Request<'_>, defaults: &Defaults) -> Result<Verdict, ReviewError> {
    let Some(object) = request.judged().filter(|object| !object.is_too_long()) else { return Ok(Verdict::allow()) };
    // Longer lists than the schema allows cost nothing here: the outline leaves them out.
    let object = object.to_outline()?;
    let mut defaulted = object.clone();
    match request.stored().filter(|stored| !stored.is_too_long()) {
        Some(stored) => defaults.apply_to_update(&mut defaulted, &stored.to_outline()?),
        None => defaults.apply(&mut defaulted),
    }
    let patch = json_patch::diff(&object, &defaulted);
    let patch = (!patch.0.is_empty()).then_some(patch);
    Ok(Verdict::Allow { patch, warnings: Vec::new() })
}
