//! Which way each difference between what runs and what is wanted takes: the least disruptive one that is safe. One pure
//! function, by which admission warns and which the loop obeys. Knows no object and makes no request.

use super::{
    directives::release::{Release, release},
    effective::Effective,
    image::ImageReference,
    instance::ValidatedInstance,
    live::Live,
    migration::obstacle,
    persistence::decides_files,
    reason::Reason,
    redis_conf::{comes_with_replication, restart_hash},
    resources::Resources,
};
use crate::api::v1::ConfigUpdate;

/// The way that a change takes, from the least disruptive to the one that is not gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Given to the running servers and proved there; no pod restarts.
    Live,
    /// Given to the running servers first, under every policy; the ConfigMap and restarts wait until the data files are complete.
    Persistence,
    /// The volumes grow under the running pods.
    Expand,
    /// Pods are added or taken away.
    Scale,
    /// Pods restart one at a time, each after the one before it serves.
    Rolling,
    /// The volumes are replaced one pod at a time by volumes of another StorageClass, each copied anew from the primary.
    Migrate,
    /// The StatefulSet is deleted with its pods and made anew: all pods restart at once; the volumes stay.
    Recreate,
    /// There is no safe way; nothing is done about it.
    Refused,
}

impl Class {
    /// The reason of the event that tells of such a change.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Live => Reason::AppliedLive,
            Self::Persistence => Reason::PersistenceChange,
            Self::Expand => Reason::Expand,
            Self::Scale => Reason::Scale,
            Self::Rolling => Reason::RollingUpdate,
            Self::Migrate => Reason::Migrate,
            Self::Recreate => Reason::Recreate,
            Self::Refused => Reason::Refused,
        }
    }
}

/// One difference, or several of one kind, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The way it takes.
    pub class: Class,
    /// Paths of the fields that cause it: `spec.image`, `spec.config[maxmemory]`.
    pub fields: Vec<String>,
    /// Why, for events and history: `image changed from redis:7.0 to redis:7.2`. Holds no value of `spec.config`.
    pub reason: String,
}

/// Whether the StatefulSet has to be deleted and made anew: the destructive way, which a user has to ask for.
#[must_use]
pub fn needs_statefulset_restart(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.class == Class::Recreate)
}

/// Whether the StatefulSet changes in place, and the pods follow it.
#[must_use]
pub fn needs_statefulset_update(changes: &[Change]) -> bool {
    changes.iter().any(|change| matches!(change.class, Class::Rolling | Class::Scale))
}

/// Every difference between what runs and what is wanted, in the order of the spec.
#[must_use]
pub fn classify(live: &Live, desired: &ValidatedInstance) -> Vec<Change> {
    let wanted = Live::of(desired);
    let mut changes: Vec<Change> = [
        image(live, &wanted),
        replicas(live, &wanted),
        resources(live, &wanted),
        pod(live, &wanted),
        size(live, &wanted),
        class(live, &wanted),
    ]
    .into_iter()
    .flatten()
    .collect();
    changes.extend(auth(live, &wanted));
    changes.extend(config(live, desired, &changes));
    changes
}

fn change(class: Class, field: &str, reason: String) -> Change {
    Change { class, fields: vec![field.to_owned()], reason }
}

fn image(live: &Live, wanted: &Live) -> Option<Change> {
    let reason = || format!("image changed from {} to {}", live.image, wanted.image);
    (live.image != wanted.image).then(|| change(Class::Rolling, "spec.image", reason()))
}

fn replicas(live: &Live, wanted: &Live) -> Option<Change> {
    let reason = || format!("replicas changed from {} to {}", live.replicas, wanted.replicas);
    (live.replicas != wanted.replicas).then(|| change(Class::Scale, "spec.replicas", reason()))
}

fn resources(live: &Live, wanted: &Live) -> Option<Change> {
    let Resources { limits, requests } = &wanted.resources;
    let mut fields = Vec::new();
    for (part, before, after) in
        [("limits", &live.resources.limits, limits), ("requests", &live.resources.requests, requests)]
    {
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| before.get(*name) != after.get(*name));
        fields.extend(names.into_iter().map(|name| {
            let amount =
                |of: Option<&super::quantity::Quantity>| of.map_or_else(|| "none".to_owned(), ToString::to_string);
            format!("{part}[{name}] from {} to {}", amount(before.get(name)), amount(after.get(name)))
        }));
    }
    let reason = || format!("resources changed: {}", fields.join(", "));
    (!fields.is_empty()).then(|| change(Class::Rolling, "spec.resources", reason()))
}

/// The parts of `spec.pod` that differ.
fn pod(live: &Live, wanted: &Live) -> Option<Change> {
    let mut parts: Vec<&String> = live.pod.keys().chain(wanted.pod.keys()).collect();
    parts.sort_unstable();
    parts.dedup();
    parts.retain(|part| live.pod.get(*part) != wanted.pod.get(*part));
    let list = parts.iter().map(|part| part.as_str()).collect::<Vec<_>>().join(", ");
    let fields = parts.iter().map(|part| format!("spec.pod.{part}")).collect();
    (!parts.is_empty()).then(|| Change {
        class: Class::Rolling,
        fields,
        reason: format!("pod options changed: {list}"),
    })
}

fn size(live: &Live, wanted: &Live) -> Option<Change> {
    let (before, after) = (live.size?, wanted.size?);
    let field = "spec.storage.size";
    if after > before {
        return Some(change(Class::Expand, field, format!("storage.size grows from {before} to {after}")));
    }
    (after < before)
        .then(|| change(Class::Refused, field, format!("storage.size may not be reduced from {before} to {after}")))
}

fn class(live: &Live, wanted: &Live) -> Option<Change> {
    let (before, after) = (live.class.as_deref(), wanted.class.as_deref());
    let (class, reason) = match obstacle(after, wanted.replicas) {
        None => {
            let before = match before {
                None => "the default class",
                Some("") => "no class",
                Some(class) => class,
            };
            let reason = format!("storage.storageClassName changed from {before} to {}", after.unwrap_or_default());
            (Class::Migrate, reason)
        }
        Some(why) => (Class::Refused, format!("storage.storageClassName may not be changed so: {why}")),
    };
    (before != after).then(|| change(class, "spec.storage.storageClassName", reason))
}

fn auth(live: &Live, wanted: &Live) -> Option<Change> {
    let reason = || format!("auth.enabled changed from {} to {}", live.auth, wanted.auth);
    (live.auth != wanted.auth).then(|| change(Class::Rolling, "spec.auth.enabled", reason()))
}

/// Directives that decide about the data files change on the running servers first. The others change live if every one of them
/// can and the policy lets them; otherwise all of them wait for the restart.
fn config(live: &Live, desired: &ValidatedInstance, others: &[Change]) -> Vec<Change> {
    let wanted = Effective::of(desired, release(&desired.image));
    let mut changed = live.config.as_ref().map(|before| before.differing(&wanted)).unwrap_or_default();
    // What comes and goes with the replicas is no change of the user's, who is told of the replicas.
    changed.retain(|name| !comes_with_replication(name) || desired.config.iter().any(|(own, _)| own == name));
    let restart = match desired.config_update {
        ConfigUpdate::Recreate => Class::Recreate,
        ConfigUpdate::Auto | ConfigUpdate::RollingUpdate => Class::Rolling,
    };
    let (files, changed): (Vec<String>, Vec<String>) = changed.into_iter().partition(|name| decides_files(name));
    let of = |class: Class, names: &[String]| Change {
        class,
        fields: names.iter().map(|name| format!("spec.config[{name}]")).collect(),
        reason: format!("config changed: {}", names.join(", ")),
    };
    let mut found: Vec<Change> = (!files.is_empty()).then(|| of(Class::Persistence, &files)).into_iter().collect();
    let stale = live.restart_hash != restart_hash(desired);
    if changed.is_empty() {
        // Another release, or another choice about the password, changes what the pods start with too, and rolls anyway.
        let told = others.iter().any(|change| change.class == Class::Rolling);
        let reason = "the pods were started with another configuration, or under another update policy".to_owned();
        found.extend((stale && !told).then(|| change(restart, "spec.updatePolicy.config", reason)));
        return found;
    }
    // A directive that only the release of the new image has goes with the pods of that image.
    let present = ImageReference::parse(&live.image).map_or(Release::Unknown, |image| release(&image));
    let is_new = live.image != desired.image.as_str() && changed.iter().any(|name| !present.is_live(name));
    let class = match (stale, is_new) {
        (true, _) => restart,
        (false, true) => Class::Rolling,
        (false, false) => Class::Live,
    };
    found.push(of(class, &changed));
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::instance::tests::validated;

    /// Class, fields and reason of each change between two specs.
    fn changes(old: &Value, new: &Value) -> Vec<(Class, String, String)> {
        let changes = classify(&Live::of(&validated(old.clone())), &validated(new.clone()));
        changes.into_iter().map(|change| (change.class, change.fields.join(" "), change.reason)).collect()
    }

    fn classes(old: &Value, new: &Value) -> Vec<(Class, String)> {
        changes(old, new).into_iter().map(|(class, fields, _)| (class, fields)).collect()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table of all kinds of change")]
    fn each_change_takes_the_least_disruptive_way() {
        let config = |config: Value| json!({ "config": config });
        let policy = |policy: &str, config: Value| json!({"config": config, "updatePolicy": {"config": policy}});
        let small = json!({"maxmemory": "64mb"});
        let sized = |size: &str| json!({"storage": {"size": size}});
        let classed =
            |replicas: i32, class: Option<&str>| json!({"replicas": replicas, "storage": {"storageClassName": class}});
        for (old, new, expected) in [
            (json!({}), json!({}), vec![]),
            (json!({}), config(small.clone()), vec![(Class::Live, "spec.config[maxmemory]")]),
            (config(small.clone()), json!({}), vec![(Class::Live, "spec.config[maxmemory]")]),
            (config(json!({"maxmemory": "64mb"})), config(json!({"maxmemory": "67108864"})), vec![]),
            (json!({}), config(json!({"appendonly": "yes"})), vec![]),
            (json!({}), config(json!({"appendonly": "no"})), vec![(Class::Persistence, "spec.config[appendonly]")]),
            (
                config(json!({"appendonly": "no", "save": ""})),
                config(json!({"databases": "4", "maxmemory": "64mb"})),
                vec![
                    (Class::Persistence, "spec.config[appendonly] spec.config[save]"),
                    (Class::Rolling, "spec.config[databases] spec.config[maxmemory]"),
                ],
            ),
            (
                policy("Recreate", json!({"appendonly": "no"})),
                policy("Recreate", json!({})),
                vec![(Class::Persistence, "spec.config[appendonly]")],
            ),
            (
                policy("RollingUpdate", json!({"save": "60 1"})),
                policy("RollingUpdate", json!({"save": ""})),
                vec![(Class::Persistence, "spec.config[save]")],
            ),
            (json!({}), config(json!({"databases": "4"})), vec![(Class::Rolling, "spec.config[databases]")]),
            (
                json!({}),
                config(json!({"databases": "4", "maxmemory": "64mb"})),
                vec![(Class::Rolling, "spec.config[databases] spec.config[maxmemory]")],
            ),
            (
                policy("RollingUpdate", json!({})),
                policy("RollingUpdate", small.clone()),
                vec![(Class::Rolling, "spec.config[maxmemory]")],
            ),
            (
                policy("Recreate", json!({})),
                policy("Recreate", small.clone()),
                vec![(Class::Recreate, "spec.config[maxmemory]")],
            ),
            (policy("Recreate", small.clone()), policy("RollingUpdate", small), vec![]),
            (json!({}), policy("RollingUpdate", json!({})), vec![(Class::Rolling, "spec.updatePolicy.config")]),
            (json!({}), json!({"image": "redis:7.4.2"}), vec![(Class::Rolling, "spec.image")]),
            (json!({}), json!({"image": "redis:6.2.1"}), vec![(Class::Rolling, "spec.image")]),
            (
                json!({}),
                json!({"image": "redis:7.4.2", "config": {"maxmemory": "64mb"}}),
                vec![(Class::Rolling, "spec.image"), (Class::Live, "spec.config[maxmemory]")],
            ),
            (
                json!({"image": "redis:7.0.15"}),
                json!({"image": "redis:7.2.5", "config": {"set-max-listpack-entries": "64"}}),
                vec![(Class::Rolling, "spec.image"), (Class::Rolling, "spec.config[set-max-listpack-entries]")],
            ),
            (json!({}), json!({"resources": {"limits": {"cpu": 1}}}), vec![(Class::Rolling, "spec.resources")]),
            (
                json!({}),
                json!({"pod": {"nodeSelector": {"disk": "ssd"}, "labels": {"team": "shop"}}}),
                vec![(Class::Rolling, "spec.pod.labels spec.pod.nodeSelector")],
            ),
            (
                json!({"pod": {"annotations": {"a": "1"}}}),
                json!({"pod": {"annotations": {"a": "2"}}}),
                vec![(Class::Rolling, "spec.pod.annotations")],
            ),
            (json!({"pod": {"labels": {"a": "1"}}}), json!({}), vec![(Class::Rolling, "spec.pod.labels")]),
            (json!({}), json!({"pod": {"tolerations": [], "labels": {}}}), vec![]),
            (json!({}), json!({"pod": {"affinity": {}}}), vec![(Class::Rolling, "spec.pod.affinity")]),
            (json!({}), json!({"auth": {"enabled": false}}), vec![(Class::Rolling, "spec.auth.enabled")]),
            (json!({}), json!({"auth": {"secretName": "other"}}), vec![]),
            (json!({}), json!({"storage": {"retention": "Delete"}}), vec![]),
            (sized("1Gi"), sized("2Gi"), vec![(Class::Expand, "spec.storage.size")]),
            (sized("1Gi"), sized("1024Mi"), vec![]),
            (sized("2Gi"), sized("1Gi"), vec![(Class::Refused, "spec.storage.size")]),
            (classed(1, None), classed(1, Some("")), vec![(Class::Refused, "spec.storage.storageClassName")]),
            (classed(1, None), classed(1, Some("fast")), vec![(Class::Refused, "spec.storage.storageClassName")]),
            (classed(3, Some("slow")), classed(3, None), vec![(Class::Refused, "spec.storage.storageClassName")]),
            (classed(3, None), classed(3, Some("fast")), vec![(Class::Migrate, "spec.storage.storageClassName")]),
            (
                classed(1, Some("slow")),
                classed(2, Some("fast")),
                vec![(Class::Scale, "spec.replicas"), (Class::Migrate, "spec.storage.storageClassName")],
            ),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(class, fields)| (class, fields.to_owned())).collect();
            assert_eq!(classes(&old, &new), expected, "{old} to {new}");
        }
    }

    #[test]
    fn the_seeds_two_questions_have_their_answers() {
        let of = |classes: &[Class]| -> Vec<Change> {
            classes.iter().map(|class| change(*class, "spec", String::new())).collect()
        };
        for (classes, restart, update) in [
            (&[][..], false, false),
            (&[Class::Live, Class::Expand, Class::Refused][..], false, false),
            (&[Class::Rolling][..], false, true),
            (&[Class::Scale, Class::Live][..], false, true),
            (&[Class::Recreate][..], true, false),
            (&[Class::Recreate, Class::Rolling][..], true, true),
        ] {
            let changes = of(classes);
            assert_eq!(
                (needs_statefulset_restart(&changes), needs_statefulset_update(&changes)),
                (restart, update),
                "{classes:?}"
            );
        }
    }

    #[test]
    fn a_reason_tells_what_changed_and_no_value_of_a_directive() {
        let reasons =
            |old: Value, new: Value| -> Vec<String> { changes(&old, &new).into_iter().map(|c| c.2).collect() };
        assert_eq!(
            reasons(json!({"image": "redis:7.0.1"}), json!({"image": "redis:7.2.5"})),
            ["image changed from redis:7.0.1 to redis:7.2.5"]
        );
        assert_eq!(
            reasons(
                json!({"resources": {"limits": {"memory": "1Gi"}}}),
                json!({"resources": {"limits": {"memory": "2048Mi", "cpu": "500m"}}})
            ),
            ["resources changed: limits[cpu] from none to 500m, limits[memory] from 1Gi to 2Gi"]
        );
        assert_eq!(
            reasons(json!({}), json!({"config": {"maxmemory": "64mb", "hz": "20"}})),
            ["config changed: hz, maxmemory"]
        );
    }
}
