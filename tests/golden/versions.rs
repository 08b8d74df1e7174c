//! What an upgrade from each released version does to running instances: a pod template with another hash restarts every Redis
//! once. `pod_templates.yaml` has the hashes, in the order of the versions; the last entry is what this code makes.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{cases, objects};

/// The entry of the version to come.
const UNRELEASED: &str = "unreleased";
/// What the changelog says of a version that changes a pod template.
const WORDS: &str = "restarts every Redis";
const HEAD: &str = "\
# sha256 of the pod template that each version of the operator makes of each spec in tests/golden.rs, the oldest version
# first. Where it differs between two versions, the upgrade restarts every Redis once. Released entries never change;
# `just golden` writes the entry `unreleased`, and a release puts its number there (CONTRIBUTING.md).
";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    version: String,
    /// Name of the spec, and the hash.
    templates: BTreeMap<String, String>,
}

#[test]
fn no_upgrade_restarts_redis_unless_the_changelog_says_so() {
    let mut versions: Vec<Version> = serde_saphyr::from_str(&fs::read_to_string(file()).unwrap()).unwrap();
    let built: BTreeMap<String, String> =
        cases().into_iter().map(|(name, spec)| (name.to_owned(), hash(spec))).collect();
    let last = versions.last_mut().unwrap();
    assert!(
        last.version == UNRELEASED || last.version == env!("CARGO_PKG_VERSION"),
        "tests/golden/pod_templates.yaml ends with {}: the version of Cargo.toml needs an entry `- version: {UNRELEASED}` there",
        last.version
    );
    if env::var_os("UPDATE_GOLDEN").is_some() && last.version == UNRELEASED {
        last.templates.clone_from(&built);
        fs::write(file(), HEAD.to_owned() + &serde_saphyr::to_string(&versions).unwrap()).unwrap();
    }
    let last = versions.last().unwrap();
    assert!(
        last.templates == built,
        "the pod template changed: an upgrade from {} to this code restarts every Redis of every user, one pod at a time.\n{}\n\
         If it need not be, undo it. If it is meant: `just golden`, and an entry in CHANGELOG.md that says that the upgrade \
         {WORDS:?}, and why.",
        last.version,
        differences(last, &built)
    );
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let silent = silent(&versions, &changelog);
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn a_version_with_another_template_must_say_so() {
    let version = |version: &str, hashes: &[(&str, &str)]| Version {
        version: version.to_owned(),
        templates: hashes.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect(),
    };
    let versions = [
        version("0.1.0", &[("minimal", "a")]),
        version("0.1.1", &[("minimal", "a"), ("full", "x")]),
        version("0.2.0", &[("minimal", "a"), ("full", "y")]),
        version(UNRELEASED, &[("minimal", "b"), ("full", "y")]),
    ];
    let changelog = "## [Unreleased]\n- The upgrade restarts every Redis: why.\n## [0.2.0] - 2027-01-01\n- New.\n";
    assert_eq!(
        silent(&versions, changelog),
        [
            "CHANGELOG.md, 0.2.0: the pod template of \"full\" is not that of 0.1.1; say that the upgrade \"restarts every Redis\", and why"
        ]
    );
    let changelog = changelog.replace("New.", "It restarts every Redis.");
    assert!(silent(&versions, &changelog).is_empty());
    assert_eq!(silent(&versions, "").len(), 2);
}

/// The versions whose pod templates are not those of the version before, and of which the changelog does not say so.
fn silent(versions: &[Version], changelog: &str) -> Vec<String> {
    let mut silent = Vec::new();
    for (before, after) in versions.iter().zip(versions.iter().skip(1)) {
        let mut shared = after.templates.iter().filter(|(name, _)| before.templates.contains_key(*name));
        let Some((name, _)) = shared.find(|(name, hash)| before.templates.get(*name) != Some(*hash)) else { continue };
        let heading = format!("[{}]", after.version.replace(UNRELEASED, "Unreleased"));
        let mut sections = changelog.split("\n## ").map(|section| section.trim_start_matches("## "));
        if !sections.any(|section| section.starts_with(&heading) && section.contains(WORDS)) {
            silent.push(format!(
                "CHANGELOG.md, {}: the pod template of {name:?} is not that of {}; say that the upgrade {WORDS:?}, and why",
                after.version, before.version
            ));
        }
    }
    silent
}

/// What is not as it was, by field where the golden file still has what was recorded.
fn differences(recorded: &Version, built: &BTreeMap<String, String>) -> String {
    let mut lines = Vec::new();
    for (name, spec) in cases() {
        if recorded.templates.get(name) == built.get(name) {
            continue;
        }
        lines.push(format!("{name}:"));
        let golden = fs::read_to_string(root().join(format!("tests/golden/{name}.yaml"))).unwrap_or_default();
        let golden: Option<Value> = golden.rsplit("---\n").next().and_then(|last| serde_saphyr::from_str(last).ok());
        let known = golden.filter(|set| annotated(set) == recorded.templates.get(name).map(String::as_str));
        match known {
            Some(set) => compare("", &set["spec"]["template"], &last(spec)["spec"]["template"], &mut lines),
            None => lines.push("  see the diff of its golden file".to_owned()),
        }
    }
    lines.join("\n")
}

/// The fields that two objects do not share, each with both its values.
fn compare(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                compare(&format!("{path}.{key}"), &before[key], &after[key], lines);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for index in 0..old.len().max(new.len()) {
                compare(&format!("{path}[{index}]"), &before[index], &after[index], lines);
            }
        }
        (before, after) if before == after => {}
        (before, after) => lines.push(format!("  {}: {before} -> {after}", path.trim_start_matches('.'))),
    }
}

fn hash(spec: Value) -> String {
    annotated(&last(spec)).unwrap().to_owned()
}

fn last(spec: Value) -> Value {
    objects(spec).pop().unwrap()
}

/// The hash by which the loop knows a template.
fn annotated(set: &Value) -> Option<&str> {
    set["metadata"]["annotations"]["redis.github.com/template-hash"].as_str()
}

fn file() -> PathBuf {
    root().join("tests/golden/pod_templates.yaml")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
