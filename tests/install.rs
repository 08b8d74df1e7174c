//! The two ways to install, kustomize and Helm, held against each other object by object, and the chart's values held to
//! their schema. The ignored tests run the real programs (`tests/tools/tool`), as `tests/run.sh install` does; no cluster.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "install/chart_and_kustomizations.rs"]
mod chart_and_kustomizations;
#[path = "install/chart_values.rs"]
mod chart_values;
#[path = "install/kustomizations.rs"]
mod kustomizations;

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Map, Value};

/// Where the kustomizations install; Helm gets the same namespace.
const NAMESPACE: &str = "redis-operator-system";

const EVERY_MONITOR: &str = "monitoring.serviceMonitor.enabled=true,monitoring.prometheusRule.enabled=true,\
                             monitoring.dashboard.enabled=true";

/// Objects by kind, namespace and name.
type Objects = BTreeMap<(String, String, String), Value>;

fn key(kind: &str, namespace: &str, name: &str) -> (String, String, String) {
    (kind.to_owned(), namespace.to_owned(), name.to_owned())
}

fn objects(stream: &str) -> Objects {
    let mut found = Objects::new();
    let documents: Vec<Option<Map<String, Value>>> = serde_saphyr::from_multiple(stream).unwrap();
    for document in documents.into_iter().flatten() {
        let object = Value::Object(document);
        let field = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = (field("/kind"), field("/metadata/namespace"), field("/metadata/name"));
        assert!(!key.0.is_empty() && !key.2.is_empty(), "no object: {object}");
        assert!(found.insert(key.clone(), object).is_none(), "{key:?} twice");
    }
    assert!(!found.is_empty(), "no objects");
    found
}

fn kustomize(folder: &str) -> String {
    succeeded("kubectl", &["kustomize", folder])
}

fn template(namespace: &str, values: &str) -> String {
    succeeded("helm", &["template", "redis-operator", "charts/redis-operator", "-n", namespace, "--set", values])
}

fn succeeded(program: &str, arguments: &[&str]) -> String {
    let output = tool(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn tool(program: &str, arguments: &[&str]) -> Output {
    Command::new("tests/tools/tool").current_dir(root()).arg(program).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
