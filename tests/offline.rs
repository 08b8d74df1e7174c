//! `redis-operator validate` and `explain`: the admission table judged without a cluster, and the commands as a process,
//! with their exit codes and what they print.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use common::admission_table::{Case, DEFAULT_IMAGE, cases};
use redis_operator::{
    api::crd,
    offline::{judge::Judge, node::Node},
};
use serde_json::{Value, json};

#[test]
fn the_table_holds_without_a_cluster() {
    let judge = Judge::new(DEFAULT_IMAGE).unwrap();
    let node = |object: Value| -> Node { serde_json::from_value(object).unwrap() };
    let mut differences = Vec::new();
    for case in cases() {
        let judgement = judge.judge(&node(case.object()), case.old_object().map(node).as_ref());
        let faults: Vec<String> =
            judgement.faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect();
        let warned = if faults.is_empty() { judgement.warnings == case.warnings() } else { case.warn.is_empty() };
        if !warned || !refused_as_expected(&case, &faults) {
            let warnings = judgement.warnings;
            differences.push(format!("{}\n  expected {case:?}\n  answered {faults:?} {warnings:?}", case.title()));
        }
    }
    assert!(differences.is_empty(), "{} cases differ:\n{}", differences.len(), differences.join("\n"));
}

/// What the API server says before the webhook must be said here too, by name and words; the rest as the webhook says it.
fn refused_as_expected(case: &Case, faults: &[String]) -> bool {
    if case.server.is_empty() {
        return faults == case.deny;
    }
    // The wording of a rule that the CRD has too is the webhook's here.
    let whole = faults.join("\n");
    case.server.iter().all(|part| whole.contains(part.as_str())) || (!case.deny.is_empty() && faults == case.deny)
}

/// The rules in the CRD that no step here runs are those that `domain` repeats; a new one has to be thought about.
#[test]
fn no_rule_of_the_crd_is_left_out() {
    fn rules(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(fields) => {
                for (name, below) in fields {
                    if name == "x-kubernetes-validations" {
                        found.extend(below.as_array().unwrap().iter().map(|rule| rule["rule"].to_string()));
                    } else {
                        rules(below, found);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| rules(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    rules(&crd::definition().unwrap(), &mut found);
    let known = [
        "self >= 1",                        // read from the schema here
        "self <= 16",                       // likewise
        "compareTo(quantity(oldSelf))",     // domain/update.rs
        "oldSelf.storage.storageClassName", // domain/update.rs
        "replica-read-only",                // domain/cross_field/mod.rs
        "busy-reply-threshold",             // domain/replicated.rs
        "min-replicas-to-write",            // domain/cross_field/mod.rs
    ];
    let unknown: Vec<&String> = found.iter().filter(|rule| !known.iter().any(|known| rule.contains(known))).collect();
    assert!(unknown.is_empty(), "rules of the CRD that nothing here has: {unknown:?}");
    assert_eq!(found.len(), known.len(), "{found:?}");
}

fn run(arguments: &[&str], folder: &Path, stdin: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_redis-operator"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("DEFAULT_IMAGE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn instance(metadata: &str, spec: &str) -> String {
    format!("apiVersion: redis.github.com/v1\nkind: RedisInstance\nmetadata: {metadata}\nspec: {spec}\n")
}

#[test]
fn the_exit_code_differs_for_valid_refused_and_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("good.yaml"), instance("{name: cache}", "{config: {maxmemory: 64mb}}")).unwrap();
    fs::write(root.join("bad.yaml"), instance("{name: cache}", "{image: 'Redis:7', storage: {size: 10GiB}}")).unwrap();
    fs::write(root.join("broken.yaml"), "a: [\n").unwrap();
    fs::write(root.join("other.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n").unwrap();
    let validate = |files: &[&str]| run(&[&["validate", "-f"], files].concat(), root, "");

    assert_eq!(
        validate(&["good.yaml"]),
        (0, "redisinstance.redis.github.com/cache valid (good.yaml:1)\n".to_owned(), String::new())
    );
    let (code, text, errors) = validate(&["bad.yaml"]);
    assert_eq!(
        (code, text.as_str(), errors.as_str()),
        (
            1,
            "The RedisInstance \"cache\" is invalid (bad.yaml:1):\n\
             * spec.image: Invalid value: \"Redis:7\": must be a valid image reference: repository name must be lowercase\n\
             * spec.storage.size: Invalid value: \"10GiB\": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'\n",
            ""
        )
    );
    let (code, text, errors) = validate(&["good.yaml", "broken.yaml", "bad.yaml"]);
    assert_eq!((code, errors.starts_with("error: broken.yaml:")), (2, true), "{errors}");
    assert!(text.ends_with("1 valid, 1 refused, 0 skipped, 1 unreadable\n"), "{text}");
    assert_eq!(
        validate(&["other.yaml"]),
        (0, "configmap/x skipped (other.yaml:1): not a RedisInstance\n".to_owned(), String::new())
    );
    assert_eq!(validate(&["absent.yaml"]).0, 2);
    assert_eq!(validate(&["."]).0, 2, "a folder with a file that cannot be read");
    assert_eq!(run(&["validate"], root, "").0, 2, "no file named");
}

#[test]
fn standard_input_is_a_file_and_the_default_image_can_be_another() {
    let folder = tempfile::tempdir().unwrap();
    let text = instance("{name: cache}", "{config: {latency-tracking: 'yes', maxmemory: 64mb}}");
    let validate = |image: &str| run(&["validate", "-f", "-", "--default-image", image], folder.path(), &text);
    assert_eq!(validate("redis:7.2").1, "redisinstance.redis.github.com/cache valid (STDIN:1)\n");
    let (code, refusal, _) = validate("redis:6.2");
    assert!(code == 1 && refusal.contains("added in redis 7.0, the image is redis 6.2"), "{refusal}");
}

#[test]
fn warnings_read_like_kubectls() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text, _) = run(
        &["validate", "-f", "-"],
        folder.path(),
        &instance("{name: a}", "{image: redis, config: {maxmemory: 64mb}}"),
    );
    assert_eq!(code, 0);
    assert_eq!(
        text,
        "Warning: spec.image: mutable tag: what runs can change at any restart; pin a version or digest\nWarning: spec.image: its tag names no known version, so spec.config is checked against all known versions\nredisinstance.redis.github.com/a valid (STDIN:1)\n"
    );
}

#[test]
fn a_change_is_judged_from_the_stored_object() {
    let folder = tempfile::tempdir().unwrap();
    let stored = instance(
        "{name: cache, namespace: shop, uid: u, resourceVersion: '5', creationTimestamp: null}",
        "{storage: {size: 2Gi}}",
    );
    fs::write(folder.path().join("stored.yaml"), stored + "status: {status: Running}\n").unwrap();
    let change = |spec: &str| {
        run(
            &["validate", "-f", "-", "--old", "stored.yaml", "-o", "json"],
            folder.path(),
            &instance("{name: cache}", spec),
        )
    };
    let (code, text, _) = change("{storage: {size: 1Gi}}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let object = &answer["objects"][0];
    assert_eq!((code, &object["operation"], &object["verdict"]), (1, &json!("update"), &json!("refused")), "{text}");
    assert_eq!(object["faults"][0]["reason"], json!("FieldValueForbidden"));
    assert_eq!(change("{}").0, 0, "a size left out stays");
    assert_eq!(change("{storage: {size: 3Gi}}").0, 0);
}

#[test]
fn the_json_form_is_stable() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{}---\n- no object\n", instance("{name: a, namespace: b}", "{image: redis, replcas: 1}"));
    let (code, text, errors) = run(&["validate", "-f", "-", "-o", "json"], folder.path(), &text);
    assert_eq!((code, errors.as_str()), (2, ""));
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({
            "version": 1,
            "summary": {"valid": 0, "refused": 1, "skipped": 0, "unreadable": 1},
            "objects": [{
                "file": "STDIN", "document": 1, "line": 1, "apiVersion": "redis.github.com/v1", "kind": "RedisInstance",
                "namespace": "b", "name": "a", "operation": "create", "verdict": "refused",
                "faults": [{
                    "field": "spec.replcas", "reason": "UnknownField", "line": 4,
                    "message": "strict decoding error: unknown field \"spec.replcas\"; did you mean \"replicas\"?",
                }],
                "warnings": [
                    "spec.image: mutable tag: what runs can change at any restart; pin a version or digest",
                    "spec.resources: neither a memory limit nor maxmemory: Redis may fill its node",
                ],
            }],
            "unreadable": [{"file": "STDIN", "line": 6, "message": "is no Kubernetes object: not a mapping"}],
        })
    );
}

#[test]
fn what_yaml_and_the_api_server_do_to_an_object_is_done_here_too() {
    let folder = tempfile::tempdir().unwrap();
    let validate =
        |metadata: &str, spec: &str| run(&["validate", "-f", "-"], folder.path(), &instance(metadata, spec)).1;
    for (metadata, spec, expected) in [
        (
            "{name: a}",
            "{config: {appendonly: no}}",
            "spec.config.appendonly in body must be of type string: \"boolean\"",
        ),
        ("{name: a}", "{config: {maxclients: 0777}}", "must be of type string: \"integer\""),
        ("{name: a}", "{image: redis:7.4, image: redis:7.2}", "strict decoding error: duplicate field \"spec.image\""),
        (
            "{name: a, labels: {version: 7}}",
            "{}",
            "metadata.labels.version in body must be of type string: \"integer\"",
        ),
        ("{}", "{}", "metadata.name: Required value: name or generateName is required"),
        ("{generateName: cache-}", "{}", "redisinstance.redis.github.com/cache- valid"),
        (
            "{generateName: a234567890123456789012345678901234567890-}",
            "{}",
            "metadata.name: Too long: may not be more than 43 bytes",
        ),
        ("{name: a, namespace: Shop}", "{}", "metadata.namespace: Invalid value: \"Shop\""),
        (
            "{name: a}",
            "\n  config:\n    save:\n",
            "Warning: spec.config[save]: has no value, so the API server drops it",
        ),
    ] {
        let answer = validate(metadata, spec);
        assert!(answer.contains(expected), "{metadata} {spec}: {answer}");
    }
}

#[test]
fn explain_answers_and_fails_with_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let explain = |arguments: &[&str]| run(&[&["explain", "config"], arguments].concat(), folder.path(), "");
    let (code, text, _) = explain(&["maxmemory-policy", "--version", "7.2"]);
    assert!(code == 0 && text.contains("CHANGE:      applied live, no restart\n"), "{text}");
    let (code, text, errors) = explain(&["maxmemroy"]);
    assert_eq!(
        (code, text.as_str(), errors.as_str()),
        (1, "", "error: unknown directive \"maxmemroy\"; did you mean \"maxmemory\"?\n")
    );
    let (code, text, _) = explain(&["-o", "json", "--engine", "valkey"]);
    assert_eq!((code, serde_json::from_str::<Value>(&text).unwrap()["version"].clone()), (0, json!(1)));
}
