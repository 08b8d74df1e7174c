//! The documents against the project: links lead somewhere, recipes exist, no field and no reason is left out.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use redis_operator::api::crd;
use serde_json::Value;

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
fn every_reason_is_explained_and_none_is_invented() {
    let mut used = BTreeSet::new();
    let mut sources = files(&root().join("src/controller"), "rs");
    sources.push(root().join("src/domain/status.rs"));
    for file in sources {
        let text = fs::read_to_string(file).unwrap();
        used.extend(reasons(text.split("#[cfg(test)]").next().unwrap()));
    }
    assert!(used.len() >= 10 && used.contains("InvalidSpec"), "reasons not found in the source: {used:?}");
    let page = fs::read_to_string(root().join("docs/status.md")).unwrap();
    let explained: BTreeSet<String> = page
        .lines()
        .skip_while(|line| *line != "## Reasons")
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect();
    assert_eq!(used, explained, "left: reasons in the source; right: reasons in docs/status.md");
}

#[test]
fn every_field_of_the_spec_is_in_the_readme() {
    let crd = crd::definition().unwrap();
    let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
    let mut fields = Vec::new();
    leaves("", spec, &mut fields);
    assert!(fields.len() > 8, "fields not found in the schema: {fields:?}");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let missing: Vec<&String> = fields.iter().filter(|field| !readme.contains(&format!("| `{field}` |"))).collect();
    assert!(missing.is_empty(), "fields of the spec that README.md's table lacks: {missing:?}");
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

/// The paths of the fields below a schema; compute resources have core/v1's own shape and are one field here.
fn leaves(path: &str, schema: &Value, fields: &mut Vec<String>) {
    match schema["properties"].as_object() {
        Some(properties) if path != "resources" => {
            for (name, schema) in properties {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(&path, schema, fields);
            }
        }
        _ => fields.push(path.to_owned()),
    }
}

/// The first text given to what makes a finding or a summary, where it is one CamelCase word.
fn reasons(source: &str) -> BTreeSet<String> {
    let makers = ["Finding::Waiting(", "Finding::Stalled(", "Finding::Changing(", "Volumes::Hindered(", "summary("];
    let mut found = BTreeSet::new();
    for maker in makers {
        for (at, _) in source.match_indices(maker) {
            let arguments = arguments(&source[at + maker.len()..]);
            let word = arguments.split('"').nth(1).unwrap_or_default();
            if word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(|c| c.is_ascii_alphabetic()) {
                found.insert(word.to_owned());
            }
        }
    }
    // An event has its reason in a field.
    found.extend(source.split("reason: \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    found
}

/// The text up to the parenthesis that closes the one just opened.
fn arguments(text: &str) -> &str {
    let mut open = 1;
    let end = text.find(|c| {
        open += i32::from(c == '(') - i32::from(c == ')');
        open == 0
    });
    &text[..end.unwrap_or(text.len())]
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
    let (mut fenced, mut named) = (false, BTreeSet::new());
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            named.extend(after_just(line));
        } else {
            named.extend(line.split('`').skip(1).step_by(2).filter_map(after_just));
        }
    }
    named
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
