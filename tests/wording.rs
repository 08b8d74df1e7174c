//! The words of CONTRIBUTING.md's style guide: none of the banned phrases in text that users read, and never more of them elsewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Phrases with another meaning than a Kubernetes or Redis engineer expects, or with none of their own.
const BANNED: &[&str] = &[
    "told",
    "tell",
    "tells",
    "telling",
    "one that",
    "those who",
    "anew",
    "mend",
    "mends",
    "mended",
    "look after",
    "looks after",
    "looked after",
    "by itself",
    "be it",
    "at hand",
    "nobody",
    "somebody",
    "a person",
    "or the like",
    "comes to its end",
    "come to its end",
];

/// The most banned phrases in comments of `src`. Lower it when there are fewer; it never grows.
const COMMENTS_LIMIT: usize = 209;
/// The same for README, SECURITY, ARCHITECTURE, CHANGELOG, CONTRIBUTING and `docs`. The list in CONTRIBUTING.md counts too.
const DOCS_LIMIT: usize = 20;

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|of| of == extension) {
            found.push(path);
        }
    }
    found
}

/// How often the banned phrases stand in a text, as whole words.
fn count(text: &str) -> usize {
    let words: Vec<String> = text
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let text = format!(" {} ", words.join(" "));
    // Neighbours share a space, which `matches` would count once.
    let text = text.replace(' ', "  ");
    BANNED.iter().map(|phrase| text.matches(&format!(" {} ", phrase.replace(' ', "  "))).count()).sum()
}

/// Comments and string literals of a file, without those of its tests.
fn texts(source: &str) -> (Vec<String>, Vec<String>) {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let (mut comments, mut literals, mut inside) = (Vec::new(), Vec::new(), false);
    for line in code.lines().map(str::trim_start) {
        if line.starts_with("//") {
            comments.push(line.to_owned());
            continue;
        }
        let line = line.replace("\\\"", "'").replace("'\"'", "''");
        let quotes = line.matches('"').count();
        literals.extend(line.split('"').skip(usize::from(!inside)).step_by(2).map(str::to_owned));
        // A backslash at the end of a line continues its literal.
        inside = (inside != (quotes % 2 == 1)) && line.ends_with('\\');
    }
    (comments, literals)
}

#[test]
fn text_that_users_read_holds_no_banned_phrase_and_other_text_ever_fewer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut in_comments, mut in_literals) = (0, Vec::new());
    for path in files(&root.join("src"), "rs") {
        let source = fs::read_to_string(&path).unwrap();
        let (comments, literals) = texts(&source);
        in_comments += comments.iter().map(|comment| count(comment)).sum::<usize>();
        let banned = literals.iter().filter(|literal| count(literal) > 0);
        in_literals.extend(banned.map(|literal| format!("{}: {literal}", path.display())));
    }
    assert!(in_literals.is_empty(), "banned phrases in text that users read:\n{}", in_literals.join("\n"));
    let mut docs = files(&root.join("docs"), "md");
    for name in ["README.md", "SECURITY.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"] {
        docs.push(root.join(name));
    }
    let in_docs: usize = docs.iter().map(|path| count(&fs::read_to_string(path).unwrap())).sum();
    for (where_, found, limit) in [("comments", in_comments, COMMENTS_LIMIT), ("docs", in_docs, DOCS_LIMIT)] {
        assert!(
            found <= limit,
            "{found} banned phrases in {where_}, more than {limit}; see the style guide in CONTRIBUTING.md"
        );
        assert!(
            found + 20 > limit,
            "only {found} banned phrases in {where_}: lower the limit from {limit} in tests/wording.rs"
        );
    }
}

#[test]
fn phrases_are_found_as_whole_words() {
    assert_eq!(count("Nobody told it; one that\nis retold by itself, by itself"), 5);
    let source = [
        "// a \"told\"",
        "let a = \"x\"; // b",
        "f(\"one\", \"two\\",
        "  three \\",
        " four\")",
        "#[cfg(test)]",
        "\"no\"",
    ];
    let (comments, literals) = texts(&source.join("\n"));
    assert_eq!(comments, ["// a \"told\""]);
    assert_eq!(literals, ["x", "one", "two\\", "three \\", "four"]);
}
