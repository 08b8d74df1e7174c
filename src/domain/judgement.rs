//! The judgement of one object, or of the change to it: refused with every fault, or accepted with what is worth a word.
//! Admission and `redis-operator validate` both ask here, so they cannot differ. Objects come with their defaults.

use std::collections::BTreeSet;

use super::{
    bounds, downgrade,
    field_error::{FAULT_LIMIT, FieldError},
    update,
    validate::validate,
    warnings::{of_change, warnings},
};
use crate::api::v1::RedisInstance;

/// The longest spec, in bytes of JSON: twenty times the largest that is known. The operator keeps every spec in memory, and
/// what a review costs grows with it.
pub const SPEC_LIMIT: usize = 64 << 10;

/// The error if a spec, as JSON, is too large to be decoded: by its length, or by a list or map beyond the bound of the
/// schema. The API server enforces these bounds; clients that call the webhooks directly may exceed them.
#[must_use]
pub fn excess(spec: &str) -> Option<FieldError> {
    if spec.len() > SPEC_LIMIT { Some(FieldError::too_long("spec", SPEC_LIMIT)) } else { bounds::excess(spec) }
}

/// Judges a new object or, with the stored one, the change.
///
/// # Errors
/// Every fault of the object, or every fault that the change brings in, up to [`FAULT_LIMIT`].
pub fn judge(new: &RedisInstance, old: Option<&RedisInstance>) -> Result<Vec<String>, Vec<FieldError>> {
    let judged = validate(new);
    let Some(old) = old else { return Ok(warnings(&judged?)) };
    let stored = validate(old);
    let (known, brought) = (stored.as_ref().err(), judged.as_ref().err());
    // If a list of errors was truncated, it is unknown which errors are new; stored errors then excuse only an
    // unchanged spec.
    if let Some(brought) = brought
        && known.is_some_and(|known| known.len() >= FAULT_LIMIT)
    {
        return if new.spec == old.spec { Ok(Vec::new()) } else { Err(brought.clone()) };
    }
    let errors =
        update::faults(old, known.map(Vec::as_slice).unwrap_or_default(), new, brought.cloned().unwrap_or_default());
    if !errors.is_empty() {
        return Err(errors);
    }
    // Builders take what was checked and cannot fail, so what is accepted here can be built.
    let Ok(instance) = judged else { return Ok(Vec::new()) };
    let mut new_warnings = warnings(&instance);
    if let Ok(stored) = stored {
        // Warnings that were already shown for the stored object are not repeated when something else changes.
        let known: BTreeSet<String> = warnings(&stored).into_iter().collect();
        new_warnings.retain(|text| !known.contains(text));
        new_warnings.extend(downgrade::warning(old, new));
        new_warnings.extend(of_change(&stored, &instance));
    }
    Ok(new_warnings)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn instance(spec: &Value) -> RedisInstance {
        serde_json::from_value(json!({"apiVersion": "redis.github.com/v1", "kind": "RedisInstance",
            "metadata": {"name": "cache", "namespace": "shop"}, "spec": spec}))
        .unwrap()
    }

    #[test]
    fn a_new_object_answers_for_every_fault_and_a_change_for_its_own() {
        let (broken, sound) = (
            instance(&json!({"image": "Redis:7"})),
            instance(&json!({"image": "redis:7", "config": {"maxmemory": "64mb"}})),
        );
        assert_eq!(judge(&broken, None).unwrap_err().len(), 1);
        assert_eq!(judge(&broken, Some(&broken)), Ok(Vec::new()));
        assert_eq!(judge(&broken, Some(&sound)).unwrap_err().len(), 1);
        assert_eq!(judge(&sound, Some(&broken)), Ok(Vec::new()));
    }

    #[test]
    fn what_is_accepted_comes_with_its_warnings_and_what_the_change_will_do() {
        let (old, new) = (instance(&json!({"image": "redis:7.2"})), instance(&json!({"image": "redis"})));
        assert_eq!(judge(&new, None).unwrap().len(), 2);
        assert_eq!(judge(&new, Some(&old)).unwrap().len(), 2);
        assert_eq!(judge(&new, Some(&new)), Ok(Vec::new()));
    }

    #[test]
    fn a_change_is_told_only_what_the_one_before_was_not() {
        let spec = |maxmemory: &str, hz: &str| {
            json!({"image": "redis:7.0.15", "resources": {"limits": {"memory": "100Mi"}},
                "config": {"maxmemory": maxmemory, "hz": hz}})
        };
        let told = |old: &Value, new: &Value| judge(&instance(new), Some(&instance(old))).unwrap();
        let (tight, other, roomy) = (spec("80mb", "10"), spec("80mb", "20"), spec("20mb", "10"));
        let doubts = judge(&instance(&tight), None).unwrap();
        assert_eq!(doubts.len(), 2, "the version and the memory: {doubts:?}");
        assert_eq!(told(&tight, &other), ["spec.config[hz]: applied live, no restart"]);
        let live = "spec.config[maxmemory]: applied live, no restart".to_owned();
        assert_eq!(told(&roomy, &tight), [doubts[1].clone(), live.clone()]);
        assert_eq!(told(&tight, &roomy), [live]);
        let broken = json!({"image": "redis:7.0.15", "config": {"hz": "fast"}});
        assert_eq!(told(&broken, &tight), doubts, "what was never accepted was never told");
    }

    /// A spec with this many tolerations, each with one fault.
    fn faulty(count: usize, image: &str) -> RedisInstance {
        let tolerations = vec![json!({"key": "a", "operator": "x"}); count];
        serde_json::from_value(
            json!({"metadata": {"name": "cache"}, "spec": {"image": image, "pod": {"tolerations": tolerations}}}),
        )
        .unwrap()
    }

    #[test]
    fn faults_are_collected_up_to_a_bound_and_excused_only_where_all_are_known() {
        let refused =
            |new: &RedisInstance, old: Option<&RedisInstance>| judge(new, old).err().map_or(0, |errors| errors.len());
        let many = faulty(10_000, "redis:7.2");
        assert_eq!(refused(&many, None), FAULT_LIMIT);
        assert_eq!(refused(&many, Some(&many)), 0, "nothing changes");
        assert_eq!(refused(&faulty(10_000, "redis:7.4"), Some(&many)), FAULT_LIMIT);
        let few = faulty(FAULT_LIMIT - 1, "redis:7.2");
        assert_eq!(refused(&faulty(FAULT_LIMIT - 1, "redis:7.4"), Some(&few)), 0, "all faults are known");
        assert_eq!(refused(&many, Some(&few)), 1, "the faults up to the bound that are new");
    }
}
