//! The admission table (`tests/data/admission.yaml`) as cases, and the objects they describe.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::{Value, json};

/// Image of an instance that names none: of the same line as the local cluster's, and with no word of its own.
pub(crate) const DEFAULT_IMAGE: &str = "redis:7.0";

const UNBOUNDED: &str = "spec.resources: neither a memory limit nor maxmemory: Redis may fill its node";
const KILLED_AT_LIMIT: &str =
    "spec.resources.limits.memory: without maxmemory Redis is killed when it needs more than the memory limit";

/// One case; the fields are explained in the table itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    #[serde(rename = "case")]
    pub(crate) tried: String,
    #[serde(default = "cache")]
    pub(crate) name: String,
    pub(crate) spec: Value,
    #[serde(default)]
    pub(crate) old: Option<Value>,
    #[serde(default)]
    pub(crate) deny: Vec<String>,
    #[serde(default)]
    pub(crate) warn: Vec<String>,
    #[serde(default)]
    pub(crate) server: Vec<String>,
    #[serde(default)]
    pub(crate) metadata: Value,
    #[serde(default)]
    pub(crate) repeat: BTreeMap<String, (String, usize)>,
    #[serde(default)]
    pub(crate) served: bool,
    #[serde(default)]
    pub(crate) past_admission: bool,
}

fn cache() -> String {
    "cache".to_owned()
}

impl Case {
    /// Field of the spec and words: unique, and enough to find the line.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.tried, self.spec)
    }

    /// Whether the webhook is asked at all: not when the schema has refused a wrong type before it.
    pub(crate) fn reaches_the_webhook(&self) -> bool {
        self.server.is_empty() || !self.deny.is_empty()
    }

    /// Every warning: those of the row and, after them, the one about memory that nothing bounds, which most rows would repeat.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let number = |pointer: &str| self.spec.pointer(pointer).filter(|value| !value.is_null());
        let bounded = number("/config/maxmemory").is_some_and(|value| value != "0" && value != "0b");
        let mut warnings = self.warn.clone();
        if self.deny.is_empty() && self.server.is_empty() && self.old.is_none() && !bounded {
            let limited = number("/resources/limits/memory").is_some();
            warnings.push(if limited { KILLED_AT_LIMIT } else { UNBOUNDED }.to_owned());
        }
        warnings
    }

    /// The new object.
    pub(crate) fn object(&self) -> Value {
        let mut object = self.with_spec(&self.spec);
        for (pointer, (text, times)) in &self.repeat {
            match object.pointer_mut(&format!("/spec{pointer}")).unwrap() {
                Value::Object(fields) => fields.extend((0..*times).map(|n| (format!("{text}{n}"), json!("x")))),
                value => *value = json!(text.repeat(*times)),
            }
        }
        object
    }

    /// The stored object, for an update.
    pub(crate) fn old_object(&self) -> Option<Value> {
        self.old.as_ref().map(|spec| self.with_spec(spec))
    }

    fn with_spec(&self, spec: &Value) -> Value {
        let mut metadata = json!({"name": self.name, "namespace": "shop"});
        metadata.as_object_mut().unwrap().extend(self.metadata.as_object().cloned().unwrap_or_default());
        json!({"apiVersion": "redis.github.com/v1", "kind": "RedisInstance", "metadata": metadata, "spec": spec})
    }
}

/// Every case of the table.
pub(crate) fn cases() -> Vec<Case> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/admission.yaml");
    let cases: Vec<Case> = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert!(cases.len() > 100, "the table has shrunk to {} cases", cases.len());
    cases
}
