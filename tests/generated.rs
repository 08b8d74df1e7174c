//! Generated files are what the code would generate today. `just generate` writes them; this test only compares.

use std::{fs, path::Path, process::Command};

/// A file below the project's root, and the subcommand that prints it.
const GENERATED: &[(&str, &str)] = &[
    ("manifests/crd.yaml", "crd"),
    ("manifests/rbac.yaml", "rbac"),
    ("manifests/webhooks.yaml", "webhooks"),
    ("docs/directives.md", "directives"),
];

#[test]
fn generated_files_are_current() {
    for (file, subcommand) in GENERATED {
        let output = Command::new(env!("CARGO_BIN_EXE_redis-operator")).arg(subcommand).output().unwrap();
        assert!(output.status.success(), "{subcommand} failed: {}", String::from_utf8_lossy(&output.stderr));
        let committed = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default();
        assert!(committed == String::from_utf8(output.stdout).unwrap(), "{file} is stale; run `just generate`");
    }
}
