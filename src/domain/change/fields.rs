//! Classifies the differences of each field of the spec, except for `spec.config`.

use super::{Change, Class};
use crate::domain::{live::Live, migration::obstacle, resources::Resources};

pub(super) fn change(class: Class, field: &str, reason: String) -> Change {
    Change { class, fields: vec![field.to_owned()], reason }
}

pub(super) fn image(live: &Live, wanted: &Live) -> Option<Change> {
    let reason = || format!("image changed from {} to {}", live.image, wanted.image);
    (live.image != wanted.image).then(|| change(Class::Rolling, "spec.image", reason()))
}

pub(super) fn replicas(live: &Live, wanted: &Live) -> Option<Change> {
    let reason = || format!("replicas changed from {} to {}", live.replicas, wanted.replicas);
    (live.replicas != wanted.replicas).then(|| change(Class::Scale, "spec.replicas", reason()))
}

pub(super) fn resources(live: &Live, wanted: &Live) -> Option<Change> {
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
            let amount = |of: Option<&crate::domain::quantity::Quantity>| {
                of.map_or_else(|| "none".to_owned(), ToString::to_string)
            };
            format!("{part}[{name}] from {} to {}", amount(before.get(name)), amount(after.get(name)))
        }));
    }
    let reason = || format!("resources changed: {}", fields.join(", "));
    (!fields.is_empty()).then(|| change(Class::Rolling, "spec.resources", reason()))
}

/// The parts of `spec.pod` that differ.
pub(super) fn pod(live: &Live, wanted: &Live) -> Option<Change> {
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

pub(super) fn size(live: &Live, wanted: &Live) -> Option<Change> {
    let (before, after) = (live.size?, wanted.size?);
    let field = "spec.storage.size";
    if after > before {
        return Some(change(Class::Expand, field, format!("storage.size grows from {before} to {after}")));
    }
    (after < before)
        .then(|| change(Class::Refused, field, format!("storage.size may not be reduced from {before} to {after}")))
}

pub(super) fn class(live: &Live, wanted: &Live) -> Option<Change> {
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

pub(super) fn auth(live: &Live, wanted: &Live) -> Option<Change> {
    let reason = || format!("auth.enabled changed from {} to {}", live.auth, wanted.auth);
    (live.auth != wanted.auth).then(|| change(Class::Rolling, "spec.auth.enabled", reason()))
}
