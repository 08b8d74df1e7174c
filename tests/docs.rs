//! The documents against the project: links lead somewhere, recipes exist, no field and no reason is left out.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use redis_operator::{api::crd, domain::reason::Reason};
use serde_json::Value;
use sha2::{Digest, Sha256};

#[test]
fn relative_links_lead_somewhere() {
    let mut broken = Vec::new();
    for (file, text) in documents() {
        for target in links(&text) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let page = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            let there = page.exists()
                && (heading.is_empty() || fs::read_to_string(&page).is_ok_and(|text| anchors(&text).contains(heading)));
            if !there {
                broken.push(format!("{}: {target}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_recipe_that_is_named_exists() {
    let justfile = fs::read_to_string(root().join("justfile")).unwrap();
    let recipe = |line: &str| {
        let head = line.split_once(':').filter(|(_, rest)| !rest.starts_with('='))?.0;
        let name = head.split_whitespace().next()?;
        head.starts_with(|c: char| c.is_ascii_lowercase()).then(|| name.to_owned())
    };
    let recipes: BTreeSet<String> = justfile.lines().filter_map(recipe).collect();
    assert!(recipes.contains("test") && recipes.contains("kubectl"), "recipes not found in the justfile: {recipes:?}");
    let mut unknown = Vec::new();
    for (file, text) in documents() {
        let named = recipes_named(&text);
        unknown.extend(
            named.iter().filter(|name| !recipes.contains(*name)).map(|name| format!("{}: just {name}", file.display())),
        );
    }
    assert!(unknown.is_empty(), "recipes that the justfile does not have:\n{}", unknown.join("\n"));
}

#[test]
fn every_file_that_a_command_names_exists() {
    let folders = ["manifests/", "charts/", "webhook-certs/", "tests/", "fuzz/", "docs/", "src/"];
    let (mut missing, mut found) = (Vec::new(), 0);
    for (file, text) in documents() {
        for code in codes(&text) {
            let words =
                code.split(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '(' | ')' | ';' | '|' | '='));
            let paths = words.filter(|word| folders.iter().any(|folder| word.starts_with(folder)));
            // A pattern, or one of several.
            for path in paths.filter(|path| !path.contains(['*', '{', '<', '$'])) {
                found += 1;
                let path = path.trim_end_matches(['.', ',', ':']);
                if !root().join(path).exists() && !code.contains("target/") {
                    missing.push(format!("{}: {path}", file.display()));
                }
            }
        }
    }
    assert!(found > 100, "only {found} paths found");
    assert!(missing.is_empty(), "files that are not there:\n{}", missing.join("\n"));
}

#[test]
fn every_option_and_value_in_a_command_exists() {
    let program = env!("CARGO_BIN_EXE_redis-operator");
    let says = |arguments: &[&str]| {
        String::from_utf8(std::process::Command::new(program).args(arguments).output().unwrap().stdout).unwrap()
    };
    let mut ours = String::new();
    for command in ["run", "validate", "explain", "check-webhook", "crd", "rbac", "webhooks", "directives", "fields"] {
        ours.extend([says(&[command, "--help"]), says(&[command, "config", "--help"])]);
    }
    let others = [
        "--as",
        "--cascade",
        "--create-namespace",
        "--dry-run",
        "--force",
        "--from-literal",
        "--server-side",
        "--set",
        "--take-ownership",
        "--validate",
    ];
    let values: Value =
        serde_saphyr::from_str(&fs::read_to_string(root().join("charts/redis-operator/values.yaml")).unwrap()).unwrap();
    let (mut unknown, mut found) = (Vec::new(), (0, 0));
    for (file, text) in documents() {
        for code in codes(&text) {
            let mut words = code.split_whitespace();
            // An option that stands alone is one of ours, or well known.
            let option =
                code.split(['=', ' ']).next().filter(|option| option.starts_with("--") && !option.starts_with("---"));
            let options = if code.starts_with("redis-operator ") || code.starts_with("$ redis-operator ") {
                words.clone().filter(|word| word.starts_with("--")).filter_map(|word| word.split('=').next()).collect()
            } else {
                option.into_iter().collect::<Vec<_>>()
            };
            for option in options.into_iter().filter(|option| !others.contains(option)) {
                found.0 += 1;
                if !ours.contains(&format!("{option} ")) && !ours.contains(&format!("{option}\n")) {
                    unknown.push(format!("{}: {option}", file.display()));
                }
            }
            while words.by_ref().any(|word| word == "--set") {
                let Some((key, _)) = words.next().and_then(|set| set.trim_matches('\'').split_once('=')) else {
                    continue;
                };
                found.1 += 1;
                if values.pointer(&format!("/{}", key.replace('.', "/"))).is_none() {
                    unknown.push(format!("{}: --set {key}", file.display()));
                }
            }
        }
    }
    assert!(found.0 > 10 && found.1 > 5, "only so many options and values found: {found:?}");
    assert!(unknown.is_empty(), "options and values that nothing has:\n{}", unknown.join("\n"));
}

#[test]
fn every_reason_is_explained_and_none_is_invented() {
    let words = |reasons: &mut dyn Iterator<Item = &Reason>| reasons.map(Reason::to_string).collect::<BTreeSet<_>>();
    for (page, reasons) in [
        ("docs/status.md", words(&mut Reason::ALL.iter())),
        ("docs/events.md", words(&mut Reason::ALL.iter().filter(|reason| reason.urgency().is_some()))),
    ] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let explained: BTreeSet<String> = text
            .lines()
            .skip_while(|line| *line != "## Reasons")
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
            .collect();
        assert_eq!(reasons, explained, "left: reasons in the source; right: reasons in {page}");
    }
    let events = fs::read_to_string(root().join("docs/events.md")).unwrap();
    for reason in Reason::ALL {
        if let Some(urgency) = reason.urgency() {
            let row = format!("| `{reason}` | {urgency:?} |");
            assert!(events.contains(&row), "docs/events.md has no row {row}");
        }
    }
}

#[test]
fn every_reason_is_used() {
    let sources = [files(&root().join("src/controller"), "rs"), files(&root().join("src/domain"), "rs")].concat();
    let code: Vec<String> = sources
        .iter()
        .filter(|file| !file.ends_with("reason.rs"))
        .map(|file| fs::read_to_string(file).unwrap().split("#[cfg(test)]").next().unwrap_or_default().to_owned())
        .collect();
    let unused: Vec<&Reason> = Reason::ALL
        .iter()
        .filter(|reason| {
            let path = format!("Reason::{reason}");
            let ends = |rest: &str| !rest.starts_with(char::is_alphanumeric);
            !code.iter().any(|text| text.match_indices(&path).any(|(at, _)| ends(&text[at + path.len()..])))
        })
        .collect();
    assert!(unused.is_empty(), "reasons that nothing ever has: {unused:?}");
}

#[test]
fn every_field_of_the_spec_is_on_its_page() {
    let crd = crd::definition().unwrap();
    let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
    let mut fields = Vec::new();
    leaves("", spec, &mut fields);
    assert!(fields.len() > 8, "fields not found in the schema: {fields:?}");
    let page = fs::read_to_string(root().join("docs/spec.md")).unwrap();
    let missing: Vec<&String> = fields.iter().filter(|field| !page.contains(&format!("| `{field}` |"))).collect();
    assert!(missing.is_empty(), "fields of the spec that the table of docs/spec.md lacks: {missing:?}");
}

#[test]
fn every_source_file_is_on_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let on_map: BTreeSet<String> = map
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(path, _)| path.to_owned())
        .filter(|path| is(Path::new(path), "rs") && !path.starts_with("tests/"))
        .collect();
    let below = root().join("src");
    let path = |file: PathBuf| file.strip_prefix(&below).unwrap().to_string_lossy().into_owned();
    let there: BTreeSet<String> = files(&below, "rs").into_iter().map(path).collect();
    let missing: Vec<&String> = there.difference(&on_map).collect();
    let gone: Vec<&String> = on_map.difference(&there).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not on ARCHITECTURE.md's map: {missing:?}; on it and gone: {gone:?}"
    );
}

#[test]
fn every_source_folder_has_its_line() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, table) = map.split_once("## The folders").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let folders = fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap());
    let names = folders.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap());
    let missing: Vec<String> = names.filter(|name| !table.contains(&format!("\n| `{name}` |"))).collect();
    assert!(missing.is_empty(), "folders of src without a line in ARCHITECTURE.md: {missing:?}");
}

#[test]
fn every_diagram_is_drawn_from_its_source() {
    let folder = root().join("docs/diagrams");
    let sources = files(&folder, "d2");
    assert!(sources.len() > 1, "diagrams not found: {sources:?}");
    for source in sources {
        let mut hash = Sha256::new();
        for file in [&source, &folder.join("go.mod"), &folder.join("draw.sh")] {
            hash.update(fs::read(file).unwrap());
        }
        let digits = hash.finalize().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let hash: String = digits.map(|digit| char::from_digit(digit.into(), 16).unwrap()).collect();
        let drawn = fs::read_to_string(source.with_extension("svg")).unwrap();
        let is_current = drawn.trim_end().ends_with(&format!("<!-- sha256 {hash} -->"));
        assert!(is_current, "{} has changed: run `just diagrams`", source.display());
    }
}

#[test]
fn every_page_is_in_the_book() {
    let folder = root().join("docs");
    let summary = fs::read_to_string(folder.join("SUMMARY.md")).unwrap();
    let listed: BTreeSet<PathBuf> = links(&summary).iter().map(|link| folder.join(link)).collect();
    let mut there: BTreeSet<PathBuf> = files(&folder, "md").into_iter().collect();
    there.remove(&folder.join("SUMMARY.md"));
    assert_eq!(listed, there);
}

#[test]
fn no_link_leads_out_of_the_book() {
    let book = fs::read_to_string(root().join("book.toml")).unwrap();
    let pages = documents().into_iter().filter(|(file, _)| file.starts_with(root().join("docs")));
    let (mut broken, mut included) = (Vec::new(), 0);
    for (file, text) in pages {
        let depth = file.strip_prefix(root().join("docs")).unwrap().components().count();
        let leaves = |target: &&&str| target.matches("../").count() >= depth;
        broken.extend(links(&text).iter().filter(leaves).map(|target| format!("{}: {target}", file.display())));
        // A part of another file, whose links begin elsewhere: there a page of the book's leads to the right one.
        let parts =
            text.match_indices("{{#include ../").filter_map(|(at, start)| text[at + start.len()..].split('}').next());
        for (path, part) in parts.map(|include| include.split_once(':').unwrap_or((include, ""))) {
            included += 1;
            let whole = fs::read_to_string(root().join(path)).unwrap();
            let text = if part.is_empty() { &whole } else { anchored(&whole, part) };
            for target in links(text).into_iter().filter(|target| !target.starts_with('#')) {
                let page = target.split('#').next().unwrap().replace(".md", ".html");
                let redirect = format!("\"/{page}\" = \"../{}\"", page.trim_start_matches("docs/"));
                if !page.starts_with("docs/") || !book.contains(&redirect) {
                    broken.push(format!(
                        "{path}, of which {} is made: {target} (in book.toml: {redirect})",
                        file.display()
                    ));
                }
            }
        }
    }
    assert!(included > 0, "no include found");
    assert!(broken.is_empty(), "links that lead out of the book:\n{}", broken.join("\n"));
}

/// What stands between the anchors of this name.
fn anchored<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("<!-- ANCHOR: {name} -->")).unwrap();
    rest.split_once(&format!("<!-- ANCHOR_END: {name} -->")).unwrap().0
}

/// The paths of the fields below a schema; compute resources have core/v1's own shape and are one field here.
fn leaves(path: &str, schema: &Value, fields: &mut Vec<String>) {
    match schema["properties"].as_object() {
        // core/v1's own, which every page about pods explains
        Some(properties) if path != "resources" && !path.starts_with("pod.") => {
            for (name, schema) in properties {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(&path, schema, fields);
            }
        }
        _ => fields.push(path.to_owned()),
    }
}

/// Targets of the links that stay within the project.
fn links(text: &str) -> Vec<&str> {
    let prose: Vec<(usize, &str)> = text.match_indices("](").collect();
    let target = |(at, _): &(usize, &str)| text[at + 2..].split(')').next();
    prose.iter().filter_map(target).filter(|target| !target.contains("://") && !target.contains(' ')).collect()
}

/// What the headings of a page are called in links: lower case, blanks as dashes, no other punctuation.
fn anchors(text: &str) -> BTreeSet<String> {
    let heading = |line: &str| line.starts_with('#').then(|| line.trim_start_matches('#').trim().to_lowercase());
    let slug = |title: String| {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    text.lines().filter_map(heading).map(slug).collect()
}

/// The word after `just`, wherever a document shows code.
fn recipes_named(text: &str) -> BTreeSet<String> {
    codes(text).into_iter().filter_map(after_just).collect()
}

/// What a document shows as code: lines of blocks, and spans in the text.
fn codes(text: &str) -> Vec<&str> {
    let (mut fenced, mut codes) = (false, Vec::new());
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            codes.push(line.trim());
        } else {
            codes.extend(line.split('`').skip(1).step_by(2));
        }
    }
    codes
}

fn after_just(code: &str) -> Option<String> {
    let mut words = code.split_whitespace().skip_while(|word| *word != "just");
    let recipe = words.nth(1)?.trim_end_matches(|c: char| !c.is_ascii_alphabetic());
    recipe.starts_with(|c: char| c.is_ascii_lowercase()).then(|| recipe.to_owned())
}

/// Every Markdown file of the project, in order, and its text.
fn documents() -> Vec<(PathBuf, String)> {
    let found = files(&root(), "md");
    assert!(found.len() > 10, "only {} documents found", found.len());
    found.into_iter().map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            found.extend(files(&path, extension));
        } else if is(&path, extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|of_file| of_file == extension)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
