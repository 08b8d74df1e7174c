//! Rules about memory: `maxmemory`, the memory limit, eviction, and quantities whose unit is probably missing.

use super::{is_append_only, saves, setting};
use crate::domain::{
    config::Directives, directives::value::memory, field_error::FieldError, instance::ValidatedInstance,
    quantity::Quantity, resources::Resources,
};

/// The part of the memory limit, in percent, that leaves room for what a fork copies while it saves.
const ROOM_PERCENT: i128 = 75;
/// More CPUs than the machines of common providers have.
const MOST_CPUS: i128 = 256;

/// Redis that fills what it may have is killed, unless `maxmemory` makes it evict keys or refuse writes before.
#[must_use]
pub fn memory_without_bound(ValidatedInstance { config, resources, .. }: &ValidatedInstance) -> Option<String> {
    if maxmemory(config).is_some() {
        return None;
    }
    Some(match resources.limits.get("memory") {
        Some(_) => {
            "spec.resources.limits.memory: without maxmemory Redis is killed when it needs more than the memory limit"
                .to_owned()
        }
        None => "spec.resources: neither a memory limit nor maxmemory: Redis may fill its node".to_owned(),
    })
}

/// Memory below one mebibyte and more CPUs than any machine has are probably missing a unit.
pub(super) fn unit_missing(resources: &Resources) -> Option<String> {
    [("limits", &resources.limits), ("requests", &resources.requests)].into_iter().find_map(|(list, quantities)| {
        let memory = quantities.get("memory").filter(|memory| memory.value() > 0 && memory.value() < 1 << 20);
        let cpu = quantities.get("cpu").filter(|cpu| cpu.value() > MOST_CPUS);
        let warning = |name: &str, quantity: &Quantity, what: &str| {
            format!(
                "spec.resources.{list}.{name}: {quantity} {what}; is a unit missing, such as {}?",
                if name == "cpu" { "m" } else { "Mi" }
            )
        };
        memory
            .map(|memory| warning("memory", memory, "bytes are less than Redis needs"))
            .or_else(|| cpu.map(|cpu| warning("cpu", cpu, "CPUs are more than machines have")))
    })
}

/// `maxmemory` in bytes, when it is set to a bound.
fn maxmemory(config: &Directives) -> Option<i128> {
    memory(setting(config, "maxmemory")?).filter(|bytes| *bytes > 0)
}

/// A server that may fill more than its container has is killed before it evicts anything.
pub(super) fn maxmemory_over_limit(config: &Directives, resources: &Resources) -> Option<FieldError> {
    let limit = resources.limits.get("memory")?;
    (maxmemory(config)? >= limit.value()).then(|| {
        let detail = format!("must be less than the memory limit of {limit}");
        FieldError::invalid("spec.config[maxmemory]", setting(config, "maxmemory").unwrap_or_default(), detail)
    })
}

pub(super) fn maxmemory_near_limit(config: &Directives, resources: &Resources) -> Option<String> {
    let limit = resources.limits.get("memory")?;
    let near = maxmemory(config)? * 100 > limit.value() * ROOM_PERCENT;
    (near && (is_append_only(config) || saves(config))).then(|| {
        format!("spec.config[maxmemory]: over {ROOM_PERCENT} % of the memory limit of {limit}: saving forks and may need the rest")
    })
}

pub(super) fn volume_too_small(config: &Directives, size: Quantity) -> Option<String> {
    (is_append_only(config) && size.value() < maxmemory(config)? * 2).then(|| {
        format!("spec.storage.size: {size} is less than twice maxmemory: rewriting the append-only file may fill it")
    })
}

/// An empty server uses about a megabyte: who writes 512 means 512mb.
pub(super) fn less_than_nothing(config: &Directives) -> Option<String> {
    let bytes = maxmemory(config).filter(|bytes| *bytes < 1 << 20)?;
    Some(format!(
        "spec.config[maxmemory]: {bytes} bytes are less than an empty server uses: writes will fail; is a unit missing?"
    ))
}

pub(super) fn eviction_without_bound(config: &Directives) -> Option<String> {
    let policy = setting(config, "maxmemory-policy").filter(|policy| !policy.eq_ignore_ascii_case("noeviction"))?;
    maxmemory(config).is_none().then(|| {
        format!(
            "spec.config[maxmemory-policy]: {policy} evicts nothing without maxmemory, and memory grows without bound"
        )
    })
}

pub(super) fn share_of_no_bound(config: &Directives) -> Option<String> {
    let share = setting(config, "maxmemory-clients").filter(|share| share.ends_with('%') && *share != "0%")?;
    maxmemory(config)
        .is_none()
        .then(|| format!("spec.config[maxmemory-clients]: {share} of maxmemory, which is not set, is no limit"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{
        cross_field::{
            doubts,
            tests::{doubts_of, faults_of},
        },
        instance::tests::checked,
    };

    #[test]
    fn maxmemory_fits_the_container_with_room_to_save() {
        let spec = |maxmemory: &str| json!({"config": {"maxmemory": maxmemory}, "resources": {"limits": {"memory": "1Gi"}}, "storage": {"size": "4Gi"}});
        assert_eq!(
            faults_of(spec("4gb")),
            ["spec.config[maxmemory]: Invalid value: \"4gb\": must be less than the memory limit of 1Gi"]
        );
        assert_eq!(faults_of(spec("1gb")).len(), 1);
        assert_eq!(doubts_of(spec("900mb")).len(), 1);
        assert!(doubts_of(spec("700mb")).is_empty() && doubts_of(spec("0")).is_empty());
    }

    #[test]
    fn memory_has_a_bound_and_a_unit() {
        let told = |spec: Value| {
            let instance = checked(spec).unwrap();
            doubts(&instance).into_iter().chain(memory_without_bound(&instance)).collect::<Vec<_>>().join("\n")
        };
        assert!(told(json!({})).contains("neither a memory limit nor maxmemory"));
        assert!(told(json!({"resources": {"limits": {"memory": "1Gi"}}})).contains("without maxmemory"));
        let bounded = json!({"config": {"maxmemory": "256mb"}, "resources": {"limits": {"memory": "1Gi"}}});
        assert_eq!(told(bounded), "");
        for (resources, name) in [
            (json!({"limits": {"memory": "512"}}), "limits.memory"),
            (json!({"requests": {"memory": "512"}}), "requests.memory"),
            (json!({"limits": {"cpu": "500"}}), "limits.cpu"),
        ] {
            let told = told(json!({ "resources": resources }));
            assert!(told.contains(name) && told.contains("unit missing"), "{told}");
        }
    }
}
