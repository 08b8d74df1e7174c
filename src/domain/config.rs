//! `spec.config` as directives that can be rendered: names that redis.conf could hold, values that stay on their line,
//! nothing that is the operator's. What values a directive takes is not judged here.

use std::collections::BTreeMap;

use super::{field_error::FieldError, owned_directives, words};
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

/// Checks every directive; all faults at once.
#[must_use]
pub fn validate(config: &BTreeMap<String, ConfigValue>) -> (Directives, Vec<FieldError>) {
    let mut directives = BTreeMap::new();
    let mut errors = Vec::new();
    if config.len() > COUNT_LIMIT {
        let detail = format!("must have at most {COUNT_LIMIT} items");
        errors.push(FieldError::forbidden("spec.config", detail));
    }
    for (name, ConfigValue(value)) in config.iter().take(COUNT_LIMIT) {
        match directive(name, value) {
            Ok(words) => drop(directives.insert(name.clone(), words)),
            Err(error) => errors.push(error),
        }
    }
    (Directives(directives), errors)
}

fn directive(name: &str, value: &str) -> Result<Vec<String>, FieldError> {
    if !is_name(name) {
        return Err(FieldError::invalid("spec.config", name, "keys must match '^[a-z][a-z0-9-]{0,63}$'"));
    }
    let field = format!("spec.config[{name}]");
    if let Some(cure) = owned_directives::cure(name) {
        return Err(FieldError::forbidden(field, cure));
    }
    if value.chars().count() > VALUE_LIMIT {
        return Err(FieldError::too_long(field, VALUE_LIMIT));
    }
    let words = words::split(value).map_err(|error| FieldError::invalid(&field, value, error.to_string()))?;
    Ok(if words.is_empty() { vec![String::new()] } else { words })
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

    fn faults(name: &str, value: &str) -> Vec<String> {
        let config = BTreeMap::from([(name.to_owned(), ConfigValue(value.to_owned()))]);
        validate(&config).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_empty_value_is_one_empty_word() {
        let config = BTreeMap::from([("save".to_owned(), ConfigValue(String::new()))]);
        assert_eq!(validate(&config).0.words("save").unwrap(), [""]);
    }

    #[test]
    fn names_have_one_spelling() {
        for name in
            ["DIR", "ApPendOnly", "mymodule.opt", "1a", "", "a b", "tcp-keepalive 60\nuser default on nopass ~* +@all"]
        {
            assert!(faults(name, "x")[0].starts_with("spec.config: Invalid value: "), "{name}");
        }
        assert!(faults("server_cpulist", "0-1").is_empty());
    }

    #[test]
    fn a_secret_is_never_echoed() {
        assert_eq!(
            faults("requirepass", "hunter2"),
            ["spec.config[requirepass]: Forbidden: use spec.auth: the password lives in a Secret"]
        );
    }
}
