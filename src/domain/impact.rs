//! The admission warnings about the effect of a legal change: one line per class, at most 120 characters each. The
//! classes come from `change`.

use super::{
    change::{Change, Class},
    instance::ValidatedInstance,
};

/// The longest warning, in characters, that clients show whole.
const LIMIT: usize = 120;

/// One line for each class, the fields that cause it first.
#[must_use]
pub fn sentences(changes: &[Change], desired: &ValidatedInstance) -> Vec<String> {
    let mut classes: Vec<Class> = changes.iter().map(|change| change.class).collect();
    classes.sort_unstable();
    classes.dedup();
    let sentence = |class: Class| {
        let fields: Vec<&str> = changes
            .iter()
            .filter(|change| change.class == class)
            .flat_map(|change| &change.fields)
            .map(String::as_str)
            .collect();
        let effect = effect(class, changes, desired.replicas);
        format!("{}: {effect}", subject(&fields, LIMIT.saturating_sub(effect.len() + 2)))
    };
    classes.into_iter().map(sentence).collect()
}

fn effect(class: Class, changes: &[Change], replicas: i32) -> String {
    match (class, replicas) {
        (Class::Live, _) => "applied live, no restart".to_owned(),
        (Class::Persistence, _) => {
            "set on the running servers first; restarts wait until the files are complete".to_owned()
        }
        (Class::Expand, _) => "the volumes grow while Redis runs, if their StorageClass allows it".to_owned(),
        (Class::Scale, _) => changes
            .iter()
            .find(|change| change.class == Class::Scale)
            .map(|change| change.reason.clone())
            .unwrap_or_default(),
        (Class::Rolling, 1) => "rolls 1 pod: about one restart of downtime (replicas: 1)".to_owned(),
        (Class::Rolling, many) => format!("rolls {many} pods, one at a time, the primary last"),
        (Class::Migrate, many) => {
            format!("replaces {many} volumes one by one, each copied from the primary; the old volumes are deleted")
        }
        (Class::Recreate, 1) => "recreates the StatefulSet: the pod restarts, its volume stays".to_owned(),
        (Class::Recreate, many) => {
            format!("recreates the StatefulSet: all {many} pods restart at once, their volumes stay")
        }
        (Class::Refused, _) => "cannot be changed; nothing is done about it".to_owned(),
    }
}

/// The fields in at most this many characters; directives share one bracket, and omitted fields are counted.
fn subject(fields: &[&str], limit: usize) -> String {
    (1..=fields.len()).rev().map(|shown| list(fields, shown)).find(|text| text.len() <= limit).unwrap_or_else(|| {
        let cut: String = list(fields, 1).chars().take(limit.saturating_sub(3)).collect();
        format!("{cut}...")
    })
}

fn list(fields: &[&str], shown: usize) -> String {
    let directive = |field: &&&str| field.starts_with("spec.config[");
    let shown_fields = || fields.iter().take(shown);
    let directives: Vec<&str> = shown_fields()
        .filter(directive)
        .filter_map(|field| field.strip_prefix("spec.config[")?.strip_suffix(']'))
        .collect();
    let mut parts: Vec<String> =
        shown_fields().filter(|field| !directive(field)).map(|field| (*field).to_owned()).collect();
    if !directives.is_empty() {
        parts.push(format!("spec.config[{}]", directives.join(",")));
    }
    let rest = fields.len() - shown;
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    parts.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{change::classify, instance::tests::validated, live::Live};

    fn told(old: Value, new: Value) -> Vec<String> {
        let (old, new) = (validated(old), validated(new));
        let told = sentences(&classify(&Live::of(&old), &new), &new);
        assert!(told.iter().all(|line| line.chars().count() <= LIMIT), "{told:?}");
        told
    }

    #[test]
    fn each_class_is_one_line_with_what_causes_it() {
        assert_eq!(
            told(
                json!({"image": "redis:7.0.1"}),
                json!({"image": "redis:7.2.5", "config": {"maxmemory": "64mb", "hz": "20"}})
            ),
            [
                "spec.config[hz,maxmemory]: applied live, no restart",
                "spec.image: rolls 1 pod: about one restart of downtime (replicas: 1)",
            ]
        );
        assert_eq!(
            told(
                json!({}),
                json!({"image": "redis:7.2.5", "resources": {"limits": {"cpu": 1}}, "config": {"databases": "4"}})
            ),
            [
                "spec.image, spec.resources, spec.config[databases]: rolls 1 pod: about one restart of downtime (replicas: 1)"
            ]
        );
        assert_eq!(
            told(json!({}), json!({"pod": {"nodeSelector": {"disk": "ssd"}, "priorityClassName": "high"}})),
            [
                "spec.pod.nodeSelector, spec.pod.priorityClassName: rolls 1 pod: about one restart of downtime (replicas: 1)"
            ]
        );
        assert!(told(json!({}), json!({})).is_empty());
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let many: serde_json::Map<String, Value> = [
            "active-defrag-cycle-max",
            "active-expire-effort",
            "aof-timestamp-enabled",
            "auto-aof-rewrite-percentage",
            "busy-reply-threshold",
            "jemalloc-bg-thread",
        ]
        .iter()
        .map(|name| {
            ((*name).to_owned(), json!(if name.ends_with("thread") || name.ends_with("enabled") { "no" } else { "2" }))
        })
        .collect();
        let line = told(json!({}), json!({ "config": many })).concat();
        assert!(line.contains(" more: applied live, no restart"), "{line}");
    }
}
