//! Formats the results as text, like kubectl's, and as JSON for programs (docs/offline.md). Validates nothing.

use serde::Serialize;

use super::{judge::Finding, objects::Identity, yaml::Unreadable};
use crate::{api, domain::field_error::quoted};

/// Version of the JSON output: an added field does not change it, a removed or redefined one does.
const FORM: u32 = 1;

/// Everything that is said of the input.
#[derive(Debug, Default)]
pub struct Report {
    /// One for each object, in the order of the input.
    pub outcomes: Vec<Outcome>,
    /// Inputs that could not be read.
    pub troubles: Vec<Trouble>,
}

/// The result for one object.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The file it stands in.
    pub file: String,
    /// Number of its document in the file, from 1; empty documents do not count.
    pub document: usize,
    /// Line it begins at; 0 when not known.
    pub line: usize,
    /// Identity of the object.
    pub identity: Identity,
    /// Whether it was judged as a change of a stored object.
    pub is_update: bool,
    /// The answer.
    pub verdict: Verdict,
    /// Its warnings.
    pub warnings: Vec<String>,
}

/// The answer.
#[derive(Debug, Default)]
pub enum Verdict {
    /// Admission would accept it.
    Valid,
    /// Admission, or the API server before it, would refuse it, for every one of these.
    Refused(Vec<Finding>),
    /// It is of a kind that is not ours.
    #[default]
    Skipped,
}

/// An input that could not be read.
#[derive(Debug)]
pub struct Trouble {
    file: String,
    line: usize,
    message: String,
}

impl Trouble {
    /// A document that could not be read.
    #[must_use]
    pub fn new(file: &str, unreadable: Unreadable) -> Self {
        Self { file: file.to_owned(), line: unreadable.line, message: unreadable.message }
    }

    /// A file that is not what it should be.
    #[must_use]
    pub fn of(file: &str, message: &str) -> Self {
        Self { file: file.to_owned(), line: 0, message: message.to_owned() }
    }
}

/// Number of objects per result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Objects that are accepted.
    pub valid: usize,
    /// Objects that are refused.
    pub refused: usize,
    /// Objects of other kinds.
    pub skipped: usize,
    /// Documents and files that could not be read.
    pub unreadable: usize,
}

fn place(file: &str, line: usize) -> String {
    if line == 0 { file.to_owned() } else { format!("{file}:{line}") }
}

impl Report {
    /// Counts the objects per result.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary { unreadable: self.troubles.len(), ..Summary::default() };
        for outcome in &self.outcomes {
            match outcome.verdict {
                Verdict::Valid => summary.valid += 1,
                Verdict::Refused(_) => summary.refused += 1,
                Verdict::Skipped => summary.skipped += 1,
            }
        }
        summary
    }

    /// For people: what was judged.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines: Vec<String> = self.outcomes.iter().flat_map(Outcome::lines).collect();
        let Summary { valid, refused, skipped, unreadable } = self.summary();
        if self.outcomes.len() > 1 {
            lines.push(format!("{valid} valid, {refused} refused, {skipped} skipped, {unreadable} unreadable"));
        }
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// For people: what could not be judged.
    #[must_use]
    pub fn errors(&self) -> String {
        let error = |trouble: &Trouble| format!("error: {}: {}", place(&trouble.file, trouble.line), trouble.message);
        let lines: Vec<String> = self.troubles.iter().map(error).collect();
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// For programs.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which is a defect of this program.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let objects = self.outcomes.iter().map(Outcome::json).collect();
        let known = |line: usize| (line > 0).then_some(line);
        let unreadable = self.troubles.iter().map(|trouble| JsonTrouble {
            file: &trouble.file,
            line: known(trouble.line),
            message: &trouble.message,
        });
        let json = Json { version: FORM, summary: self.summary(), objects, unreadable: unreadable.collect() };
        Ok(serde_json::to_string_pretty(&json)? + "\n")
    }
}

impl Outcome {
    fn lines(&self) -> Vec<String> {
        let place = place(&self.file, self.line);
        let mut lines: Vec<String> = self.warnings.iter().map(|warning| format!("Warning: {warning}")).collect();
        let resource = self.identity.resource();
        match &self.verdict {
            Verdict::Valid => lines.push(format!("{resource} valid ({place})")),
            Verdict::Skipped => lines.push(format!("{resource} skipped ({place}): not a {}", api::KIND)),
            Verdict::Refused(faults) => {
                let head = format!("The {} {} is invalid ({place}):", self.identity.kind, quoted(&self.identity.name));
                if let [fault] = faults.as_slice() {
                    lines.push(format!("{head} {}", fault.text()));
                } else {
                    lines.push(head);
                    lines.extend(faults.iter().map(|fault| format!("* {}", fault.text())));
                }
            }
        }
        lines
    }

    fn json(&self) -> JsonObject<'_> {
        let known = |line: usize| (line > 0).then_some(line);
        let (verdict, faults) = match &self.verdict {
            Verdict::Valid => ("valid", Vec::new()),
            Verdict::Skipped => ("skipped", Vec::new()),
            Verdict::Refused(faults) => ("refused", faults.iter().collect()),
        };
        JsonObject {
            file: &self.file,
            document: self.document,
            line: known(self.line),
            api_version: &self.identity.api_version,
            kind: &self.identity.kind,
            namespace: self.identity.namespace.as_deref(),
            name: &self.identity.name,
            operation: if self.is_update { "update" } else { "create" },
            verdict,
            faults: faults
                .into_iter()
                .map(|fault: &Finding| JsonFault {
                    field: &fault.field,
                    reason: &fault.reason,
                    message: &fault.message,
                    line: known(fault.line),
                })
                .collect(),
            warnings: &self.warnings,
        }
    }
}

impl Finding {
    /// As kubectl lists a cause; faults of decoding name their field in the message.
    fn text(&self) -> String {
        let named = self.field.is_empty() || matches!(self.reason.as_str(), "UnknownField" | "DuplicateField");
        if named { self.message.clone() } else { format!("{}: {}", self.field, self.message) }
    }
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    summary: Summary,
    objects: Vec<JsonObject<'a>>,
    unreadable: Vec<JsonTrouble<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonObject<'a> {
    file: &'a str,
    document: usize,
    line: Option<usize>,
    api_version: &'a str,
    kind: &'a str,
    namespace: Option<&'a str>,
    name: &'a str,
    operation: &'static str,
    verdict: &'static str,
    faults: Vec<JsonFault<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct JsonFault<'a> {
    field: &'a str,
    reason: &'a str,
    message: &'a str,
    line: Option<usize>,
}

#[derive(Serialize)]
struct JsonTrouble<'a> {
    file: &'a str,
    line: Option<usize>,
    message: &'a str,
}
