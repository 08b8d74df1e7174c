//! Inputs as users write them, with the answers that are right, and configurations of known projects: through the same code
//! as `redis-operator validate`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path};

use redis_operator::offline::{
    judge::{Judge, Judgement},
    node::Node,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

const DEFAULT_IMAGE: &str = "redis:7.2";

#[derive(Deserialize)]
struct Input {
    case: String,
    spec: Value,
    answer: String,
    #[serde(default)]
    text: Vec<String>,
    #[serde(default)]
    metadata: Value,
}

#[derive(Deserialize)]
struct Configuration {
    case: String,
    spec: Value,
    owned: BTreeSet<String>,
    repeated: BTreeSet<String>,
    refused: BTreeSet<String>,
}

fn rows<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn judged(spec: &Value, more: &Value) -> Judgement {
    let mut metadata = json!({"name": "cache", "namespace": "shop"});
    metadata.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let object =
        json!({"apiVersion": "redis.github.com/v1", "kind": "RedisInstance", "metadata": metadata, "spec": spec});
    Judge::new(DEFAULT_IMAGE).unwrap().judge(&serde_json::from_value::<Node>(object).unwrap(), None)
}

fn faults(judgement: &Judgement) -> Vec<String> {
    judgement.faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect()
}

#[test]
fn inputs_get_the_answers_that_are_right() {
    let mut differences = Vec::new();
    for file in ["inputs.yaml", "more_inputs.yaml"] {
        for Input { case, spec, answer, text, metadata } in rows(file) {
            let judgement = judged(&spec, &metadata);
            let faults = faults(&judgement);
            let lines = if faults.is_empty() { judgement.warnings.join("\n") } else { faults.join("\n") };
            let right =
                (answer == "allow") == faults.is_empty() && text.iter().all(|part| lines.contains(part.as_str()));
            if !right || judgement.warnings.iter().any(|warning| warning.len() > 256) {
                differences.push(format!("{case} {spec}\n  expected {answer} {text:?}\n  answered {lines}"));
            }
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn of_known_configurations_only_the_operators_directives_are_refused() {
    let mut differences = Vec::new();
    for Configuration { case, spec, owned, repeated, refused } in rows("configurations.yaml") {
        let judgement = judged(&spec, &Value::Null);
        let faults = faults(&judgement);
        let named = |text: &String| text.strip_prefix("spec.config[")?.split(']').next().map(str::to_owned);
        let found: BTreeSet<Option<String>> = faults.iter().map(named).collect();
        let expected: BTreeSet<Option<String>> = owned.union(&refused).cloned().map(Some).collect();
        // Warnings come where nothing is refused: then the operator's own values are the only ones of its directives.
        let mut rest = spec.clone();
        for name in owned.union(&refused) {
            rest["config"].as_object_mut().unwrap().remove(name);
        }
        let warnings = judged(&rest, &Value::Null).warnings;
        let without_effect: BTreeSet<String> =
            warnings.iter().filter(|text| text.contains("the value is the same")).filter_map(named).collect();
        if found != expected || without_effect != repeated {
            differences.push(format!("{case}\n  refused {faults:#?}\n  not {expected:?}\n  without effect {without_effect:?}, not {repeated:?}"));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
