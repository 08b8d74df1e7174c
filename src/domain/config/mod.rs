//! `spec.config` as directives that can be rendered: names that this release of Redis has, values that it takes and that
//! stay on their line, nothing that is the operator's. What a directive takes is written in `directives`.

mod names;
mod suggestions;

use std::collections::{BTreeMap, BTreeSet};

use self::{
    names::{is_module_option, is_name},
    suggestions::{misspelt, one_line, unknown},
};
use super::{
    directives::{release::Release, value},
    field_error::{FAULT_LIMIT, FieldError},
    owned_directives,
    words::{self, WordError},
};
use crate::api::v1::ConfigValue;

/// The most directives, as in the schema.
const COUNT_LIMIT: usize = 256;
/// The longest value, in characters, as in the schema.
const VALUE_LIMIT: usize = 1024;

/// The directive whose words are compared with fixed names and never printed, so that it may contain control
/// characters.
const NEVER_PRINTED: &str = "ignore-warnings";

/// Checked directives in order of name, each with the words of its value (at least one; an empty value is one empty word).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    words: BTreeMap<String, Vec<String>>,
    redundant: BTreeSet<String>,
}

impl Directives {
    /// Name and words of each directive, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.words.iter().map(|(name, words)| (name.as_str(), words.as_slice()))
    }

    /// The operator's own directives that the user set to the value that they have in any case, in order; nothing else here
    /// has them.
    pub fn redundant(&self) -> impl Iterator<Item = &str> {
        self.redundant.iter().map(String::as_str)
    }

    /// The words of this directive, if the user set it.
    #[must_use]
    pub fn words(&self, name: &str) -> Option<&[String]> {
        self.words.get(name).map(Vec::as_slice)
    }
}

/// The context in which the directives are validated.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The release that will read them.
    pub release: Release,
    /// Names that the user vouches for, as of a module or a fork; never the operator's own.
    pub vouched: Vec<String>,
    /// Whether clients need a password, which decides about the operator's own lines.
    pub auth: bool,
}

impl Rules {
    fn vouches(&self, name: &str) -> bool {
        self.vouched.iter().any(|vouched| vouched == name)
    }
}

/// Checks every directive; all faults at once, up to [`FAULT_LIMIT`].
#[must_use]
pub fn validate(config: &BTreeMap<String, ConfigValue>, rules: &Rules) -> (Directives, Vec<FieldError>) {
    let mut directives = BTreeMap::new();
    let mut errors = Vec::new();
    if config.len() > COUNT_LIMIT {
        let detail = format!("must have at most {COUNT_LIMIT} items");
        errors.push(FieldError::forbidden("spec.config", detail));
    }
    let mut redundant = BTreeSet::new();
    for (name, ConfigValue(value)) in config.iter().take(COUNT_LIMIT) {
        if errors.len() >= FAULT_LIMIT {
            break;
        }
        match directive(name, value, rules) {
            Ok(Reading::Words(words)) => drop(directives.insert(name.clone(), words)),
            Ok(Reading::Redundant) => drop(redundant.insert(name.clone())),
            Err(error) => errors.push(error),
        }
    }
    errors.extend(duplicates(&directives, rules.release));
    (Directives { words: directives, redundant }, errors)
}

/// The result of reading a directive.
enum Reading {
    /// The user's own, with the words of its value.
    Words(Vec<String>),
    /// The operator's own, with the value that it has in any case.
    Redundant,
}

fn directive(name: &str, value: &str, rules: &Rules) -> Result<Reading, FieldError> {
    let is_vouched_option = || is_module_option(name) && rules.vouches(name);
    if !is_name(name) && !is_vouched_option() {
        return Err(FieldError::invalid("spec.config", name, misspelt(name, rules)));
    }
    let field = format!("spec.config[{name}]");
    let is_too_long = value.chars().count() > VALUE_LIMIT;
    // For a dangerous directive that the release lacks, the message about the release is more helpful.
    let is_foreign = || rules.release.candidates(name).is_empty() && rules.release.elsewhere(name).is_some();
    if let Some(cure) = owned_directives::cure(name).filter(|cure| *cure != owned_directives::SECURITY || !is_foreign())
    {
        let words = if is_too_long { None } else { split(value).ok() };
        let is_redundant =
            words.is_some_and(|words| owned_directives::repeats_own_value(name, &words, rules.release, rules.auth));
        return if is_redundant { Ok(Reading::Redundant) } else { Err(FieldError::forbidden(field, cure)) };
    }
    if is_too_long {
        return Err(FieldError::too_long(field, VALUE_LIMIT));
    }
    let words = split(value).map_err(|error| {
        let detail = match error {
            WordError::Lines => one_line(name, value, rules),
            error => error.to_string(),
        };
        FieldError::invalid(&field, value, detail)
    })?;
    if name != NEVER_PRINTED && words.iter().any(|word| word.contains(char::is_control)) {
        return Err(FieldError::invalid(field, value, "must not contain control characters, escaped ones included"));
    }
    match fault(&field, name, &words, value, rules) {
        None => Ok(Reading::Words(words)),
        Some(error) => Err(error),
    }
}

/// The words of a value; an empty value is one empty word.
fn split(value: &str) -> Result<Vec<String>, WordError> {
    let words = words::split(value)?;
    Ok(if words.is_empty() { vec![String::new()] } else { words })
}

/// Why the release does not accept these words; for an unknown release, values that any line accepts are accepted.
fn fault(field: &str, name: &str, words: &[String], typed: &str, rules: &Rules) -> Option<FieldError> {
    let candidates = rules.release.candidates(name);
    if candidates.is_empty() {
        return (!rules.vouches(name)).then(|| unknown(field, name, rules.release));
    }
    let faults: Vec<FieldError> =
        candidates.iter().map_while(|candidate| value::fault(field, *candidate, words, typed)).collect();
    if faults.len() < candidates.len() { None } else { faults.into_iter().next() }
}

/// Two names of one directive: Redis would take the last line, which is not what either reader of the spec expects.
fn duplicates(directives: &BTreeMap<String, Vec<String>>, release: Release) -> Vec<FieldError> {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    let mut errors = Vec::new();
    for name in directives.keys() {
        let Some(directive) = release.directive(name) else { continue };
        if let Some(other) = first.insert(&directive.name, name) {
            errors.push(FieldError::forbidden(
                format!("spec.config[{name}]"),
                format!("is another name of {other}, which is set too; keep one"),
            ));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{directives::release::release, image::ImageReference};

    fn rules() -> Rules {
        Rules {
            release: release(&ImageReference::parse("redis:7.2").unwrap()),
            vouched: ["json-depth", "dir", "mymodule.depth", "my_module.a-b"].map(str::to_owned).to_vec(),
            auth: true,
        }
    }

    pub(super) fn faults(name: &str, value: &str) -> Vec<String> {
        let config = BTreeMap::from([(name.to_owned(), ConfigValue(value.to_owned()))]);
        validate(&config, &rules()).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_vouched_name_passes_and_opens_nothing_of_ours() {
        assert!(faults("json-depth", "1").is_empty());
        assert_eq!(faults("dir", "/tmp").len(), 1);
    }

    #[test]
    fn the_operators_own_value_is_taken_and_not_rendered() {
        let config = [("port", "6379"), ("dir", "/data/"), ("hz", "20")]
            .map(|(name, value)| (name.to_owned(), ConfigValue(value.to_owned())));
        let (directives, errors) = validate(&BTreeMap::from(config), &rules());
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(directives.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["hz"]);
        assert_eq!(directives.redundant().collect::<Vec<_>>(), ["dir", "port"]);
        assert_eq!(faults("port", "6380").len(), 1);
    }

    #[test]
    fn control_characters_do_not_come_in_as_escapes() {
        for value in [r#""a\r\nb""#, r#""\x0a""#, r#""\x1b[31m""#, r#"x"\a""#, r#""\x9b""#] {
            assert!(faults("locale-collate", value)[0].contains("control characters"), "{value}");
            assert!(faults("json-depth", value)[0].contains("control characters"), "{value}");
        }
        assert!(faults("ignore-warnings", r#""a\x0ab""#).is_empty() && faults("json-depth", r#""\xe9""#).is_empty());
    }

    #[test]
    fn two_names_of_one_directive_are_one_too_many() {
        let config =
            ["replica-read-only", "slave-read-only"].map(|name| (name.to_owned(), ConfigValue("yes".to_owned())));
        let errors = validate(&BTreeMap::from(config), &rules()).1;
        assert_eq!(
            errors[0].to_string(),
            "spec.config[slave-read-only]: Forbidden: is another name of replica-read-only, which is set too; keep one"
        );
    }

    #[test]
    fn an_empty_value_is_one_empty_word() {
        let config = BTreeMap::from([("save".to_owned(), ConfigValue(String::new()))]);
        assert_eq!(validate(&config, &rules()).0.words("save").unwrap(), [""]);
    }

    #[test]
    fn a_secret_is_never_echoed() {
        assert_eq!(
            faults("requirepass", "hunter2"),
            ["spec.config[requirepass]: Forbidden: use spec.auth: the password lives in a Secret"]
        );
    }
}
