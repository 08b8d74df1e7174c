//! Admission warnings about legal specs. At most 120 characters each, the limit of the API. Takes a validated instance;
//! refuses nothing.

use super::{
    change::classify,
    cross_field,
    directives::release::{Release, engine, release, version},
    image::ImageReference,
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
    let doubts = doubts.chain(cross_field::memory_without_bound(instance));
    vulnerable.into_iter().chain(plain).chain(doubts).collect()
}

/// Warnings about the effect of a legal change: one line per class, and effects without a class.
#[must_use]
pub fn of_change(old: &ValidatedInstance, new: &ValidatedInstance) -> Vec<String> {
    let mut effects = impact::sentences(&classify(&Live::of(old), new), new);
    if old.replicas == new.replicas && old.bounds_divergence() != new.bounds_divergence() {
        effects.push("spec.replication.durability: applied live, no restart".to_owned());
    }
    if old.auth != new.auth && old.auth.is_enabled() && new.auth.is_enabled() {
        effects.push("spec.auth.secretName: the running servers take the other password too; the former one goes after 5 minutes".to_owned());
    }
    match (old.auth.is_enabled(), new.auth.is_enabled()) {
        (false, true) => effects.push("spec.auth.enabled: each server asks for the password once restarted; AUTH default PASSWORD works before and after".to_owned()),
        (true, false) => effects.push("spec.auth.enabled: the running servers stop asking for a password at once; AUTH default PASSWORD still works".to_owned()),
        _ => {}
    }
    if old.storage.retention != new.storage.retention && new.storage.retention == Retention::Delete {
        effects.push(
            "spec.storage.retention: deleting the instance will delete its volumes, and all data in them".to_owned(),
        );
    }
    let fewer = old.replicas.saturating_sub(new.replicas);
    if fewer > 0 && new.storage.retention == Retention::Delete {
        let pods = if fewer == 1 { "the pod".to_owned() } else { format!("the {fewer} pods") };
        effects.push(format!(
            "spec.replicas: deletes the volumes of {pods} removed, because spec.storage.retention is Delete"
        ));
    }
    effects
}

/// The directives that could not be checked against the tables.
fn unjudged(instance: &ValidatedInstance) -> Vec<String> {
    let release = release(&instance.image);
    let mut warnings = Vec::new();
    let has_config = instance.config.iter().next().is_some();
    match (engine(&instance.image), version(&instance.image)) {
        (None, _) if !has_config => warnings.push(
            "spec.image: its name has neither redis nor valkey in it: it needs redis-server, redis-cli and sh"
                .to_owned(),
        ),
        (Some(engine), Some((major, minor))) if has_config && matches!(release, Release::Unknown) => {
            let minor = minor.map(|minor| format!(".{minor}")).unwrap_or_default();
            warnings.push(format!(
                "spec.image: no table of {engine} {major}{minor} yet, so spec.config is checked against all known versions"
            ));
        }
        _ if has_config && matches!(release, Release::Unknown) => warnings.push(
            "spec.image: its tag names no known version, so spec.config is checked against all known versions"
                .to_owned(),
        ),
        _ => {}
    }
    if matches!(release, Release::Known(line) if line.engine == "redis" && line.version < (7, 0)) {
        warnings.push(
            "spec.image: redis 6.2 cannot close CONFIG SET dir, MODULE LOAD and DEBUG: the password lets run code"
                .to_owned(),
        );
    }
    if brings_modules(&instance.image) {
        warnings.push(
            "spec.image: the modules of the image (JSON, search and others) are not loaded: their commands fail"
                .to_owned(),
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

/// Whether this is an official image whose entrypoint, which the operator does not run, loads modules.
fn brings_modules(image: &ImageReference) -> bool {
    let name = image.repository().rsplit('/').next().unwrap_or_default();
    let official = image.repository() == "library/redis" || image.repository().ends_with("/library/redis");
    let newer = official && version(image).is_some_and(|(major, _)| major >= 8);
    newer || name.starts_with("redis-stack") || matches!(name, "redismod" | "rejson" | "redisearch" | "redistimeseries")
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
        assert_eq!(all.len(), 4);
        assert!(all.iter().all(|text| text.len() <= 120), "{all:?}");
        let quiet = json!({"image": "redis:7.4", "config": {"maxmemory": "64mb"}});
        assert!(warnings(&validated(quiet)).is_empty());
        for image in
            ["redis:6.2", "redis:8-alpine", "redis/redis-stack-server:7.4.0-v3", "team/cache:blue", "redis:8.6"]
        {
            let all = warnings(&validated(json!({"image": image, "config": {"maxmemory": "64mb"}})));
            assert!(!all.is_empty() && all.iter().all(|text| text.len() <= 120), "{image}: {all:?}");
        }
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
        for (old, new, retention, volumes) in [
            (3, 1, "Delete", Some("of the 2 pods removed")),
            (3, 2, "Delete", Some("of the pod removed")),
            (3, 1, "Retain", None),
            (1, 3, "Delete", None),
        ] {
            let spec = |replicas| json!({"replicas": replicas, "storage": {"retention": retention}});
            let told = told(spec(old), spec(new)).into_iter().find(|text| text.contains("volumes"));
            let told = told.filter(|text| text.len() <= 120);
            assert_eq!(told.is_some(), volumes.is_some(), "{old} to {new}, {retention}: {told:?}");
            assert!(volumes.is_none_or(|words| told.unwrap().contains(words)));
        }
        let off = json!({"auth": {"enabled": false}, "replicas": 3});
        let on = json!({"replicas": 3});
        for (old, new, told_of) in [
            (
                &off,
                &on,
                "each server asks for the password once restarted; AUTH default PASSWORD works before and after",
            ),
            (&on, &off, "the running servers stop asking for a password at once; AUTH default PASSWORD still works"),
        ] {
            let lines = told(old.clone(), new.clone());
            let expected = ["rolls 3 pods, one at a time, the primary last", told_of];
            assert_eq!(lines, expected.map(|line| format!("spec.auth.enabled: {line}")));
            assert!(lines.iter().all(|line| line.len() <= 120));
        }
        let secret = |name: &str| json!({"auth": {"secretName": name}});
        assert_eq!(told(secret("one"), secret("two")).len(), 1);
        assert!(told(json!({"storage": {"retention": "Delete"}}), json!({})).is_empty());
    }
}
