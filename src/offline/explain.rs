//! `explain config`: one directive, or the list of them, for one version or all, as text or JSON. What is said of it comes
//! from `facts`.

use serde_json::{Value, json};
use thiserror::Error;

use super::{
    arguments::{ExplainArguments, Output},
    facts::{self, Change, Form, Subject, by_value, span},
};
use crate::domain::directives::{LINES, Line, suggest::nearest};

/// Version of the JSON output: an added field does not change it, a removed or redefined one does.
const FORM: u32 = 1;

/// Why a topic cannot be explained.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum ExplainError {
    /// No line has such a name.
    #[error("unknown directive \"{name}\"{hint}")]
    Unknown {
        /// The name.
        name: String,
        /// The name that was probably meant.
        hint: String,
    },
    /// Other lines have it.
    #[error("{asked} has no directive \"{name}\"; it is in {elsewhere}")]
    Elsewhere {
        /// The requested topic.
        asked: String,
        /// The name.
        name: String,
        /// The lines that have it.
        elsewhere: String,
    },
    /// There is no table of such a version.
    #[error("nothing is known of version {version}; known are {known}")]
    Version {
        /// The version.
        version: String,
        /// The lines there are tables of.
        known: String,
    },
}

/// The answer, ending in a newline.
///
/// # Errors
/// When there is no such directive or version.
pub fn answer(arguments: &ExplainArguments) -> Result<String, ExplainError> {
    let lines = lines(arguments)?;
    let asked = |form: &Form| lines.iter().any(|line| std::ptr::eq(*line, form.line));
    let Some(name) = &arguments.directive else {
        let subjects = facts::subjects().into_iter().filter_map(|subject| {
            let forms: Vec<Form> = subject.forms.iter().copied().filter(asked).collect();
            (!forms.is_empty()).then_some((subject, forms))
        });
        let subjects: Vec<(Subject, Vec<Form>)> = subjects.collect();
        return Ok(match arguments.output {
            Output::Text => list(&subjects),
            Output::Json => {
                let directives: Vec<Value> =
                    subjects.iter().map(|(subject, forms)| described(subject, forms)).collect();
                rendered(&json!({"version": FORM, "directives": directives}))
            }
        });
    };
    let subject = facts::subject(&name.to_ascii_lowercase()).ok_or_else(|| unknown(name))?;
    let forms: Vec<Form> = subject.forms.iter().copied().filter(asked).collect();
    let Some(newest) = forms.last() else {
        let (asked, elsewhere) = (span(lines.into_iter()), span(subject.forms.iter().map(|form| form.line)));
        return Err(ExplainError::Elsewhere { asked, name: name.clone(), elsewhere });
    };
    Ok(match arguments.output {
        Output::Text => text(&subject, newest, &span(lines.into_iter())),
        Output::Json => {
            let mut answer = described(&subject, &forms);
            if let Some(fields) = answer.as_object_mut() {
                fields.insert("version".to_owned(), json!(FORM));
            }
            rendered(&answer)
        }
    })
}

fn unknown(name: &str) -> ExplainError {
    let known: Vec<&str> = LINES.iter().flat_map(Line::names).collect();
    let hint = nearest(&name.to_ascii_lowercase(), &known).map(|meant| format!("; did you mean \"{meant}\"?"));
    let hint = hint.unwrap_or_else(|| "; without a name, explain config lists all of them".to_owned());
    ExplainError::Unknown { name: name.to_owned(), hint }
}

/// The lines that are asked about. A major number alone is its newest line, as in an image's tag; patch numbers say nothing.
fn lines(arguments: &ExplainArguments) -> Result<Vec<&'static Line>, ExplainError> {
    let of_engine = |line: &&'static Line| arguments.engine.is_none_or(|engine| engine.name() == line.engine);
    let Some(version) = &arguments.version else { return Ok(LINES.iter().filter(of_engine).collect()) };
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    let (major, minor) = (numbers.next(), numbers.next());
    let fits = |line: &&'static Line| {
        major == Some(Ok(line.version.0)) && minor.as_ref().is_none_or(|minor| *minor == Ok(line.version.1))
    };
    let engine = LINES.iter().filter(of_engine).find(fits).map(|line| line.engine.as_str());
    let line = LINES.iter().filter(of_engine).filter(fits).rfind(|line| Some(line.engine.as_str()) == engine);
    line.map(|line| vec![line]).ok_or_else(|| ExplainError::Version {
        version: version.clone(),
        known: LINES.iter().filter(of_engine).map(Line::title).collect::<Vec<_>>().join(", "),
    })
}

fn text(subject: &Subject, form: &Form, asked: &str) -> String {
    let mut rows = vec![("DIRECTIVE", subject.name.to_owned())];
    if !subject.others.is_empty() {
        rows.push(("OTHER NAMES", subject.others.join(", ")));
    }
    rows.push((
        "SERVER",
        if asked == form.line.title() { asked.to_owned() } else { format!("{asked}; shown is {}", form.line.title()) },
    ));
    rows.push(("TAKES", form.takes()));
    rows.push(("DEFAULT", form.default().unwrap_or_else(|| "none".to_owned())));
    rows.push(("CHANGE", form.change().sentence()));
    rows.push(("KNOWN IN", span(subject.forms.iter().map(|form| form.line))));
    let mut lines: Vec<String> =
        rows.into_iter().map(|(head, value)| format!("{:<13}{value}", format!("{head}:"))).collect();
    let differences = differences(subject);
    if !differences.is_empty() {
        lines.push("DIFFERENCES:".to_owned());
        lines.extend(differences.iter().map(|difference| format!("  {difference}")));
    }
    lines.join("\n") + "\n"
}

/// The properties that differ between the lines that have the directive.
fn differences(subject: &Subject) -> Vec<String> {
    type Fact = fn(&Form) -> String;
    let facts: [(&str, Fact); 4] = [
        ("name", |form| form.directive.name.clone()),
        ("takes", Form::takes),
        ("default", |form| form.default().unwrap_or_else(|| "none".to_owned())),
        ("change", |form| form.change().sentence()),
    ];
    let mut lines = Vec::new();
    for (fact, value) in facts {
        let values = by_value(&subject.forms, value);
        if values.len() > 1 {
            lines.extend(
                values.into_iter().map(|(value, lines)| format!("{fact} in {}: {value}", span(lines.into_iter()))),
            );
        }
    }
    lines
}

fn list(subjects: &[(Subject, Vec<Form>)]) -> String {
    let width = subjects.iter().map(|(subject, _)| subject.name.len()).max().unwrap_or(0);
    let mut lines = vec![format!("{:<width$}  {:<8}  KNOWN IN", "DIRECTIVE", "CHANGE")];
    for (subject, forms) in subjects {
        let Some(newest) = forms.last() else { continue };
        let known_in = span(subject.forms.iter().map(|form| form.line));
        lines.push(format!("{:<width$}  {:<8}  {known_in}", subject.name, newest.change().word()));
    }
    lines.join("\n") + "\n"
}

fn described(subject: &Subject, forms: &[Form]) -> Value {
    let form = |form: &Form| {
        let directive = form.directive;
        let number = |number: Option<i128>| {
            let number = number?;
            i64::try_from(number).map(Value::from).or_else(|_| u64::try_from(number).map(Value::from)).ok()
        };
        let cure = match form.change() {
            Change::Owned(cure) => Some(cure),
            _ => None,
        };
        json!({
            "engine": form.line.engine, "version": format!("{}.{}", form.line.version.0, form.line.version.1),
            "name": directive.name, "aliases": directive.aliases, "takes": form.takes(),
            "min": number(directive.min), "max": number(directive.max), "values": directive.values,
            "default": form.default(), "change": form.change().word(), "useInstead": cure,
            "hasEffect": !directive.has("ignored"),
        })
    };
    json!({"name": subject.name, "otherNames": subject.others, "forms": forms.iter().map(form).collect::<Vec<_>>()})
}

fn rendered(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::arguments::Engine;

    fn explained(
        directive: Option<&str>,
        version: Option<&str>,
        engine: Option<Engine>,
        output: Output,
    ) -> Result<String, String> {
        let arguments = ExplainArguments {
            directive: directive.map(str::to_owned),
            version: version.map(str::to_owned),
            engine,
            output,
        };
        answer(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn one_directive_of_one_version() {
        assert_eq!(
            explained(Some("maxmemory-policy"), Some("7.2"), None, Output::Text).unwrap(),
            "DIRECTIVE:   maxmemory-policy\n\
             SERVER:      redis 7.2\n\
             TAKES:       one of volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction\n\
             DEFAULT:     noeviction\n\
             CHANGE:      applied live, no restart\n\
             KNOWN IN:    redis 6.2 to 8.2, valkey 7.2 to 9.1\n"
        );
        let owned = explained(Some("requirepass"), None, None, Output::Text).unwrap();
        assert!(owned.contains("CHANGE:      refused: use spec.auth: the password lives in a Secret\n"), "{owned}");
    }

    #[test]
    fn differences_between_versions_are_told() {
        let text = explained(Some("slave-read-only"), None, None, Output::Text).unwrap();
        assert!(text.starts_with("DIRECTIVE:   replica-read-only\nOTHER NAMES: slave-read-only\n"), "{text}");
        let text = explained(Some("io-threads"), Some("8"), Some(Engine::Valkey), Output::Text).unwrap();
        assert!(text.contains("SERVER:      valkey 8.1\n") && text.contains("DIFFERENCES:\n"), "{text}");
    }

    #[test]
    fn what_is_not_known_is_told_with_what_is() {
        let error = |directive: &str, version: Option<&str>, engine| {
            explained(Some(directive), version, engine, Output::Text).unwrap_err()
        };
        assert_eq!(error("maxmemroy", None, None), "unknown directive \"maxmemroy\"; did you mean \"maxmemory\"?");
        assert!(error("banana", None, None).contains("lists all"));
        assert_eq!(
            error("latency-tracking", Some("6.2"), None),
            "redis 6.2 has no directive \"latency-tracking\"; it is in redis 7.0 to 8.2, valkey 7.2 to 9.1"
        );
        assert!(error("hz", Some("5"), None).starts_with("nothing is known of version 5; known are redis 6.2,"));
        assert!(error("hash-seed", None, Some(Engine::Redis)).contains("it is in valkey"));
        assert!(explained(Some("HZ"), Some("v9.1.2"), None, Output::Text).unwrap().contains("valkey 9.1"));
    }

    #[test]
    fn json_holds_the_same() {
        let one: Value =
            serde_json::from_str(&explained(Some("maxmemory"), Some("7.2"), None, Output::Json).unwrap()).unwrap();
        assert_eq!(
            (&one["version"], &one["name"], &one["forms"][0]["change"]),
            (&json!(1), &json!("maxmemory"), &json!("live"))
        );
        assert_eq!(one["forms"][0]["max"], json!(u64::MAX));
        let all: Value = serde_json::from_str(&explained(None, None, None, Output::Json).unwrap()).unwrap();
        assert_eq!(all["directives"].as_array().unwrap().len(), facts::subjects().len());
        let text = explained(None, Some("6.2"), None, Output::Text).unwrap();
        assert!(text.lines().count() == 165 && text.contains("\nport "), "{text}");
    }
}
