//! The redis.conf directives of each release line of Redis and Valkey: embedded tables and their reader. Knows names,
//! types and bounds; `value` checks values, `owned_directives` lists the directives that users may not set.

pub mod release;
pub mod runtime_value;
pub mod special;
pub mod suggest;
pub mod value;

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

/// Machine-made from the releases' own sources, one file a release line; the order is that of release.
const TABLES: [&str; 10] = [
    include_str!("tables/redis-6.2.json"),
    include_str!("tables/redis-7.0.json"),
    include_str!("tables/redis-7.2.json"),
    include_str!("tables/redis-7.4.json"),
    include_str!("tables/redis-8.0.json"),
    include_str!("tables/redis-8.2.json"),
    include_str!("tables/valkey-7.2.json"),
    include_str!("tables/valkey-8.0.json"),
    include_str!("tables/valkey-8.1.json"),
    include_str!("tables/valkey-9.1.json"),
];

/// Every release line there is a table of, in the order of release within each engine.
pub static LINES: LazyLock<Vec<Line>> = LazyLock::new(|| TABLES.iter().filter_map(|text| Line::parse(text)).collect());

/// The directives of one release line.
#[derive(Debug)]
pub struct Line {
    /// `redis` or `valkey`.
    pub engine: String,
    /// Major and minor number.
    pub version: (u32, u32),
    directives: Vec<Directive>,
    by_name: BTreeMap<String, usize>,
}

/// One directive of one release line.
#[derive(Debug, Deserialize)]
pub struct Directive {
    /// The name that CONFIG GET shows.
    pub name: String,
    /// Names that may stand wherever the name may.
    pub aliases: Vec<String>,
    /// The syntax of the value.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Smallest value, included.
    pub min: Option<i128>,
    /// Largest value, included.
    pub max: Option<i128>,
    /// The words of an enum, in the order of the source.
    pub values: Vec<String>,
    /// The value of a server without a configuration file.
    pub default: serde_json::Value,
    /// Whether CONFIG SET can change it.
    pub mutable: bool,
    /// Properties, as the source and the tables' makers name them.
    pub flags: Vec<String>,
    /// Whether several words may follow the name.
    pub multi: bool,
}

/// The syntax of a directive's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// yes or no.
    Bool,
    /// One of some words.
    Enum,
    /// A whole number.
    Integer,
    /// A whole number with an optional unit of memory.
    Memory,
    /// Memory, or a whole percentage.
    PercentOrMemory,
    /// Octal digits.
    Octal,
    /// One word.
    String,
    /// A grammar of its own.
    Special,
}

#[derive(Deserialize)]
struct Table {
    engine: String,
    version: String,
    directives: Vec<Directive>,
}

impl Line {
    /// `None` only for a table that is not one, which the tests of this module would show.
    fn parse(text: &str) -> Option<Self> {
        let Table { engine, version, directives } = serde_json::from_str(text).ok()?;
        let (major, minor) = version.split_once('.')?;
        let version = (major.parse().ok()?, minor.parse().ok()?);
        let names = directives.iter().enumerate().flat_map(|(index, directive)| {
            std::iter::once(&directive.name).chain(&directive.aliases).map(move |name| (name.clone(), index))
        });
        let by_name = names.collect();
        Some(Self { engine, version, directives, by_name })
    }

    /// The directive of this name or alias.
    #[must_use]
    pub fn directive(&self, name: &str) -> Option<&Directive> {
        self.directives.get(*self.by_name.get(name)?)
    }

    /// Every directive, in order of name.
    #[must_use]
    pub fn directives(&self) -> &[Directive] {
        &self.directives
    }

    /// Every name and alias, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// As people say it: `redis 7.2`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}.{}", self.engine, self.version.0, self.version.1)
    }
}

impl Directive {
    /// Whether the directive has this property.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|have| have == flag)
    }

    /// Whether a running server can be given another value: not when it would have to open a protection first.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.mutable && !self.has("PROTECTED")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_read() {
        let titles: Vec<String> = LINES.iter().map(Line::title).collect();
        assert_eq!(titles.len(), TABLES.len(), "{titles:?}");
        assert_eq!((titles[1].as_str(), LINES[1].directives.len()), ("redis 7.0", 186));
    }

    #[test]
    fn an_alias_is_the_directive() {
        let line = &LINES[1];
        assert_eq!(line.directive("slave-read-only").unwrap().name, "replica-read-only");
        assert_eq!(line.directive("maxmemory").unwrap().max, Some(u64::MAX.into()));
        assert!(line.directive("maxmemory").unwrap().is_live() && !line.directive("dir").unwrap().is_live());
    }
}
