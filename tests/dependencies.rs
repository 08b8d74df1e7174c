//! What the project is built from for Linux: allowed licences, no banned crate, one version where two would not fit
//! together. The rules are those of `deny.toml`. It asks `cargo tree`: `cargo metadata` also lists crates that an
//! optional feature names and no build compiles.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    process::Command,
};

const TARGET: &str = "x86_64-unknown-linux-gnu";
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A crate of the tree: name, version, licence as its author wrote it.
type Crate = (String, String, String);

#[test]
fn every_licence_can_be_satisfied() {
    let allowed = entries("allow = [");
    let allowed: BTreeSet<&str> = allowed.iter().map(|(licence, _)| licence.as_str()).collect();
    assert!(allowed.contains("MIT"), "deny.toml: no list of licences found");
    let refused: Vec<String> = tree()
        .iter()
        .filter(|(_, _, licence)| !satisfiable(licence, &allowed))
        .map(|(name, version, licence)| format!("{name} {version}: {licence:?}"))
        .collect();
    assert!(refused.is_empty(), "licences that deny.toml does not allow:\n{}", refused.join("\n"));
}

#[test]
fn nothing_banned_and_nothing_twice() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, version, _) in tree() {
        versions.entry(name).or_default().insert(version);
    }
    let rules = entries("deny = [");
    assert!(rules.len() > 5, "deny.toml: only {} rules about crates found", rules.len());
    let mut faults = Vec::new();
    for (name, line) in &rules {
        let found = versions.get(name).cloned().unwrap_or_default();
        let single = line.contains("deny-multiple-versions = true");
        let expected = usize::from(single);
        if found.len() != expected {
            faults.push(format!("{name}: versions {found:?}, not {expected} of them: {line}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_source_is_the_public_registry() {
    let lock = read("Cargo.lock");
    let others: Vec<&str> = lock
        .lines()
        .filter_map(|line| line.strip_prefix("source = "))
        .map(|source| source.trim_matches('"'))
        .filter(|source| *source != CRATES_IO)
        .collect();
    assert!(lock.contains(CRATES_IO) && others.is_empty(), "sources other than crates.io: {others:?}");
}

#[test]
fn the_fuzz_targets_are_built_from_the_same() {
    let packages = |lock: &str| -> BTreeSet<String> {
        let fields = |package: &str| {
            let field = |name: &str| package.lines().find_map(|line| line.strip_prefix(name));
            Some(format!("{} {}", field("name = ")?, field("version = ")?))
        };
        lock.split("[[package]]").filter_map(fields).collect()
    };
    let (ours, theirs) = (packages(&read("Cargo.lock")), packages(&read("fuzz/Cargo.lock")));
    assert!(ours.len() > 100, "only {} packages in Cargo.lock", ours.len());
    let name = |package: &String| package.split(' ').next().unwrap().to_owned();
    let known: BTreeSet<String> = ours.iter().map(name).collect();
    let others: Vec<&String> = theirs.difference(&ours).filter(|package| known.contains(&name(package))).collect();
    assert!(
        others.is_empty(),
        "fuzz/Cargo.lock has other versions, which are compiled for it alone: {others:?}\n\
         cp Cargo.lock fuzz/Cargo.lock && cargo update --manifest-path fuzz/Cargo.toml --workspace"
    );
}

#[test]
fn licence_expressions_are_read_as_spdx_reads_them() {
    let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]);
    for licence in [
        "MIT",
        "GPL-3.0 OR MIT",
        "Apache-2.0/MIT",
        "(MIT OR X) AND ISC",
        "X AND Y OR MIT",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(satisfiable(licence, &allowed), "{licence}");
    }
    for licence in ["", "Apache-2.0", "MIT AND X", "(X OR MIT) AND Y", "X OR MIT AND Y"] {
        assert!(!satisfiable(licence, &allowed), "{licence}");
    }
}

/// Whether a licence expression can be met with these licences. AND binds tighter than OR; "/" is how old crates say OR.
fn satisfiable(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "_WITH_");
    let mut words: Vec<&str> = text.split_whitespace().rev().collect();
    let met = any(&mut words, allowed);
    met && words.is_empty()
}

/// Every part is read to its end, whatever the ones before it gave.
fn any(words: &mut Vec<&str>, allowed: &BTreeSet<&str>) -> bool {
    let mut met = all(words, allowed);
    while words.last() == Some(&"OR") {
        words.pop();
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut Vec<&str>, allowed: &BTreeSet<&str>) -> bool {
    let mut met = one(words, allowed);
    while words.last() == Some(&"AND") {
        words.pop();
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Vec<&str>, allowed: &BTreeSet<&str>) -> bool {
    match words.pop() {
        Some("(") => {
            let met = any(words, allowed);
            words.pop() == Some(")") && met
        }
        Some(licence) => allowed.contains(licence.replace("_WITH_", " WITH ").as_str()),
        None => false,
    }
}

/// Every crate that is compiled for Linux, for the program or its tests.
fn tree() -> BTreeSet<Crate> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--offline", "--locked", "--target", TARGET, "--edges", "normal,build,dev"])
        .args(["--prefix", "none", "--format", "{p}|{l}"])
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<Crate> = text.lines().filter(|line| !line.is_empty()).map(parsed).collect();
    assert!(crates.len() > 100, "only {} crates in the tree", crates.len());
    crates
}

/// `NAME vVERSION ...|LICENCE`, which ends in `(*)` where the crate was listed before.
fn parsed(line: &str) -> Crate {
    let (package, licence) = line.split_once('|').unwrap();
    let mut words = package.split_whitespace();
    let (name, version) = (words.next().unwrap(), words.next().unwrap());
    (name.to_owned(), version.to_owned(), licence.trim_end_matches("(*)").trim().to_owned())
}

/// The lines of a list in `deny.toml`, each with the first text in it: a licence, or the name of a crate.
fn entries(head: &str) -> Vec<(String, String)> {
    let text = read("deny.toml");
    let list = text.lines().skip_while(|line| *line != head).skip(1).take_while(|line| *line != "]");
    list.filter_map(|line| Some((line.split('"').nth(1)?.to_owned(), line.trim().to_owned()))).collect()
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}
