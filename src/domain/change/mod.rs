//! Classifies each difference between the running and the desired state: the least disruptive safe way to apply it. One
//! pure function, used by admission for warnings and by the reconcile.

mod config;
mod fields;

use self::{
    config::config,
    fields::{auth, class, image, pod, replicas, resources, size},
};
use super::{instance::ValidatedInstance, live::Live, reason::Reason};

/// How a change is applied, from the least disruptive way to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Set on the running servers with CONFIG SET and verified there; no pod restarts.
    Live,
    /// Set on the running servers first, under every policy; the ConfigMap and restarts wait until the data files are
    /// complete.
    Persistence,
    /// The volumes grow under the running pods.
    Expand,
    /// Pods are added or removed.
    Scale,
    /// Pods restart one at a time, each after the previous one is ready.
    Rolling,
    /// The volumes are replaced one pod at a time by volumes of another StorageClass, with a full resync from the
    /// primary.
    Migrate,
    /// The StatefulSet is deleted with its pods and created again: all pods restart at once; the volumes are kept.
    Recreate,
    /// There is no safe way; the change is not applied.
    Refused,
}

impl Class {
    /// The reason of the event that announces a change of this class.
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

/// One difference, or several of one kind, and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The way it takes.
    pub class: Class,
    /// Paths of the fields that cause it: `spec.image`, `spec.config[maxmemory]`.
    pub fields: Vec<String>,
    /// The cause, for events and history: `image changed from redis:7.0 to redis:7.2`. Contains no value of
    /// `spec.config`.
    pub reason: String,
}

/// True if the StatefulSet has to be deleted and created again: the disruptive way, which only the update policy
/// selects.
#[must_use]
pub fn needs_statefulset_restart(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.class == Class::Recreate)
}

/// True if the StatefulSet is changed in place and rolls its pods.
#[must_use]
pub fn needs_statefulset_update(changes: &[Change]) -> bool {
    changes.iter().any(|change| matches!(change.class, Class::Rolling | Class::Scale))
}

/// Every difference between the running and the desired state, in the order of the spec.
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
            classes.iter().map(|class| fields::change(*class, "spec", String::new())).collect()
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
