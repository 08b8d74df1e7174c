//! One object, or the change to it, through everything that would meet it in a cluster: decoding, defaults, schema, rules.
//! What is faulty is taken out before the next step, so that one run names every fault.

use serde_json::{Map, Value, json};

use super::{
    node::Node,
    path::Path,
    resource,
    schema::{self, Fault, Stripped},
};
use crate::{
    api::v1::RedisInstance,
    domain::{
        defaults::Defaults,
        field_error::FieldError,
        judgement::{self, SPEC_LIMIT},
    },
};

/// One fault, as it is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The field; empty when the fault is the object's.
    pub field: String,
    /// The cause as apimachinery names it, or `UnknownField` or `DuplicateField`.
    pub reason: String,
    /// The message, without the field.
    pub message: String,
    /// The line it is about; 0 when not known.
    pub line: usize,
}

/// The result for one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Every fault; none, and the object would be stored.
    pub faults: Vec<Finding>,
    /// Warnings about an accepted object.
    pub warnings: Vec<String>,
}

/// The schema and the defaults for validation.
#[derive(Debug)]
pub struct Judge {
    schema: Value,
    defaults: Defaults,
}

impl Judge {
    /// A judge for an operator with this default image.
    ///
    /// # Errors
    /// When the schema is no JSON, which is a defect of this crate.
    pub fn new(default_image: &str) -> Result<Self, serde_json::Error> {
        Ok(Self { schema: resource::schema()?, defaults: Defaults { image: default_image.to_owned() } })
    }

    /// Judges a new object or, with the stored one, the change.
    #[must_use]
    pub fn judge(&self, new: &Node, old: Option<&Node>) -> Judgement {
        let mut object = new.to_json();
        let stripped = schema::strip(&self.schema, &mut object);
        resource::generate_name(&mut object);
        let stored = old.map(|old| self.stored(old));
        match &stored {
            Some(stored) => self.defaults.apply_to_update(&mut object, stored),
            None => self.defaults.apply(&mut object),
        }
        let mut faults = resource::check(&self.schema, &object);
        faults.retain(|fault| !is_stored(fault, &object, stored.as_ref()));
        let mut findings = decoding_faults(new, &stripped);
        findings.extend(faults.iter().map(|fault| {
            let message = format!("{}{}", fault.message, cure(fault, &object));
            Finding { field: fault.path.field(), reason: fault.reason.to_owned(), message, line: 0 }
        }));
        let (errors, warnings) = self.rules(object, stored, &faults);
        for error in errors {
            if !findings.iter().any(|finding| repeats(&error, finding)) {
                findings.push(Finding {
                    message: error.message(),
                    reason: error.reason().to_owned(),
                    field: error.field,
                    line: 0,
                });
            }
        }
        for finding in findings.iter_mut().filter(|finding| finding.line == 0) {
            finding.line = new.line_of(&finding.field);
        }
        let dropped = stripped.nulls.iter().filter_map(resource::dropped);
        Judgement { faults: findings, warnings: dropped.chain(warnings).collect() }
    }

    /// The stored object as the API server would hand it on.
    fn stored(&self, old: &Node) -> Value {
        let mut object = old.to_json();
        schema::strip(&self.schema, &mut object);
        self.defaults.apply(&mut object);
        object
    }

    /// Applies the rules to the parts that have the right types.
    fn rules(&self, mut object: Value, mut stored: Option<Value>, faults: &[Fault]) -> (Vec<FieldError>, Vec<String>) {
        let metadata_is_sound = !faults.iter().any(|fault| fault.path.keys().first() == Some(&"metadata"));
        let mut errors = if metadata_is_sound {
            resource::metadata_faults(object.get("metadata").unwrap_or(&Value::Null))
        } else {
            Vec::new()
        };
        if faults.iter().any(|fault| fault.path.keys() == ["spec"]) {
            return (errors, Vec::new());
        }
        if object.get("spec").is_some_and(|spec| spec.to_string().len() > SPEC_LIMIT) {
            errors.push(FieldError::too_long("spec", SPEC_LIMIT));
            return (errors, Vec::new());
        }
        for object in std::iter::once(&mut object).chain(&mut stored) {
            for fault in faults {
                take_out(object, &fault.path);
            }
        }
        self.defaults.apply(&mut object);
        if !metadata_is_sound {
            *object.pointer_mut("/metadata").unwrap_or(&mut Value::Null) = json!({"name": "unknown"});
        }
        let new: RedisInstance = match serde_json::from_value(object) {
            Ok(new) => new,
            Err(error) => {
                errors.push(FieldError { detail: error.to_string(), ..FieldError::forbidden("spec", "") });
                return (errors, Vec::new());
            }
        };
        // A stored object that this version cannot even read has no faults to be excused by.
        let stored = stored.and_then(|stored| serde_json::from_value::<RedisInstance>(stored).ok());
        match judgement::judge(&new, stored.as_ref()) {
            Ok(warnings) => (errors, warnings),
            Err(more) => {
                errors.extend(more);
                (errors, Vec::new())
            }
        }
    }
}

/// Duplicate keys, then unknown fields, in the order of strict decoding.
fn decoding_faults(new: &Node, stripped: &Stripped) -> Vec<Finding> {
    let finding = |reason: &str, word: &str, field: String, line, meant: Option<&String>| {
        let hint = meant.map(|meant| format!("; did you mean \"{meant}\"?")).unwrap_or_default();
        let message = format!("strict decoding error: {word} field \"{field}\"{hint}");
        Finding { field, reason: reason.to_owned(), message, line }
    };
    let twice =
        new.duplicates().into_iter().map(|twice| finding("DuplicateField", "duplicate", twice.path, twice.line, None));
    let unknown = stripped
        .unknown
        .iter()
        .map(|(path, meant)| finding("UnknownField", "unknown", path.field(), 0, meant.as_ref()));
    twice.chain(unknown).collect()
}

/// The usual slip, which the API server's message does not name: `appendonly: yes` is a boolean.
fn cure(fault: &Fault, object: &Value) -> &'static str {
    let scalar = || fault.path.find(object).is_some_and(|value| value.is_boolean() || value.is_number());
    if matches!(fault.path.keys().as_slice(), ["spec", "config", _]) && scalar() { "; quote it" } else { "" }
}

/// Whether the stored object has the same fault at the same place: the API server forgives it. Not a wrong type, which the
/// webhook could not read.
fn is_stored(fault: &Fault, object: &Value, stored: Option<&Value>) -> bool {
    let unchanged = || stored.is_some_and(|stored| fault.path.find(stored) == fault.path.find(object));
    matches!(fault.reason, "FieldValueTooLong" | "FieldValueTooMany" | "FieldValueInvalid") && unchanged()
}

/// Takes a faulty part out as far as others could be misjudged by it: `config` is judged by the image and the replicas.
fn take_out(object: &mut Value, path: &Path) {
    let mut remove = |parent: &str, field: &str| {
        object
            .pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .and_then(|fields: &mut Map<_, _>| fields.remove(field));
    };
    match path.keys().as_slice() {
        ["spec", "config", name, ..] => remove("/spec/config", name),
        ["spec", "pod", part, ..] => remove("/spec/pod", part),
        ["spec", section @ ("image" | "replicas")] => {
            remove("/spec", section);
            remove("/spec", "config");
        }
        ["spec", section, ..] => remove("/spec", section),
        _ => {}
    }
}

/// Whether the schema has said it already; several faults can be named after `spec.config`, or a part of the pod.
fn repeats(error: &FieldError, finding: &Finding) -> bool {
    let several = error.field == "spec.config" || error.field.starts_with("spec.pod.");
    error.field == finding.field && (!several || finding.message.ends_with(&error.detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::yaml;

    fn judged(new: &str, old: Option<&str>) -> Judgement {
        let node = |text: &str| {
            let text =
                format!("apiVersion: redis.github.com/v1\nkind: RedisInstance\nmetadata: {{name: cache}}\n{text}");
            yaml::documents(&text).remove(0).unwrap()
        };
        Judge::new("redis:7.0").unwrap().judge(&node(new), old.map(node).as_ref())
    }

    fn told(new: &str, old: Option<&str>) -> Vec<String> {
        judged(new, old)
            .faults
            .iter()
            .map(|fault| format!("{} {}: {}", fault.line, fault.field, fault.message))
            .collect()
    }

    #[test]
    fn one_run_names_the_faults_of_every_step() {
        assert_eq!(
            told(
                "spec:\n  replcas: 1\n  config:\n    maxclients: 100\n    maxmemmory: 1gb\n    hz: '10'\n    hz: '11'\n  auth: {secretName: cache-auth}\n",
                None
            ),
            [
                "10 spec.config.hz: strict decoding error: duplicate field \"spec.config.hz\"",
                "5 spec.replcas: strict decoding error: unknown field \"spec.replcas\"; did you mean \"replicas\"?",
                "7 spec.config.maxclients: Invalid value: \"integer\": spec.config.maxclients in body must be of type string: \"integer\"; quote it",
                "8 spec.config[maxmemmory]: Invalid value: \"maxmemmory\": unknown directive for redis 7.0; did you mean \"maxmemory\"?",
                "11 spec.auth.secretName: Invalid value: \"cache-auth\": is the name of the Secret that the operator makes; leave the field out to use it",
            ]
        );
    }

    #[test]
    fn a_slip_deep_below_pod_is_pointed_at() {
        assert_eq!(
            told(
                "spec:\n  pod:\n    affinity:\n      nodeAfinity: {}\n    tolerations:\n    - key: a\n    - key: b\n      operater: Exists\n      operator: exists\n    nodeSelector:\n      disk: 1\n    labels:\n      team: a b\n      app: x\n",
                None
            )
            .iter()
            .map(|line| line.split_inclusive(':').take(3).collect::<String>())
            .collect::<Vec<_>>(),
            [
                "7 spec.pod.affinity.nodeAfinity: strict decoding error: unknown field \"spec.pod.affinity.nodeAfinity\"; did you mean \"nodeAffinity\"?",
                "11 spec.pod.tolerations[1].operater: strict decoding error: unknown field \"spec.pod.tolerations[1].operater\"; did you mean \"operator\"?",
                "14 spec.pod.nodeSelector.disk: Invalid value: \"integer\":",
                "16 spec.pod.labels[team]: Invalid value: \"a b\":",
                "17 spec.pod.labels[app]: Forbidden: is the operator's own:",
                "12 spec.pod.tolerations[1].operator: Unsupported value: \"exists\":",
            ]
        );
    }

    #[test]
    fn a_part_that_cannot_be_read_makes_no_other_look_wrong() {
        assert_eq!(
            told("spec: {image: 7, config: {io-threads-do-reads: 'yes', latency-tracking: 'no'}}\n", None).len(),
            1
        );
        assert_eq!(told("spec: {replicas: '3', config: {min-replicas-to-write: '1'}}\n", None).len(), 1);
        assert_eq!(
            told(
                "spec: {storage: {size: 5, storageClassName: a}}\n",
                Some("spec: {storage: {size: 1Gi, storageClassName: a}}\n")
            )
            .len(),
            1
        );
        assert_eq!(told("spec: []\n", None).len(), 1);
        assert_eq!(told("spec: {replicas: 0}\n", None).len(), 1);
    }

    #[test]
    fn a_change_is_held_against_what_it_changes() {
        let old = "spec: {image: 'Redis:7', storage: {size: 2Gi}}\n";
        assert_eq!(told("spec: {image: 'Redis:7', storage: {size: 3Gi}}\n", Some(old)), Vec::<String>::new());
        assert!(told("spec: {image: 'redis:7', storage: {size: 1Gi}}\n", Some(old))[0].contains("may not be reduced"));
        assert_eq!(told("spec: {image: 'redis:7'}\n", Some(old)), Vec::<String>::new(), "a size left out stays");
        let long = format!("spec: {{image: {}}}\n", "x".repeat(1025));
        assert_eq!((told(&long, None).len(), told(&long, Some(&long)).len()), (1, 0));
    }

    #[test]
    fn a_directive_without_a_value_is_told() {
        let judgement = judged("spec:\n  config:\n    maxmemory: 64mb\n    save:\n", None);
        assert!(judgement.faults.is_empty());
        assert_eq!(
            judgement.warnings,
            ["spec.config[save]: has no value, so the API server drops it; write \"\" for an empty one"]
        );
    }
}
