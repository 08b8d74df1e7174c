//! Texts in, a report out: takes documents apart, finds the stored object of each new one, and has it judged. Reads no file.

use std::path::Path;

use super::{
    json,
    judge::{Finding, Judge, Judgement},
    node::Node,
    objects::{Found, Identity, objects},
    report::{Outcome, Report, Trouble, Verdict},
    sources::Source,
    yaml::{self, Unreadable},
};

/// Judges every object of the sources; with stored objects, the change from the one of the same name.
///
/// # Errors
/// When the schema is no JSON, which is a defect of this crate.
pub fn judge(new: &[Source], old: &[Source], default_image: &str) -> Result<Report, serde_json::Error> {
    let judge = Judge::new(default_image)?;
    let mut report = Report::default();
    let stored = stored(old, &mut report);
    let mut updates = 0;
    for source in new {
        for (number, document) in documents(source).into_iter().enumerate() {
            let found = document.as_ref().map_err(Clone::clone).and_then(objects);
            let found = match found {
                Ok(found) => found,
                Err(unreadable) => {
                    report.troubles.push(Trouble::new(&source.name, unreadable));
                    continue;
                }
            };
            for found in found {
                let outcome = outcome(&judge, &found, &stored);
                updates += usize::from(outcome.is_update);
                report.outcomes.push(Outcome { file: source.name.clone(), document: number + 1, ..outcome });
            }
        }
    }
    let judged = report.outcomes.iter().any(|outcome| matches!(outcome.verdict, Verdict::Valid | Verdict::Refused(_)));
    if let Some(source) = old.first().filter(|_| judged && updates == 0 && report.troubles.is_empty()) {
        report.troubles.push(Trouble::of(&source.name, "holds no RedisInstance with the name of a validated one"));
    }
    if let Some(source) = new.first().filter(|_| report.outcomes.is_empty() && report.troubles.is_empty()) {
        report.troubles.push(Trouble::of(&source.name, "holds no objects"));
    }
    Ok(report)
}

/// The documents of a source: JSON where it begins as JSON does and is, else YAML, of which JSON is mostly a part.
fn documents(source: &Source) -> Vec<Result<Node, Unreadable>> {
    let text = match &source.text {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(message) => return vec![Err(Unreadable { line: 0, message: message.clone() })],
    };
    if text.trim_start().starts_with('{') {
        match json::documents(text) {
            Ok(nodes) => return nodes.into_iter().map(Ok).collect(),
            Err(error) if Path::new(&source.name).extension().is_some_and(|kind| kind == "json") => {
                return vec![Err(error)];
            }
            Err(_) => {}
        }
    }
    yaml::documents(text)
}

/// The instances of the stored objects.
fn stored(old: &[Source], report: &mut Report) -> Vec<(Identity, Node)> {
    let mut stored = Vec::new();
    for source in old {
        for document in documents(source) {
            match document.as_ref().map_err(Clone::clone).and_then(objects) {
                Ok(found) => stored.extend(found.iter().filter_map(|found| match found {
                    Found::Instance(node) => Some((Identity::of(node), (*node).clone())),
                    _ => None,
                })),
                Err(unreadable) => report.troubles.push(Trouble::new(&source.name, unreadable)),
            }
        }
    }
    stored
}

fn outcome(judge: &Judge, found: &Found<'_>, stored: &[(Identity, Node)]) -> Outcome {
    let (Found::Instance(node) | Found::Other(node) | Found::Unmatched(node, _)) = found;
    let identity = Identity::of(node);
    let outcome = Outcome { line: node.line, ..Outcome::default() };
    match found {
        Found::Other(_) => Outcome { identity, verdict: Verdict::Skipped, ..outcome },
        Found::Unmatched(_, message) => {
            let line = node.line_of("apiVersion");
            let finding =
                Finding { field: String::new(), reason: "NoMatch".to_owned(), message: message.clone(), line };
            Outcome { identity, verdict: Verdict::Refused(vec![finding]), ..outcome }
        }
        Found::Instance(node) => {
            let old = stored.iter().find(|(stored, _)| stored.matches(&identity)).map(|(_, node)| node);
            let Judgement { faults, warnings } = judge.judge(node, old);
            let verdict = if faults.is_empty() { Verdict::Valid } else { Verdict::Refused(faults) };
            Outcome { identity, verdict, warnings, is_update: old.is_some(), ..outcome }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> Source {
        Source { name: name.to_owned(), text: Ok(text.to_owned()) }
    }

    fn instance(name: &str, spec: &str) -> String {
        format!("apiVersion: redis.github.com/v1\nkind: RedisInstance\nmetadata: {{name: {name}}}\nspec: {spec}\n")
    }

    fn judged(new: &[Source], old: &[Source]) -> Report {
        judge(new, old, "redis:7.0").unwrap()
    }

    #[test]
    fn everything_is_judged_though_some_of_it_is_refused_or_cannot_be_read() {
        let text = format!(
            "{}---\n{}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\n---\nspec: [\n---\n{}",
            instance("a", "{config: {maxmemory: 64mb}}"),
            instance("b", "{image: 'Redis:7'}"),
            instance("d", "{config: {maxmemory: 64mb}}")
        );
        let report =
            judged(&[source("all.yaml", &text), Source { name: "gone.yaml".into(), text: Err("is gone".into()) }], &[]);
        assert_eq!(
            report.text(),
            "redisinstance.redis.github.com/a valid (all.yaml:1)\n\
             The RedisInstance \"b\" is invalid (all.yaml:6): spec.image: Invalid value: \"Redis:7\": must be a valid image reference: repository name must be lowercase\n\
             configmap/c skipped (all.yaml:11): not a RedisInstance\n\
             redisinstance.redis.github.com/d valid (all.yaml:17)\n\
             2 valid, 1 refused, 1 skipped, 2 unreadable\n"
        );
        assert!(
            report.errors().contains("error: all.yaml:") && report.errors().ends_with("error: gone.yaml: is gone\n"),
            "{}",
            report.errors()
        );
    }

    #[test]
    fn a_change_is_judged_from_the_object_of_the_same_name() {
        let new = format!("{}---\n{}", instance("a", "{storage: {size: 1Gi}}"), instance("fresh", "{}"));
        let stored = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: redis.github.com/v1, kind: RedisInstance, metadata: {name: a, namespace: shop}, spec: {storage: {size: 2Gi}}}\n";
        let report = judged(&[source("new.yaml", &new)], &[source("old.yaml", stored)]);
        assert!(report.text().contains("may not be reduced from 2Gi to 1Gi"), "{}", report.text());
        assert!(
            report.text().contains("redisinstance.redis.github.com/fresh valid (new.yaml:6)\n"),
            "{}",
            report.text()
        );
        let other = judged(&[source("new.yaml", &instance("b", "{}"))], &[source("old.yaml", stored)]);
        assert_eq!(other.errors(), "error: old.yaml: holds no RedisInstance with the name of a validated one\n");
    }

    #[test]
    fn json_and_several_json_objects() {
        let object =
            r#"{"apiVersion": "redis.github.com/v1", "kind": "RedisInstance", "metadata": {"name": "a"}, "spec": {}}"#;
        assert_eq!(judged(&[source("a.json", &format!("{object}\n{object}"))], &[]).summary().valid, 2);
        assert_eq!(
            judged(
                &[source("flow.yaml", "{apiVersion: redis.github.com/v1, kind: RedisInstance, metadata: {name: a}}")],
                &[]
            )
            .summary()
            .valid,
            1
        );
        assert_eq!(judged(&[source("a.json", "{\"a\": }")], &[]).summary().unreadable, 1);
    }

    #[test]
    fn nothing_to_judge_is_never_valid() {
        assert_eq!(
            judged(&[source("empty.yaml", "# nothing\n")], &[]).errors(),
            "error: empty.yaml: holds no objects\n"
        );
        assert_eq!(judged(&[source("values.yaml", "image: redis\n")], &[]).summary().unreadable, 1);
    }
}
