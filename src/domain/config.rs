//! `spec.config` as directives that can be rendered: names that this release of Redis has, values that it takes and that
//! stay on their line, nothing that is the operator's. What a directive takes is written in `directives`.

use std::collections::BTreeMap;

use super::{
    directives::{release::Release, suggest::nearest, value},
    field_error::{FieldError, quoted},
    names::VOUCHED_ANNOTATION,
    owned_directives, words,
};
use crate::api::v1::ConfigValue;

/// The longest name of a directive, in bytes.
const NAME_LIMIT: usize = 64;
/// The most directives, as in the schema.
const COUNT_LIMIT: usize = 256;
/// The longest value, in characters, as in the schema.
const VALUE_LIMIT: usize = 1024;

/// Checked directives in order of name, each with the words of its value (at least one; an empty value is one empty word).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives(BTreeMap<String, Vec<String>>);

impl Directives {
    /// Name and words of each directive, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(name, words)| (name.as_str(), words.as_slice()))
    }

    /// The words of this directive, if the user set it.
    #[must_use]
    pub fn words(&self, name: &str) -> Option<&[String]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

/// What the directives are judged by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The release that will read them.
    pub release: Release,
    /// Names that the user vouches for, as of a module or a fork; never the operator's own.
    pub vouched: Vec<String>,
}

/// Checks every directive; all faults at once.
#[must_use]
pub fn validate(config: &BTreeMap<String, ConfigValue>, rules: &Rules) -> (Directives, Vec<FieldError>) {
    let mut directives = BTreeMap::new();
    let mut errors = Vec::new();
    if config.len() > COUNT_LIMIT {
        let detail = format!("must have at most {COUNT_LIMIT} items");
        errors.push(FieldError::forbidden("spec.config", detail));
    }
    for (name, ConfigValue(value)) in config.iter().take(COUNT_LIMIT) {
        match directive(name, value, rules) {
            Ok(words) => drop(directives.insert(name.clone(), words)),
            Err(error) => errors.push(error),
        }
    }
    errors.extend(duplicates(&directives, rules.release));
    (Directives(directives), errors)
}

fn directive(name: &str, value: &str, rules: &Rules) -> Result<Vec<String>, FieldError> {
    if !is_name(name) {
        return Err(FieldError::invalid("spec.config", name, misspelt(name, rules.release)));
    }
    let field = format!("spec.config[{name}]");
    if let Some(cure) = owned_directives::cure(name) {
        return Err(FieldError::forbidden(field, cure));
    }
    if value.chars().count() > VALUE_LIMIT {
        return Err(FieldError::too_long(field, VALUE_LIMIT));
    }
    let mut words = words::split(value).map_err(|error| FieldError::invalid(&field, value, error.to_string()))?;
    if words.is_empty() {
        words.push(String::new());
    }
    let candidates = rules.release.candidates(name);
    if candidates.is_empty() {
        let vouched = rules.vouched.iter().any(|vouched| vouched == name);
        return if vouched { Ok(words) } else { Err(unknown(&field, name, rules.release)) };
    }
    // Of an unknown release, what any line takes is taken.
    let faults: Vec<FieldError> =
        candidates.iter().map_while(|candidate| value::fault(&field, *candidate, &words, value)).collect();
    if faults.len() < candidates.len() { Ok(words) } else { faults.into_iter().next().map_or(Ok(words), Err) }
}

/// What is said of a key that cannot be a name, with the one that it is in another spelling.
fn misspelt(name: &str, release: Release) -> String {
    let rule = "keys must match '^[a-z][a-z0-9-]{0,63}$'";
    let spelt = name.trim().to_ascii_lowercase().replace('_', "-");
    let meant = release.directive(&spelt).is_some_and(|_| owned_directives::cure(&spelt).is_none());
    if meant { format!("{rule}; did you mean {}?", quoted(&spelt)) } else { rule.to_owned() }
}

/// A name the release lacks: one of another release, a slip of the fingers, or nothing we know.
fn unknown(field: &str, name: &str, release: Release) -> FieldError {
    if let Some(elsewhere) = release.elsewhere(name) {
        return FieldError::invalid(field, name, elsewhere);
    }
    let unknown = format!("unknown directive for {}", release.title());
    let detail = match nearest(name, &release.names()) {
        Some(meant) => format!("{unknown}; did you mean \"{meant}\"?"),
        None => format!("{unknown}; if a module or a fork has it, name it in the annotation {VOUCHED_ANNOTATION}"),
    };
    FieldError::invalid(field, name, detail)
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

/// Whether this could be a directive: the names of every release are lower case, digits and "-" (Redis folds the case,
/// so another spelling would only hide a duplicate). `CPU` lists of 6.2 to 7.2 have an underscore.
fn is_name(name: &str) -> bool {
    let shape = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let body = name.strip_suffix("_cpulist").unwrap_or(name);
    name.len() <= NAME_LIMIT && body.starts_with(|c: char| c.is_ascii_lowercase()) && body.chars().all(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{directives::release::release, image::ImageReference};

    fn rules() -> Rules {
        Rules {
            release: release(&ImageReference::parse("redis:7.2").unwrap()),
            vouched: vec!["json-depth".to_owned(), "dir".to_owned()],
        }
    }

    fn faults(name: &str, value: &str) -> Vec<String> {
        let config = BTreeMap::from([(name.to_owned(), ConfigValue(value.to_owned()))]);
        validate(&config, &rules()).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_name_is_told_what_it_may_have_been() {
        let fault = |name: &str| faults(name, "1").concat();
        assert!(fault("maxmemroy").ends_with("unknown directive for redis 7.2; did you mean \"maxmemory\"?"));
        assert!(fault("hash-seed").contains("a directive of valkey, the image is redis 7.2"), "{}", fault("hash-seed"));
        assert!(fault("banana").contains("redis.github.com/allow-unknown-directives"));
    }

    #[test]
    fn a_vouched_name_passes_and_opens_nothing_of_ours() {
        assert!(faults("json-depth", "1").is_empty());
        assert_eq!(faults("dir", "/tmp").len(), 1);
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
    fn names_have_one_spelling() {
        for name in
            ["DIR", "ApPendOnly", "mymodule.opt", "1a", "", "a b", "tcp-keepalive 60\nuser default on nopass ~* +@all"]
        {
            assert!(faults(name, "x")[0].starts_with("spec.config: Invalid value: "), "{name}");
        }
        assert!(faults("server_cpulist", "0-1").is_empty());
        assert!(faults("Maxmemory_Policy", "x")[0].ends_with("did you mean \"maxmemory-policy\"?"));
        assert!(!faults("DIR", "x")[0].contains("mean"), "what is the operator's is not proposed");
    }

    #[test]
    fn a_secret_is_never_echoed() {
        assert_eq!(
            faults("requirepass", "hunter2"),
            ["spec.config[requirepass]: Forbidden: use spec.auth: the password lives in a Secret"]
        );
    }
}
