//! The normalised configuration: each directive once, under its canonical name, with its words in one spelling. Two
//! texts with the same meaning for Redis are equal here. Independent of the origin of a text and of running servers.

use std::collections::BTreeMap;

use super::{
    directives::{Directive, Kind, release::Release, value::memory},
    instance::ValidatedInstance,
    owned_directives,
    redis_conf::defaults,
    words,
};

/// Directives that users control, with the operator's defaults where they are unset; the operator's own lines are not
/// included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective(BTreeMap<String, Vec<String>>);

impl Effective {
    /// The configuration of the spec.
    #[must_use]
    pub fn of(instance: &ValidatedInstance, release: Release) -> Self {
        let defaults = defaults(instance).into_iter().map(|(name, value)| (name.to_owned(), vec![value.to_owned()]));
        let users = instance.config.iter().map(|(name, words)| (name.to_owned(), words.to_vec()));
        let mut effective = Self::default();
        for (name, words) in defaults.chain(users) {
            let (name, words) = canonical(release, &name, words);
            effective.0.insert(name, words);
        }
        effective
    }

    /// Parses a rendered redis.conf. Lines that the operator never writes are ignored: they were added by others.
    #[must_use]
    pub fn read(conf: &str, release: Release) -> Self {
        let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in conf.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.split_once(' ') else { continue };
            let Ok(words) = words::split(value) else { continue };
            if owned_directives::cure(name).is_none() {
                lines.entry(name.to_owned()).or_default().extend(words);
            }
        }
        Self(lines.into_iter().map(|(name, words)| canonical(release, &name, words)).collect())
    }

    /// Name and words of each directive, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(name, words)| (name.as_str(), words.as_slice()))
    }

    /// The words of this directive.
    #[must_use]
    pub fn words(&self, name: &str) -> Option<&[String]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// Names of the directives that are not the same in both, in order.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let mut names: Vec<String> = self.0.keys().chain(other.0.keys()).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| self.words(name) != other.words(name));
        names
    }
}

/// The directive's own name instead of an alias, and its words in the spelling that CONFIG GET would use.
fn canonical(release: Release, name: &str, words: Vec<String>) -> (String, Vec<String>) {
    match release.directive(name) {
        Some(directive) => {
            (directive.name.clone(), words.into_iter().map(|word| canonical_word(directive, word)).collect())
        }
        None => (name.to_owned(), words),
    }
}

fn canonical_word(directive: &Directive, word: String) -> String {
    match directive.kind {
        Kind::Bool | Kind::Enum => word.to_ascii_lowercase(),
        Kind::Memory | Kind::PercentOrMemory => memory(&word).map_or(word, |bytes| bytes.to_string()),
        Kind::Octal => word.trim_start_matches('0').to_owned(),
        Kind::Integer | Kind::String | Kind::Special => word,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{directives::release::release, instance::tests::validated, redis_conf::render};

    fn effective(config: Value) -> Effective {
        let instance = validated(json!({ "config": config }));
        Effective::of(&instance, release(&instance.image))
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        let one = effective(json!({"maxmemory": "64mb", "slave-read-only": "YES", "maxmemory-policy": "ALLKEYS-LRU"}));
        let other =
            effective(json!({"maxmemory": "67108864", "replica-read-only": "yes", "maxmemory-policy": "allkeys-lru"}));
        assert_eq!(one, other);
        assert_eq!(
            effective(json!({"maxmemory": "64m"})).differing(&one),
            ["maxmemory", "maxmemory-policy", "replica-read-only"]
        );
    }

    #[test]
    fn a_rendered_file_reads_back_as_the_spec_it_was_made_of() {
        for config in [
            json!({}),
            json!({"save": "900 1 300 10", "client-output-buffer-limit": "normal 0 0 0 replica 256mb 64mb 60"}),
            json!({"save": "", "notify-keyspace-events": "", "proto-max-bulk-len": "1gb", "appendonly": "no"}),
        ] {
            let instance = validated(json!({ "config": config }));
            let release = release(&instance.image);
            assert_eq!(Effective::read(&render(&instance), release), Effective::of(&instance, release), "{config}");
        }
    }
}
