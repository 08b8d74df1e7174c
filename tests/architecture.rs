//! The direction of knowledge between modules, read off the `use` lines and paths of `src`, and the shape of every file.
//! The compiler cannot enforce this within one crate, so this test does.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A module (the path's beginning below `src/`) and what none of its lines may name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("api/", &["crate::domain", "crate::build", "crate::webhook", "crate::controller", "tokio", "axum"]),
    (
        "domain/",
        &[
            "crate::build",
            "crate::webhook",
            "crate::controller",
            "crate::runtime",
            "crate::settings",
            "kube::",
            "tokio",
            "axum",
            "tracing",
            "std::env",
            "std::time",
            "SystemTime",
            "Timestamp::now",
            "getrandom",
            "HashMap",
            "HashSet",
        ],
    ),
    (
        "build/",
        &[
            "crate::webhook",
            "crate::controller",
            "crate::runtime",
            "crate::settings",
            "kube::",
            "tokio",
            "axum",
            "tracing",
            "std::env",
            "std::time",
            "SystemTime",
            "Timestamp::now",
            "getrandom",
            "HashMap",
            "HashSet",
        ],
    ),
    ("redis/", &["crate::", "kube::", "k8s_openapi"]),
    ("webhook/", &["crate::controller", "crate::client", "crate::runtime", "kube::"]),
    ("controller/", &["crate::webhook", "crate::client", "crate::runtime", "crate::settings", "axum", "rustls"]),
    ("lease/", &["crate::webhook", "crate::controller", "crate::domain", "crate::build", "crate::runtime", "axum"]),
    ("issuer/", &["crate::webhook", "crate::controller", "crate::runtime", "crate::settings", "axum"]),
    ("check/", &["crate::webhook", "crate::controller", "crate::runtime", "crate::settings", "crate::issuer"]),
    ("client/", &["crate::webhook", "crate::controller", "crate::domain", "crate::build", "crate::runtime"]),
    ("metrics/", &["crate::", "kube", "k8s_openapi", "axum", "tokio", "HashMap"]),
    (
        "offline/",
        &[
            "crate::webhook",
            "crate::controller",
            "crate::runtime",
            "kube::",
            "tokio",
            "axum",
            "rustls",
            "HashMap",
            "HashSet",
        ],
    ),
    ("health/", &["crate::"]),
    ("shutdown.rs", &["crate::"]),
];

#[test]
fn knowledge_flows_one_way() {
    let mut breaches = Vec::new();
    for (file, text) in sources() {
        for (module, forbidden) in FORBIDDEN {
            if !file.starts_with(module) {
                continue;
            }
            let production = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in production.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                breaches.extend(
                    forbidden
                        .iter()
                        .filter(|word| names(code, word))
                        .map(|word| format!("src/{file}:{}: names {word}", number + 1)),
                );
            }
        }
    }
    assert!(breaches.is_empty(), "the direction of knowledge is broken:\n{}", breaches.join("\n"));
}

/// Whether the code names the path, as a word of its own.
fn names(code: &str, path: &str) -> bool {
    code.match_indices(path).any(|(at, _)| {
        !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
            && (path.ends_with(':') || !code[at + path.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

#[test]
fn every_file_says_what_it_decides_and_stays_readable() {
    let mut faults = Vec::new();
    for (file, text) in sources() {
        // The first paragraph; a list of known differences may follow it.
        let opening = text.lines().take_while(|line| line.starts_with("//! ")).count();
        if !(1..=4).contains(&opening) {
            faults.push(format!("src/{file}: opens with {opening} lines of //!, not 1 to 4"));
        }
        let production = text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
        if production > 300 {
            faults.push(format!("src/{file}: {production} lines, more than 300"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Every Rust file below `src`, as its path there and its text, in order.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(files.len() > 30, "only {} files found below {}", files.len(), root.display());
    let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
