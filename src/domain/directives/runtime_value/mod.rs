//! Whether a running server holds what was wanted of a directive, and what CONFIG SET takes to get it there. CONFIG GET
//! answers in spellings of its own, which are known here; no connection is. A byte above 0x7f is the character of that
//! number in a word (see `words`), and one byte to and from the server.

mod special;

use std::collections::BTreeSet;

use self::special::special;
use super::{Directive, Kind, Line, release::Release, value::memory};

/// Below this the server lifts the replication backlog up when CONFIG SET changes it.
const LEAST_BACKLOG: i128 = 16 << 10;
const OUTPUT_BUFFER_LIMIT: &str = "client-output-buffer-limit";

/// Whether `held`, CONFIG GET's answer, means what `words` want. Of an unknown release: in any line's reading. A name
/// that no table has (a module's, which the user vouches for) must read back as it was written.
#[must_use]
pub fn holds(release: Release, name: &str, words: &[String], held: &[u8]) -> bool {
    let held: String = held.iter().copied().map(char::from).collect();
    let candidates = release.candidates(name);
    if candidates.is_empty() {
        return words.join(" ") == held;
    }
    candidates.into_iter().any(|(line, directive)| means(line, directive, words, &held))
}

/// The words that bring a directive back to what the server has without a configuration file; `None` when that depends
/// on the host, is not known, or differs between the lines of an unknown release.
#[must_use]
pub fn default_words(release: Release, name: &str) -> Option<Vec<String>> {
    let mut defaults = release.candidates(name).into_iter().map(|(_, directive)| default_of(directive));
    let first = defaults.next()??;
    defaults.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

/// The one argument that CONFIG SET takes for these words. It sets all of the directive: of `client-output-buffer-limit`
/// the defaults go first, so that a class the words leave out goes back to its own. The last group of a class counts.
#[must_use]
pub fn as_set(release: Release, name: &str, words: &[String]) -> Vec<u8> {
    let limits = release.directive(name).filter(|directive| directive.name == OUTPUT_BUFFER_LIMIT);
    let mut all = limits.and_then(default_of).unwrap_or_default();
    all.extend_from_slice(words);
    all.join(" ").chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
}

fn default_of(directive: &Directive) -> Option<Vec<String>> {
    let text = match &directive.default {
        serde_json::Value::String(text) => text.clone(),
        number => {
            let number = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))?;
            match directive.kind {
                Kind::PercentOrMemory if number < 0 => format!("{}%", -number),
                Kind::Octal => format!("{number:o}"),
                _ => number.to_string(),
            }
        }
    };
    if !directive.multi {
        return Some(vec![text]);
    }
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    Some(if words.is_empty() { vec![String::new()] } else { words })
}

fn means(line: &Line, directive: &Directive, words: &[String], held: &str) -> bool {
    let word = || if let [word] = words { word.as_str() } else { "" };
    match directive.kind {
        Kind::Bool | Kind::Enum if !directive.multi => word().eq_ignore_ascii_case(held),
        Kind::Bool | Kind::Enum => flags(words.iter().map(String::as_str)) == flags(held.split(' ')),
        Kind::Integer => number(word()).zip(number(held)).is_some_and(|pair| integer(line, directive, pair)),
        Kind::Memory | Kind::PercentOrMemory => size(word())
            .zip(size(held))
            .is_some_and(|(wanted, held)| wanted == held || is_lifted(directive, wanted, held)),
        Kind::Octal => octal(word()).is_some_and(|wanted| octal(held) == Some(wanted)),
        Kind::String => word() == held,
        Kind::Special => special(directive, words, held),
    }
}

/// Words of an enum that are combined, in any order.
fn flags<'a>(words: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    words.map(str::to_ascii_lowercase).collect()
}

fn number(text: &str) -> Option<i128> {
    text.parse().ok()
}

fn octal(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok()
}

/// Numbers that the server takes and then moves into a range of its own.
fn integer(line: &Line, directive: &Directive, (wanted, held): (i128, i128)) -> bool {
    let moved = match directive.name.as_str() {
        "hz" => wanted.clamp(1, 500),
        "io-threads" if line.engine == "valkey" && line.version == (8, 0) => wanted.min(16),
        // Lifted to twice the time between two ticks, which `hz` sets: 4 to 2000 ms.
        "watchdog-period" if wanted > 0 => wanted.max(held.min(2000)),
        _ => wanted,
    };
    held == moved || held == wanted
}

/// Bytes, or a percentage as a negative number, which is how the server keeps it.
fn size(text: &str) -> Option<i128> {
    match text.strip_suffix('%') {
        Some(percent) => number(percent).map(|percent| -percent),
        None => memory(text).or_else(|| number(text)),
    }
}

/// Read from the file the backlog's size stays as it is; CONFIG SET lifts it.
fn is_lifted(directive: &Directive, wanted: i128, held: i128) -> bool {
    directive.name == "repl-backlog-size" && wanted < LEAST_BACKLOG && held == LEAST_BACKLOG
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{directives::LINES, owned_directives, words};

    fn line(title: &str) -> &'static Line {
        LINES.iter().find(|line| line.title() == title).unwrap()
    }

    fn split(value: &str) -> Vec<String> {
        let words = words::split(value).unwrap();
        if words.is_empty() { vec![String::new()] } else { words }
    }

    /// Of Redis 7.0, unless the name is prefixed with another release.
    fn held(name: &str, value: &str, held: &str) -> bool {
        let (title, name) = name.split_once(": ").unwrap_or(("redis 7.0", name));
        holds(Release::Known(line(title)), name, &split(value), held.as_bytes())
    }

    const LIMITS: &str = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";

    #[test]
    fn the_servers_own_spelling_is_what_was_wanted() {
        for (name, value, answer) in [
            ("appendonly", "YES", "yes"),
            ("maxmemory-policy", "AllKeys-LRU", "allkeys-lru"),
            ("timeout", "10", "10"),
            ("hz", "0", "1"),
            ("hz", "9999", "500"),
            ("valkey 8.0: io-threads", "100", "16"),
            ("watchdog-period", "5", "200"),
            ("maxmemory", "1Gb", "1073741824"),
            ("maxmemory", "007kb", "7168"),
            ("maxmemory", "18446744073709551615", "18446744073709551615"),
            ("maxmemory-clients", "5%", "5%"),
            ("maxmemory-clients", "0%", "0"),
            ("maxmemory-clients", "1k", "1000"),
            ("repl-backlog-size", "1", "16384"),
            ("repl-backlog-size", "1", "1"),
            ("unixsocketperm", "0755", "755"),
            ("ignore-warnings", r#""a \"b""#, r#"a "b"#),
            ("shutdown-on-sigterm", "NOW nosave", "nosave now"),
            ("save", "", ""),
            ("save", "900 01 300 10", "900 1 300 10"),
            ("client-output-buffer-limit", "SLAVE 256mb 64mb 60", LIMITS),
            (
                "client-output-buffer-limit",
                "normal 1 1 1 normal 1k 1kb 2",
                "normal 1000 1024 2 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
            ),
            ("notify-keyspace-events", "g$lshzxetdK", "AK"),
            ("notify-keyspace-events", "AnE", "AE"),
            ("notify-keyspace-events", "nK", "Kn"),
            ("redis 8.2: notify-keyspace-events", "KocA", "AK"),
            ("latency-tracking-info-percentiles", "007 99.99999999 33.33333333", "7 100 33.333333"),
            ("latency-tracking-info-percentiles", "", ""),
        ] {
            assert!(held(name, value, answer), "{name}: {value} is held as {answer}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        for (name, value, answer) in [
            ("appendonly", "yes", "no"),
            ("appendonly", "yes", ""),
            ("timeout", "10", "11"),
            ("hz", "50", "500"),
            ("valkey 8.1: io-threads", "100", "16"),
            ("watchdog-period", "0", "200"),
            ("watchdog-period", "500", "400"),
            ("maxmemory", "1gb", "1000000000"),
            ("maxmemory", "1gb", "x"),
            ("maxmemory-clients", "5%", "5"),
            ("repl-backlog-size", "20000", "16384"),
            ("ignore-warnings", "A", "a"),
            ("shutdown-on-sigterm", "now", "nosave now"),
            ("save", "900 1", "900 1 300 10"),
            ("save", "900 1", "1 900"),
            ("save", "900 x", "900 y"),
            ("save", "", "900 1"),
            ("latency-tracking-info-percentiles", "50", "x"),
            ("client-output-buffer-limit", "normal 0 0 0", ""),
            ("client-output-buffer-limit", "normal 1 1 1", LIMITS),
            ("client-output-buffer-limit", "normal 0 0 0", "normal 0 0 0 slave 1 1 1 pubsub 33554432 8388608 60"),
            ("notify-keyspace-events", "KEA", "KE"),
            ("notify-keyspace-events", "Kn", "K"),
            ("latency-tracking-info-percentiles", "50", "50 99"),
            ("latency-tracking-info-percentiles", "50", "51"),
        ] {
            assert!(!held(name, value, answer), "{name}: {value} is not held as {answer}");
        }
    }

    #[test]
    fn what_no_table_has_reads_back_as_written() {
        let release = Release::Known(line("redis 7.0"));
        assert!(
            holds(release, "json-depth", &split("1 2"), b"1 2") && !holds(release, "json-depth", &split("1"), b"2")
        );
    }

    #[test]
    fn a_high_byte_is_one_byte_on_the_wire() {
        let release = Release::Known(line("redis 7.0"));
        let words = split(r#""\xe9""#);
        assert_eq!(as_set(release, "ignore-warnings", &words), [0xe9]);
        assert!(holds(release, "ignore-warnings", &words, &[0xe9]));
    }

    #[test]
    fn a_set_leaves_nothing_of_what_was_before() {
        let release = Release::Known(line("redis 7.0"));
        let set =
            |value: &str| String::from_utf8(as_set(release, "client-output-buffer-limit", &split(value))).unwrap();
        assert_eq!(set("slave 1 1 1"), format!("{LIMITS} slave 1 1 1"));
        assert_eq!(as_set(release, "save", &split("900 1 300 10")), b"900 1 300 10");
        assert_eq!(as_set(release, "save", &split("")), b"");
    }

    #[test]
    fn every_live_default_is_known_and_holds_as_the_table_has_it() {
        for line in LINES.iter() {
            let release = Release::Known(line);
            for name in line.names().filter(|name| owned_directives::cure(name).is_none()) {
                let directive = line.directive(name).unwrap();
                let Some(words) = default_words(release, name) else {
                    assert!(!directive.is_live(), "{}: {name} has no default", line.title());
                    continue;
                };
                let held = as_set(release, name, &words);
                assert!(holds(release, name, &words, &held), "{}: {name} {words:?}", line.title());
            }
        }
    }

    #[test]
    fn of_an_unknown_release_only_what_all_agree_about_is_a_default() {
        assert_eq!(default_words(Release::Unknown, "maxmemory"), Some(split("0")));
        assert_eq!(default_words(Release::Unknown, "save").unwrap().len(), 6);
        assert_eq!(default_words(Release::Unknown, "lazyfree-lazy-expire"), None, "no and yes");
        assert_eq!(default_words(Release::Unknown, "json-depth"), None);
    }
}
