//! YAML as `kubectl` reads it: our reader against `sigs.k8s.io/yaml`, document by document.

use redis_operator::offline::yaml;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    READABLE,
    judge::{Intended, Judge},
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct YamlVector {
    #[serde(rename = "in")]
    text: String,
    out: Option<String>,
    err: bool,
    twice: bool,
}

/// The JSON of the first document, and whether a key stands twice in it; `Err` when it is refused.
pub(crate) type YamlResult = Result<(Value, bool), String>;

pub(crate) static DIFFERENCES: [Intended<YamlVector, YamlResult>; 6] = [
    Intended {
        reason: "a key written over a merged one is not written twice; kubectl is not strict about it either",
        applies: |vector, ours| vector.twice && vector.text.contains("<<") && matches!(ours, Ok((_, false))),
    },
    Intended {
        reason: "keys that are one in JSON are one, whatever they are in YAML",
        applies: |vector, ours| vector.text.contains("1: a, \"1\": b") && matches!(ours, Ok((_, true))),
    },
    Intended {
        reason: "no number beyond 64 bits, infinite or none is a key; no field has such a name",
        applies: |vector, _| {
            let key =
                vector.text.strip_suffix(": 1\n").or_else(|| vector.text.strip_suffix(": x\n")).unwrap_or_default();
            let number = key.trim_start_matches(['+', '-']);
            number.starts_with('.') && number.len() == 4
                || number.len() > 18 && number.bytes().all(|b| b.is_ascii_digit())
        },
    },
    Intended {
        reason: "a whole number between 2^63 and 2^64 is a float where a tag says so; Go has no float of that kind",
        applies: |vector, ours| vector.text.starts_with("a: !!float ") && vector.err && ours.is_ok(),
    },
    Intended {
        reason: "binary text is refused, as kubectl's reader asks its users to do without it",
        applies: |vector, ours| vector.text.contains("!!binary") && ours.is_err(),
    },
    Intended {
        reason: "the parser's grammar is that of YAML 1.2, which differs in a few corners",
        applies: |vector, _| {
            let corners =
                ["\ta: 1\n", "a: \u{2028}x\n", "a: x\u{85}y\n", "{\"a\": \"\\u00e9\\/\"}", "[!x]", "&: 1\n", "[-]"];
            corners.contains(&vector.text.as_str())
        },
    },
];

#[test]
fn yaml_is_read_as_kubectl_reads_it() {
    let mut judge = Judge::new(&DIFFERENCES);
    let vectors: Vec<YamlVector> = crate::vectors(include_str!("yaml.json"));
    for vector in &vectors {
        let ours = read(vector);
        let agree = agree(vector, &ours);
        judge.take(vector, &ours, agree);
    }
    judge.conclude();
}

fn read(vector: &YamlVector) -> YamlResult {
    match yaml::documents(&vector.text).into_iter().next() {
        None => Ok((Value::Null, false)),
        Some(Ok(node)) => Ok((node.to_json(), !node.duplicates().is_empty())),
        Some(Err(error)) => Err(error.message),
    }
}

fn agree(vector: &YamlVector, ours: &YamlResult) -> bool {
    match (ours, &vector.out) {
        (Ok((ours, twice)), Some(theirs)) => {
            same(ours, &serde_json::from_str(theirs).expect(READABLE)) && *twice == vector.twice
        }
        (Err(_), None) => vector.err,
        _ => false,
    }
}

/// Equal, with numbers by value: Go and serde write the same float in different forms.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}
