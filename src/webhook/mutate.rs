//! The defaulting webhook: absent fields get their values, as a JSON Patch between the raw object and the defaulted one.
//! Runs before the API server checks types, so it judges nothing and lets everything pass.

use super::review::{Request, ReviewError, Verdict};
use crate::domain::defaults::Defaults;

#[expect(clippy::unnecessary_wraps, reason = "both webhooks have one signature")]
pub(super) fn judge(request: &Request, defaults: &Defaults) -> Result<Verdict, ReviewError> {
    if !request.is_judged() {
        return Ok(Verdict::allow());
    }
    let mut defaulted = request.object.clone();
    defaults.apply(&mut defaulted);
    let patch = json_patch::diff(&request.object, &defaulted);
    let patch = (!patch.0.is_empty()).then_some(patch);
    Ok(Verdict::Allow { patch, warnings: Vec::new() })
}
