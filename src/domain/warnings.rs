//! What is legal and yet worth a word to the user at `kubectl apply`. At most 120 characters each, as the API asks.
//! Judges a checked instance; refuses nothing.

use super::{
    change::classify,
    cross_field,
    directives::release::{Release, release},
    impact,
    instance::{Auth, ValidatedInstance},
    live::Live,
    vulnerabilities,
};
use crate::api::v1::Retention;

/// One line a warning, in the order of the spec.
#[must_use]
pub fn warnings(instance: &ValidatedInstance) -> Vec<String> {
    let checks: [(bool, &str); 3] = [
        (
            instance.image.is_mutable(),
            "spec.image: mutable tag: what runs can change at any restart; pin a version or digest",
        ),
        (
            instance.storage.class.as_deref() == Some(""),
            "spec.storage.storageClassName: \"\" waits for a volume made by hand; leave it out for the default class",
        ),
        (
            instance.auth == Auth::Disabled,
            "spec.auth.enabled: false: every pod that reaches this Redis can read, write and delete all of its data",
        ),
    ];
    let plain = checks.into_iter().filter(|(applies, _)| *applies).map(|(_, text)| text.to_owned());
    let vulnerable = vulnerabilities::warning(&instance.image);
    let doubts = unjudged(instance).into_iter().chain(cross_field::doubts(instance)).chain(instance.pod.doubts());
    vulnerable.into_iter().chain(plain).chain(doubts).collect()
}

/// What a legal change will do: one line a class of change, and what has no class and yet matters.
#[must_use]
pub fn of_change(old: &ValidatedInstance, new: &ValidatedInstance) -> Vec<String> {
    let mut told = impact::sentences(&classify(&Live::of(old), new), new);
    if old.replicas == new.replicas && old.bounds_divergence() != new.bounds_divergence() {
        told.push("spec.replication.durability: applied live, no restart".to_owned());
    }
    if old.auth != new.auth && old.auth.is_enabled() && new.auth.is_enabled() {
        told.push("spec.auth.secretName: the running servers take the other password too; the former one goes after 5 minutes".to_owned());
    }
    if old.storage.retention != new.storage.retention && new.storage.retention == Retention::Delete {
        told.push(
            "spec.storage.retention: deleting the instance will delete its volumes, and all data in them".to_owned(),
        );
    }
    told
}

/// What of the configuration could not be judged by the tables.
fn unjudged(instance: &ValidatedInstance) -> Vec<String> {
    let release = release(&instance.image);
    let mut warnings = Vec::new();
    if matches!(release, Release::Unknown) && instance.config.iter().next().is_some() {
        warnings.push(
            "spec.image: its name tells no known version, so spec.config is checked against all of them".to_owned(),
        );
    }
    let ignored = |name: &&str| release.directive(name).is_some_and(|directive| directive.has("ignored"));
    if let Release::Known(line) = release {
        let names = instance.config.iter().map(|(name, _)| name).filter(ignored);
        warnings.extend(names.map(|name| format!("spec.config[{name}]: has no effect in {}", line.title())));
    }
    warnings.extend(
        instance
            .config
            .redundant()
            .map(|name| format!("spec.config[{name}]: has no effect: the value is the same without it; leave it out")),
    );
    let vouched =
        |name: &&str| instance.vouched.iter().any(|vouched| vouched == name) && release.candidates(name).is_empty();
    warnings.extend(
        instance.config.iter().map(|(name, _)| name).filter(vouched).map(|name| {
            format!("spec.config[{name}]: unknown, passed on as it is because the annotation vouches for it")
        }),
    );
    warnings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::instance::tests::validated;

    #[test]
    fn each_warning_is_short_enough_for_the_api() {
        let all = warnings(&validated(
            json!({"image": "redis", "storage": {"storageClassName": ""}, "auth": {"enabled": false}}),
        ));
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|text| text.len() <= 120), "{all:?}");
        assert!(warnings(&validated(json!({"image": "redis:7.4"}))).is_empty());
    }

    #[test]
    fn a_change_is_told_what_it_will_do() {
        let told = |old, new| of_change(&validated(old), &validated(new));
        assert!(told(json!({}), json!({})).is_empty());
        assert_eq!(
            told(json!({}), json!({"config": {"maxmemory": "64mb"}, "storage": {"retention": "Delete"}})),
            [
                "spec.config[maxmemory]: applied live, no restart",
                "spec.storage.retention: deleting the instance will delete its volumes, and all data in them",
            ]
        );
        let secret = |name: &str| json!({"auth": {"secretName": name}});
        assert_eq!(told(secret("one"), secret("two")).len(), 1);
        assert!(told(json!({"storage": {"retention": "Delete"}}), json!({})).is_empty());
    }
}
