//! The directives with a grammar of their own, each as the strictest of the supported releases reads it.
//! Those that are the operator's never come here.

use super::{Line, value::memory};

/// Why the directive does not accept the words, as an error message; `None` if it accepts them.
#[must_use]
pub fn fault(line: &Line, directive: &str, words: &[String]) -> Option<String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let fits = match directive {
        "save" => save(&words),
        "client-output-buffer-limit" => output_buffer_limit(&words),
        "notify-keyspace-events" => {
            let known = event_letters(line);
            matches!(words.as_slice(), [letters] if letters.chars().all(|c| known.contains(c)))
        }
        "latency-tracking-info-percentiles" => percentiles(&words),
        _ => words.len() == 1,
    };
    (!fits).then(|| format!("must be {}", grammar(line, directive)))
}

/// The syntax that the directive accepts, for error messages.
#[must_use]
pub fn grammar(line: &Line, directive: &str) -> String {
    match directive {
        "save" => "pairs of seconds (at least 1) and changes, such as \"900 1 300 10\", or empty for none",
        "client-output-buffer-limit" => {
            "groups of a class (normal, replica, pubsub), a hard and a soft limit such as 64mb, and seconds, each class once"
        }
        "notify-keyspace-events" => return format!("letters from {}, or empty for none", event_letters(line)),
        "latency-tracking-info-percentiles" => "numbers from 0 to 100, or empty for none",
        // Accepted with one word, and without effect.
        _ => "a single value",
    }
    .to_owned()
}

/// Letters of keyspace events: 7.0 added `n`, Redis 8.2 `o` and `c`.
fn event_letters(line: &Line) -> &'static str {
    match (line.engine.as_str(), line.version) {
        ("redis", version) if version < (7, 0) => "KEg$lshzxeAtmd",
        ("redis", version) if version >= (8, 2) => "KEg$lshzxeAtmdnoc",
        _ => "KEg$lshzxeAtmdn",
    }
}

/// Digits alone: Redis takes a `+` in some places and versions and refuses it in others.
fn count(word: &str, least: i32) -> bool {
    word.bytes().all(|b| b.is_ascii_digit()) && word.parse::<i32>().is_ok_and(|number| number >= least)
}

fn save(words: &[&str]) -> bool {
    words == [""]
        || words.chunks(2).all(|pair| matches!(pair, [seconds, changes] if count(seconds, 1) && count(changes, 0)))
}

fn output_buffer_limit(words: &[&str]) -> bool {
    let mut seen = Vec::new();
    words.chunks(4).all(|group| {
        let &[class, hard, soft, seconds] = group else { return false };
        let fits = memory(hard).is_some() && memory(soft).is_some() && count(seconds, 0);
        // If a class is named twice, Redis uses the last one, which readers of the spec do not expect.
        fits && client_class(class).is_some_and(|class| {
            let is_new = !seen.contains(&class);
            seen.push(class);
            is_new
        })
    })
}

fn client_class(word: &str) -> Option<&'static str> {
    let known = [("normal", "normal"), ("replica", "replica"), ("slave", "replica"), ("pubsub", "pubsub")];
    known.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, class)| *class)
}

fn percentiles(words: &[&str]) -> bool {
    let plain = |word: &str| word.chars().all(|c| c.is_ascii_digit() || c == '.');
    words == [""]
        || words
            .iter()
            .all(|word| plain(word) && word.parse::<f64>().is_ok_and(|number| (0.0..=100.0).contains(&number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::directives::LINES;

    fn fits(directive: &str, value: &str) -> bool {
        let words: Vec<String> =
            if value.is_empty() { vec![String::new()] } else { value.split(' ').map(str::to_owned).collect() };
        fault(&LINES[2], directive, &words).is_none()
    }

    #[test]
    fn grammars() {
        for (directive, good, bad) in [
            (
                "save",
                vec!["", "900 1", "900 1 300 10", "60 0"],
                vec!["900", "0 1", "900 1 300", "a b", "-1 1", "900 1.5", "+900 1"],
            ),
            (
                "client-output-buffer-limit",
                vec!["normal 0 0 0", "pubsub 32mb 8mb 60 REPLICA 256mb 64mb 60"],
                vec![
                    "",
                    "normal 0 0",
                    "master 0 0 0",
                    "normal x 0 0",
                    "normal 0 0 -1",
                    "normal 0 0 +1",
                    "normal 0 0 0 NORMAL 1 1 1",
                    "replica 1 1 1 slave 2 2 2",
                ],
            ),
            ("notify-keyspace-events", vec!["", "KEA", "Ex"], vec!["Q", "K E"]),
            ("latency-tracking-info-percentiles", vec!["", "50 99 99.9"], vec!["101", "a", "-1", "nan", "1e1"]),
        ] {
            for value in good {
                assert!(fits(directive, value), "{directive} {value}");
            }
            for value in bad {
                assert!(!fits(directive, value), "{directive} {value}");
            }
        }
    }
}
