//! Generated files are what the code would generate today. `just generate` writes them; this test only compares.

use std::{fs, path::Path, process::Command};

/// A file below the project's root, and the subcommand that prints it.
const GENERATED: &[(&str, &str)] = &[
    ("manifests/default/crd.yaml", "crd"),
    ("manifests/default/rbac.yaml", "rbac"),
    ("manifests/default/webhooks.yaml", "webhooks"),
    ("docs/fields.md", "fields"),
    ("docs/directives.md", "directives"),
];

/// A file of the chart, which can only read what is below it, and what it is a copy of.
const COPIES: &[(&str, &str)] = &[
    ("files/crd.yaml", "default/crd.yaml"),
    ("files/rbac.yaml", "default/rbac.yaml"),
    ("files/prometheus_rule.yaml", "monitoring/prometheus_rule.yaml"),
    ("dashboards/redis-operator.json", "monitoring/redis-operator.json"),
];

#[test]
fn generated_files_are_current() {
    for (file, subcommand) in GENERATED {
        let output = Command::new(env!("CARGO_BIN_EXE_redis-operator")).arg(subcommand).output().unwrap();
        assert!(output.status.success(), "{subcommand} failed: {}", String::from_utf8_lossy(&output.stderr));
        assert!(text(file) == String::from_utf8(output.stdout).unwrap(), "{file} is stale; run `just generate`");
    }
}

#[test]
fn the_chart_has_current_copies() {
    for (copy, original) in COPIES {
        let original = text(&format!("manifests/{original}"));
        assert!(!original.is_empty(), "{copy} is a copy of nothing");
        let copied = text(&format!("charts/redis-operator/{copy}"));
        assert!(copied == original, "{copy} of the chart is stale; run `just generate`");
    }
}

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default()
}
