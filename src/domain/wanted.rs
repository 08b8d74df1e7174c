//! The difference between the desired directives and the values of a running server, and which of them the user just
//! changed. Compares values; the controller queries and sets them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    directives::{
        release::{Release, release},
        runtime_value::{as_set, default_words, holds},
    },
    effective::Effective,
    instance::ValidatedInstance,
    redis_conf::replication_directives,
};

/// One directive that a running server can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedDirective {
    /// Its own name, no alias.
    pub name: String,
    words: Vec<String>,
    /// The value in the ConfigMap, or the default if it has none; `None` if neither is known.
    former: Option<Vec<String>>,
    /// Whether this is another value than the one the ConfigMap still has.
    pub changed: bool,
    /// Whether nothing says what it has to be, so that it has to be what Redis begins with.
    is_default: bool,
}

/// The directives that a running server can be given, in order of name.
#[derive(Clone, Debug)]
pub struct Wanted {
    release: Release,
    directives: Vec<WantedDirective>,
}

impl Wanted {
    /// What this instance wants, over what the ConfigMap has: a directive that was taken away gets its default back. So does
    /// one of `taken_away`, which were earlier, and what comes and goes with the replicas: a server that starts while the
    /// ConfigMap changes may have read the former one, and would wait for replicas that went with the change.
    #[must_use]
    pub fn of(instance: &ValidatedInstance, before: Option<&Effective>, taken_away: &BTreeSet<String>) -> Self {
        let release = release(&instance.image);
        let effective = Effective::of(instance, release);
        let differing = before.map(|before| before.differing(&effective)).unwrap_or_default();
        let mut words: BTreeMap<&str, Vec<String>> =
            effective.iter().map(|(name, words)| (name, words.to_vec())).collect();
        let earlier = taken_away.iter().cloned().chain(replication_directives().map(str::to_owned));
        let without: BTreeSet<String> = differing.iter().cloned().chain(earlier).collect();
        for name in &without {
            if let (None, Some(default)) = (effective.words(name), default_words(release, name)) {
                words.insert(name, default);
            }
        }
        let live = words.into_iter().filter(|(name, _)| release.is_live(name));
        let directives = live.map(|(name, words)| WantedDirective {
            name: name.to_owned(),
            words,
            former: before
                .and_then(|before| before.words(name).map(<[String]>::to_vec))
                .or_else(|| default_words(release, name)),
            is_default: effective.words(name).is_none(),
            changed: differing.iter().any(|changed| changed == name),
        });
        Self { release, directives: directives.collect() }
    }

    /// The names to ask for.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.directives.iter().map(|directive| directive.name.as_str()).collect()
    }

    /// The names of what the user changed.
    #[must_use]
    pub fn changed(&self) -> Vec<&str> {
        self.directives.iter().filter(|directive| directive.changed).map(|directive| directive.name.as_str()).collect()
    }

    /// The names of what was just taken away.
    #[must_use]
    pub fn taken_away(&self) -> BTreeSet<String> {
        let gone = self.directives.iter().filter(|directive| directive.changed && directive.is_default);
        gone.map(|directive| directive.name.clone()).collect()
    }

    /// The directives whose values on the server differ.
    pub fn lacking<'a>(&'a self, held: &'a BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = &'a WantedDirective> {
        let lacks = |directive: &&WantedDirective| {
            held.get(&directive.name).is_none_or(|held| !holds(self.release, &directive.name, &directive.words, held))
        };
        self.directives.iter().filter(lacks)
    }

    /// Names and former values of the changed directives of which a server that answered this does not hold the former value.
    pub fn taken<'a>(&'a self, held: &'a BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = (&'a str, Vec<u8>)> {
        self.directives.iter().filter(|directive| directive.changed).filter_map(|directive| {
            let (name, former) = (directive.name.as_str(), directive.former.as_ref()?);
            let held = held.get(name)?;
            let differs = !holds(self.release, name, former, held);
            differs.then(|| (name, as_set(self.release, name, former)))
        })
    }

    /// The one argument that CONFIG SET takes for it.
    #[must_use]
    pub fn argument(&self, directive: &WantedDirective) -> Vec<u8> {
        as_set(self.release, &directive.name, &directive.words)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::instance::tests::validated;

    #[test]
    fn a_refused_change_is_taken_back_to_what_the_config_map_has_or_to_the_default() {
        let before = validated(json!({"config": {"maxclients": "50", "save": "900 1", "hz": "20"}}));
        let after = validated(json!({"config": {"maxclients": "100", "hz": "20", "maxmemory": "64mb"}}));
        let before = Effective::of(&before, release(&before.image));
        let wanted = Wanted::of(&after, Some(&before), &BTreeSet::new());
        let back = |held: &[(&str, &str)]| -> Vec<(String, Vec<u8>)> {
            let held = held.iter().map(|(name, held)| ((*name).to_owned(), held.as_bytes().to_vec())).collect();
            wanted.taken(&held).map(|(name, former)| (name.to_owned(), former)).collect()
        };
        assert_eq!(back(&[("maxclients", "50"), ("maxmemory", "0"), ("hz", "30")]), [], "it took nothing");
        let expected = [("maxclients".to_owned(), b"50".to_vec()), ("maxmemory".to_owned(), b"0".to_vec())];
        assert_eq!(back(&[("maxclients", "100"), ("maxmemory", "67108864"), ("hz", "20")]), expected);
        assert_eq!(back(&[("maxclients", "50")]), [], "a server that does not know the other");
        let another = [("maxmemory".to_owned(), b"0".to_vec())];
        assert_eq!(back(&[("maxmemory", "1000")]), another, "the value of a change before this one");
        let smaller = [("maxclients".to_owned(), b"50".to_vec())];
        assert_eq!(back(&[("maxclients", "32")]), smaller, "also where that is smaller");
    }

    #[test]
    fn what_was_taken_away_gets_its_default_back_and_what_needs_a_restart_is_left_alone() {
        let before = validated(json!({"config": {"maxmemory": "64mb", "databases": "4", "hz": "20"}}));
        let after = validated(json!({"config": {"hz": "20", "maxmemory-policy": "allkeys-lru", "databases": "8"}}));
        let before = Effective::of(&before, release(&before.image));
        let wanted = Wanted::of(&after, Some(&before), &BTreeSet::new());
        let names = [
            "appendfsync",
            "appendonly",
            "hz",
            "maxmemory",
            "maxmemory-policy",
            "min-replicas-max-lag",
            "min-replicas-to-write",
            "repl-backlog-size",
            "repl-diskless-sync-delay",
            "repl-ping-replica-period",
        ];
        assert_eq!(wanted.names(), names);
        assert_eq!(wanted.taken_away(), ["maxmemory".to_owned()].into());
        assert_eq!(wanted.changed(), ["maxmemory", "maxmemory-policy"]);

        let answer = |pairs: &[(&str, &str)]| -> BTreeMap<String, Vec<u8>> {
            pairs.iter().map(|(name, held)| ((*name).to_owned(), held.as_bytes().to_vec())).collect()
        };
        let usual = [
            ("min-replicas-max-lag", "10"),
            ("min-replicas-to-write", "0"),
            ("repl-backlog-size", "1048576"),
            ("repl-diskless-sync-delay", "5"),
            ("repl-ping-replica-period", "10"),
        ];
        let mut held =
            answer(&[("appendfsync", "everysec"), ("appendonly", "no"), ("hz", "20"), ("maxmemory", "67108864")]);
        held.append(&mut answer(&usual));
        let lacking: Vec<(&str, Vec<u8>)> =
            wanted.lacking(&held).map(|directive| (directive.name.as_str(), wanted.argument(directive))).collect();
        let expected: [(&str, &[u8]); 3] =
            [("appendonly", b"yes"), ("maxmemory", b"0"), ("maxmemory-policy", b"allkeys-lru")];
        assert_eq!(lacking, expected.map(|(name, argument)| (name, argument.to_vec())));
    }

    #[test]
    fn without_a_file_to_compare_with_nothing_is_a_change() {
        assert!(Wanted::of(&validated(json!({"config": {"hz": "20"}})), None, &BTreeSet::new()).changed().is_empty());
    }

    #[test]
    fn one_that_is_left_of_several_waits_for_no_replica_whatever_it_started_with() {
        let alone = validated(json!({}));
        let before = Effective::of(&alone, release(&alone.image));
        let wanted = Wanted::of(&alone, Some(&before), &["maxmemory".to_owned()].into());
        assert!(wanted.changed().is_empty());
        let held: BTreeMap<String, Vec<u8>> = [("min-replicas-to-write", "1"), ("maxmemory", "1")]
            .map(|(name, held)| (name.to_owned(), held.into()))
            .into();
        let given: Vec<(&str, Vec<u8>)> = wanted
            .lacking(&held)
            .filter(|directive| held.contains_key(&directive.name))
            .map(|directive| (directive.name.as_str(), wanted.argument(directive)))
            .collect();
        assert_eq!(given, [("maxmemory", b"0".to_vec()), ("min-replicas-to-write", b"0".to_vec())]);
    }
}
