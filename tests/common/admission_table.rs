//! The admission table (`tests/data/admission.yaml`) as cases, and the objects they describe.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::{Value, json};

/// Image of an instance that names none: of the same line as the local cluster's, and with no word of its own.
pub(crate) const DEFAULT_IMAGE: &str = "redis:7.0";

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
