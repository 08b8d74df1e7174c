//! Rules between fields: values that are valid on their own and invalid or questionable together. Errors refuse the
//! spec, doubts become warnings.

mod memory;

pub use self::memory::memory_without_bound;
use self::memory::{
    eviction_without_bound, less_than_nothing, maxmemory_near_limit, maxmemory_over_limit, share_of_no_bound,
    unit_missing, volume_too_small,
};
use super::{
    config::Directives, field_error::FieldError, instance::ValidatedInstance, replicated, resources::Resources, risks,
};

/// Seconds that a pod waits before it ends for the operator to hand the role of the primary over.
const HANDOVER_SECONDS: i64 = 20;

/// Combinations that are invalid. Takes the parts separately, so that all errors are reported at once even if other
/// fields are invalid.
#[must_use]
pub fn faults(config: &Directives, resources: &Resources, replicas: i32) -> Vec<FieldError> {
    [
        maxmemory_over_limit(config, resources),
        writes_never_accepted(config, replicas),
        replicas_that_diverge(config, replicas),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Combinations that are probably unintended. At most 120 characters each.
#[must_use]
pub fn doubts(instance: &ValidatedInstance) -> Vec<String> {
    let ValidatedInstance { config, resources, storage, .. } = instance;
    [
        maxmemory_near_limit(config, resources),
        more_threads_than_cpus(config, resources),
        durability_off(config),
        volume_too_small(config, storage.size),
        less_than_nothing(config),
        eviction_without_bound(config),
        share_of_no_bound(config),
        events_that_nobody_hears(config),
        shutdown_beyond_grace(instance),
        unit_missing(resources),
    ]
    .into_iter()
    .flatten()
    .chain(risks::doubts(config))
    .chain(replicated::doubts(instance))
    .collect()
}

/// The kubelet kills a pod at the end of its grace period, of which a handover before the shutdown may take 20 s.
fn shutdown_beyond_grace(instance: &ValidatedInstance) -> Option<String> {
    let timeout: i64 = setting(&instance.config, "shutdown-timeout")?.parse().ok()?;
    let grace = instance.pod.termination_grace_period_seconds();
    (timeout.saturating_add(HANDOVER_SECONDS) > grace).then(|| {
        format!("spec.config[shutdown-timeout]: with {HANDOVER_SECONDS} s for a handover over spec.pod.terminationGracePeriodSeconds ({grace})")
    })
}

/// The one word that this directive is set to.
pub(super) fn setting<'a>(config: &'a Directives, directive: &str) -> Option<&'a str> {
    match config.words(directive)? {
        [word] => Some(word),
        _ => None,
    }
}

/// With fewer replicas than it asks for, a primary refuses every write.
fn writes_never_accepted(config: &Directives, replicas: i32) -> Option<FieldError> {
    ["min-replicas-to-write", "min-slaves-to-write"].into_iter().find_map(|directive| {
        let asked = setting(config, directive)?;
        let most = replicas - 1;
        (asked.parse::<i64>().ok()? > i64::from(most)).then(|| {
            let detail = format!(
                "must be at most {most}, the number of replicas beside the primary: every write would be refused"
            );
            FieldError::invalid(format!("spec.config[{directive}]"), asked, detail)
        })
    })
}

fn is_append_only(config: &Directives) -> bool {
    !setting(config, "appendonly").is_some_and(|word| word.eq_ignore_ascii_case("no"))
}

fn saves(config: &Directives) -> bool {
    setting(config, "save") != Some("")
}

fn more_threads_than_cpus(config: &Directives, resources: &Resources) -> Option<String> {
    let limit = resources.limits.get("cpu")?;
    let threads: i128 = setting(config, "io-threads")?.parse().ok()?;
    (threads > 1 && threads > limit.value()).then(|| {
        format!("spec.config[io-threads]: {threads} threads share a CPU limit of {limit} and slow each other down")
    })
}

fn durability_off(config: &Directives) -> Option<String> {
    (!is_append_only(config) && !saves(config)).then(|| {
        "spec.config: with appendonly no and save \"\" a restart loses all data, though there is a volume".to_owned()
    })
}

/// Events go out on channels (K or E) for classes of commands (the other letters): either alone is silence.
fn events_that_nobody_hears(config: &Directives) -> Option<String> {
    let letters = setting(config, "notify-keyspace-events").filter(|letters| !letters.is_empty())?;
    let (channel, class) = (letters.contains(['K', 'E']), letters.contains(|c| c != 'K' && c != 'E'));
    match (channel, class) {
        (false, _) => Some("spec.config[notify-keyspace-events]: without K or E nothing is published".to_owned()),
        (_, false) => Some(
            "spec.config[notify-keyspace-events]: without a class of events, such as A for all, nothing is published"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Neither a replica nor a server that waits for its primary's address may accept writes.
fn replicas_that_diverge(config: &Directives, replicas: i32) -> Option<FieldError> {
    ["replica-read-only", "slave-read-only"].into_iter().find_map(|directive| {
        let value = setting(config, directive).filter(|value| replicas > 1 && value.eq_ignore_ascii_case("no"))?;
        let detail = "must be yes with several replicas: writes to a replica would be lost";
        Some(FieldError::invalid(format!("spec.config[{directive}]"), value, detail))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::instance::tests::checked;

    pub(super) fn faults_of(spec: Value) -> Vec<String> {
        checked(spec).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    pub(super) fn doubts_of(spec: Value) -> Vec<String> {
        let doubts = doubts(&checked(spec).unwrap());
        assert!(doubts.iter().all(|text| text.len() <= 120), "{doubts:?}");
        doubts
    }

    #[test]
    fn a_lone_server_has_no_replica_to_wait_for() {
        assert_eq!(faults_of(json!({"config": {"min-replicas-to-write": "1"}})).len(), 1);
        assert!(faults_of(json!({"config": {"min-replicas-to-write": "0"}})).is_empty());
    }

    #[test]
    fn doubts_are_told() {
        assert_eq!(
            doubts_of(json!({"config": {"io-threads": "4"}, "resources": {"limits": {"cpu": "1500m"}}})).len(),
            1
        );
        assert_eq!(doubts_of(json!({"config": {"appendonly": "no", "save": ""}})).len(), 1);
        assert_eq!(doubts_of(json!({"config": {"maxmemory": "900mb"}, "storage": {"size": "1Gi"}})).len(), 1);
        assert!(doubts_of(json!({"config": {"appendonly": "no"}})).is_empty());
    }

    #[test]
    fn a_shutdown_has_to_fit_into_the_grace_period() {
        let doubts = |timeout: &str, grace: i64| {
            doubts_of(json!({"config": {"shutdown-timeout": timeout}, "pod": {"terminationGracePeriodSeconds": grace}}))
                .len()
        };
        assert_eq!((doubts("100", 120), doubts("101", 120), doubts("600", 620)), (0, 1, 0));
        assert_eq!(doubts_of(json!({"config": {"shutdown-timeout": "2147483647"}})).len(), 1);
        for (seconds, faults) in [(29, 1), (30, 0), (3600, 0), (3601, 1), (-1, 1)] {
            assert_eq!(
                faults_of(json!({"pod": {"terminationGracePeriodSeconds": seconds}})).len(),
                faults,
                "{seconds}"
            );
        }
    }

    #[test]
    fn settings_without_effect_are_told() {
        let told = |name: &str, value: &str| doubts_of(json!({"config": {name: value}})).len();
        assert_eq!((told("maxmemory", "512"), told("maxmemory", "1mb"), told("maxmemory", "0")), (1, 0, 0));
        assert_eq!((told("maxmemory-policy", "allkeys-lru"), told("maxmemory-policy", "NoEviction")), (1, 0));
        assert_eq!((told("maxmemory-clients", "5%"), told("maxmemory-clients", "5mb")), (1, 0));
        let events = ["A", "K", "KE", "KEA", "Ex", ""].map(|letters| told("notify-keyspace-events", letters));
        assert_eq!(events, [1, 1, 1, 0, 0, 0]);
        assert!(
            doubts_of(
                json!({"config": {"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru", "maxmemory-clients": "5%"}})
            )
            .is_empty()
        );
    }
}
