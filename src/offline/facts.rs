//! The properties of each directive over all version lines: its names, accepted values, default, and the effect of a
//! change. Reads the tables; prints nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{
    directives::{Directive, Kind, LINES, Line, release::Release, special},
    owned_directives,
};

/// One directive, under all of its names.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its name in the newest line that has it, of Redis where that has it.
    pub name: &'static str,
    /// Its other names.
    pub others: Vec<&'static str>,
    /// The directive in each line that has it, in the order of the tables.
    pub forms: Vec<Form>,
}

/// The properties of a directive in one line.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The line.
    pub line: &'static Line,
    /// The directive there.
    pub directive: &'static Directive,
}

/// The effect of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Running servers are given the new value.
    Live,
    /// The pods restart.
    Restart,
    /// Users may not set it; what to use instead.
    Owned(&'static str),
}

impl Change {
    /// One word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restart => "restart",
            Self::Owned(_) => "owned",
        }
    }

    /// As a sentence.
    #[must_use]
    pub fn sentence(self) -> String {
        match self {
            Self::Live => "applied live, no restart".to_owned(),
            Self::Restart => "restarts the pods, one at a time".to_owned(),
            Self::Owned(cure) => format!("refused: {cure}"),
        }
    }
}

impl Form {
    /// The effect of a change, for all offline commands.
    #[must_use]
    pub fn change(&self) -> Change {
        let Self { line, directive } = self;
        if let Some(cure) = owned_directives::cure(&directive.name) {
            return Change::Owned(cure);
        }
        if directive.has("runtime_only") || directive.has("sentinel_mode_only") {
            return Change::Owned("may not stand in redis.conf of a server");
        }
        if Release::Known(line).is_live(&directive.name) { Change::Live } else { Change::Restart }
    }

    /// The values that it accepts, as text for the output.
    #[must_use]
    pub fn takes(&self) -> String {
        let Self { line, directive } = self;
        let words = || directive.values.join(", ");
        let range = || match (directive.min.unwrap_or(i128::MIN), directive.max.unwrap_or(i128::MAX)) {
            (min, max) if min <= i64::MIN.into() && max >= i64::MAX.into() => String::new(),
            (min, max) if max >= i64::MAX.into() => format!(", {min} or more"),
            (min, max) => format!(", {min} to {max}"),
        };
        match directive.kind {
            _ if directive.has("ignored") => "one word; it has no effect".to_owned(),
            Kind::Bool => "yes or no".to_owned(),
            Kind::Enum if directive.multi => format!("one or more of {}", words()),
            Kind::Enum => format!("one of {}", words()),
            Kind::Integer => format!("integer{}", range()),
            Kind::Memory => format!("memory size such as 1gb{}", memory_range(directive)),
            Kind::PercentOrMemory => "memory size such as 1gb, or a percentage such as 5%".to_owned(),
            Kind::Octal => {
                format!("octal number, {:o} to {:o}", directive.min.unwrap_or(0), directive.max.unwrap_or(0o777))
            }
            Kind::String => "text".to_owned(),
            Kind::Special if self.change().word() == "owned" => "a grammar of its own".to_owned(),
            Kind::Special => special::grammar(line, &directive.name),
        }
    }

    /// The value of a server without a configuration file, as it would be written; `None` if it depends on the host or
    /// is empty.
    #[must_use]
    pub fn default(&self) -> Option<String> {
        let Self { directive, .. } = self;
        match &directive.default {
            serde_json::Value::String(text) if text.is_empty() => Some("\"\"".to_owned()),
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Number(number) => Some(match (directive.kind, number.as_u64()) {
                (Kind::Memory | Kind::PercentOrMemory, Some(bytes)) => memory(bytes.into()),
                (Kind::PercentOrMemory, None) => format!("{}%", number.to_string().trim_start_matches('-')),
                (Kind::Octal, Some(number)) => format!("{number:o}"),
                _ => number.to_string(),
            }),
            _ => None,
        }
    }
}

fn memory_range(directive: &Directive) -> String {
    match (directive.min.unwrap_or(0), directive.max.unwrap_or(i128::MAX)) {
        (min, max) if min <= 0 && max >= i64::MAX.into() => String::new(),
        (min, max) if max >= i64::MAX.into() => format!(", {} or more", memory(min)),
        (min, max) => format!(", {} to {}", memory(min), memory(max)),
    }
}

/// Bytes in the largest unit of Redis that leaves no rest.
fn memory(bytes: i128) -> String {
    let units = [("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)];
    let unit = units.iter().find(|(_, size)| bytes > 0 && bytes % size == 0);
    unit.map_or_else(|| bytes.to_string(), |(unit, size)| format!("{}{unit}", bytes / size))
}

/// Every directive, by name. Names that share a directive in any line are one: what is an alias here may be the name there.
#[must_use]
pub fn subjects() -> Vec<Subject> {
    let mut groups: Vec<(BTreeSet<&'static str>, Vec<Form>)> = Vec::new();
    for line in LINES.iter() {
        for directive in line.directives() {
            let names: BTreeSet<&str> =
                std::iter::once(&directive.name).chain(&directive.aliases).map(String::as_str).collect();
            let form = Form { line, directive };
            match groups.iter_mut().find(|(known, _)| !known.is_disjoint(&names)) {
                Some((known, forms)) => {
                    known.extend(names);
                    forms.push(form);
                }
                None => groups.push((names, vec![form])),
            }
        }
    }
    let mut subjects: Vec<Subject> =
        groups.into_iter().filter_map(|(names, forms)| subject_of(&names, forms)).collect();
    subjects.sort_by_key(|subject| subject.name);
    subjects
}

fn subject_of(names: &BTreeSet<&'static str>, forms: Vec<Form>) -> Option<Subject> {
    let of_redis = forms.iter().rfind(|form| form.line.engine == "redis");
    let name = of_redis.or_else(|| forms.last())?.directive.name.as_str();
    let others = names.iter().copied().filter(|other| *other != name).collect();
    Some(Subject { name, others, forms })
}

/// The directive with this name, whatever its name of today.
#[must_use]
pub fn subject(name: &str) -> Option<Subject> {
    subjects().into_iter().find(|subject| subject.name == name || subject.others.contains(&name))
}

/// Lines in short: `redis 6.2 to 7.4, valkey 8.0 to 9.1`.
#[must_use]
pub fn span<'a>(lines: impl Iterator<Item = &'a Line>) -> String {
    let mut engines: BTreeMap<&str, Vec<(u32, u32)>> = BTreeMap::new();
    for line in lines {
        engines.entry(&line.engine).or_default().push(line.version);
    }
    let spans: Vec<String> = engines
        .into_iter()
        .map(|(engine, versions)| format!("{engine} {}", versions_in_short(engine, &versions)))
        .collect();
    spans.join(", ")
}

/// Versions of one engine in short; the tables between two are all meant, or none is left out.
#[must_use]
pub fn versions_in_short(engine: &str, versions: &[(u32, u32)]) -> String {
    let known: Vec<(u32, u32)> = LINES.iter().filter(|line| line.engine == engine).map(|line| line.version).collect();
    let mut runs: Vec<((u32, u32), (u32, u32))> = Vec::new();
    let mut before = false;
    for version in known {
        let here = versions.contains(&version);
        match runs.last_mut().filter(|_| here && before) {
            Some((_, last)) => *last = version,
            None if here => runs.push((version, version)),
            None => {}
        }
        before = here;
    }
    let text = |(first, last): &((u32, u32), (u32, u32))| {
        let (a, b) = (format!("{}.{}", first.0, first.1), format!("{}.{}", last.0, last.1));
        if a == b { a } else { format!("{a} to {b}") }
    };
    runs.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// A fact where it is not the same in every line: each value with the lines that have it, the newest line's last.
#[must_use]
pub fn by_value(forms: &[Form], fact: impl Fn(&Form) -> String) -> Vec<(String, Vec<&'static Line>)> {
    let mut values: Vec<(String, Vec<&'static Line>)> = Vec::new();
    for form in forms {
        let value = fact(form);
        match values.iter_mut().find(|(known, _)| *known == value) {
            Some((_, lines)) => lines.push(form.line),
            None => values.push((value, vec![form.line])),
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_has_one_entry_under_all_of_its_names() {
        let subject = subject("slowlog-max-len").unwrap();
        assert_eq!(
            (subject.name, subject.others.as_slice()),
            ("slowlog-max-len", ["commandlog-slow-execution-max-len"].as_slice())
        );
        assert_eq!(subject.forms.len(), LINES.len());
        let all = subjects();
        let names: BTreeSet<&str> =
            all.iter().flat_map(|subject| subject.others.iter().copied().chain([subject.name])).collect();
        let known: BTreeSet<&str> = LINES.iter().flat_map(Line::names).collect();
        assert_eq!(names, known);
        assert_eq!(
            names.len(),
            all.iter().map(|subject| 1 + subject.others.len()).sum::<usize>(),
            "a name stands twice"
        );
    }

    #[test]
    fn what_it_takes_and_what_a_change_does() {
        let newest = |name: &str| *subject(name).unwrap().forms.last().unwrap();
        assert_eq!(newest("maxmemory").takes(), "memory size such as 1gb");
        assert_eq!(newest("io-threads").takes(), "integer, 1 to 256");
        assert_eq!(newest("port").change().word(), "owned");
        assert_eq!(
            (newest("maxmemory").change(), newest("io-threads-do-reads").takes().contains("no effect")),
            (Change::Live, true)
        );
        assert_eq!(newest("active-defrag-ignore-bytes").default().unwrap(), "100mb");
        assert_eq!(newest("databases").change(), Change::Restart);
    }

    #[test]
    fn lines_in_short() {
        assert_eq!(span(LINES.iter()), "redis 6.2 to 8.2, valkey 7.2 to 9.1");
        let some = [0, 2, 3, 9].map(|index| &LINES[index]);
        assert_eq!(span(some.into_iter()), "redis 6.2, 7.2 to 7.4, valkey 9.1");
    }
}
