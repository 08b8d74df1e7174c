//! Whether a value fits its directive's type and bounds, as Redis itself would judge it at start (`config.c`), and
//! stricter where Redis takes nonsense silently. Knows types; the directives with a grammar of their own are in `special`.

use super::{Directive, Kind, Line, special};
use crate::domain::field_error::{FieldError, quoted};

/// Why the words do not fit, as an error message; `None` if they do. `typed` is the value as the user wrote it.
#[must_use]
pub fn fault(field: &str, (line, directive): (&Line, &Directive), words: &[String], typed: &str) -> Option<FieldError> {
    if directive.has("sentinel_mode_only") || directive.has("runtime_only") {
        return Some(FieldError::forbidden(field, "may not stand in redis.conf of a server"));
    }
    if directive.kind == Kind::Special {
        return special::fault(line, &directive.name, words).map(|detail| FieldError::invalid(field, typed, detail));
    }
    let [word] = words else {
        if directive.multi {
            return multi(field, directive, words, typed);
        }
        return Some(FieldError::invalid(field, typed, "must be a single value; quote a value that contains blanks"));
    };
    if word.is_empty() && directive.kind != Kind::String {
        return Some(FieldError::invalid(field, typed, "must be a single non-empty value"));
    }
    let detail = match directive.kind {
        Kind::Bool => (!is_one_of(word, &["yes", "no"])).then(|| "must be yes or no".to_owned()),
        Kind::Enum => return multi(field, directive, words, typed),
        Kind::Integer => integer(directive, word),
        Kind::Memory => memory_fault(directive, word),
        Kind::PercentOrMemory => percent_or_memory(directive, word),
        Kind::Octal => octal(directive, word),
        Kind::String | Kind::Special => None,
    };
    detail.map(|detail| FieldError::invalid(field, typed, detail))
}

/// Each word must be one of the directive's.
fn multi(field: &str, directive: &Directive, words: &[String], typed: &str) -> Option<FieldError> {
    let known: Vec<&str> = directive.values.iter().map(String::as_str).collect();
    let wrong = words.iter().any(|word| !is_one_of(word, &known));
    wrong.then(|| FieldError::not_supported(field, quoted(typed), &known))
}

fn is_one_of(word: &str, known: &[&str]) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(word))
}

fn bounds(directive: &Directive) -> (i128, i128) {
    (directive.min.unwrap_or(i128::MIN), directive.max.unwrap_or(i128::MAX))
}

fn integer(directive: &Directive, word: &str) -> Option<String> {
    let (min, max) = bounds(directive);
    let fits = whole(word).is_some_and(|number| (min..=max).contains(&number));
    (!fits).then(|| format!("must be an integer between {min} and {max}"))
}

/// A whole number in the one spelling that Redis takes: no `+`, no leading zero, no `-0`.
fn whole(word: &str) -> Option<i128> {
    let number: i128 = word.parse().ok()?;
    (number.to_string() == word).then_some(number)
}

fn memory_fault(directive: &Directive, word: &str) -> Option<String> {
    let (min, max) = bounds(directive);
    if directive.has("SIGNED_MEMORY") && whole(word).is_some_and(|number| (min..=max).contains(&number)) {
        return None;
    }
    match memory(word) {
        None => Some("must be a Redis memory size such as 1gb (b, k, kb, m, mb, g, gb)".to_owned()),
        Some(bytes) => (!(min..=max).contains(&bytes)).then(|| format!("must be between {min} and {max} bytes")),
    }
}

/// Bytes of a Redis memory size: digits, then an optional unit in any case; k, m, g are powers of 1000. Digits that Redis
/// would hold at its largest number, or whose product would wrap, are none.
#[must_use]
pub fn memory(word: &str) -> Option<i128> {
    let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at_checked(end)?;
    let factor: i128 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let bytes = digits.parse::<u64>().ok().map(i128::from)?.checked_mul(factor)?;
    (bytes <= i128::from(u64::MAX)).then_some(bytes)
}

fn percent_or_memory(directive: &Directive, word: &str) -> Option<String> {
    let (min, max) = bounds(directive);
    let fits = match word.strip_suffix('%') {
        // Kept as a negative number: a `min` of -100 allows 0 % to 100 %.
        Some(percent) => whole(percent).is_some_and(|percent| percent >= 0 && -percent >= min),
        None => memory(word).is_some_and(|bytes| (0..=max).contains(&bytes)),
    };
    (!fits).then(|| format!("must be a Redis memory size such as 1gb, or a percentage from 0% to {}%", -min.min(0)))
}

fn octal(directive: &Directive, word: &str) -> Option<String> {
    let (min, max) = bounds(directive);
    let fits = i128::from_str_radix(word, 8).is_ok_and(|number| (min..=max).contains(&number))
        && word.bytes().all(|b| b.is_ascii_digit());
    (!fits).then(|| format!("must be an octal number between {min:o} and {max:o}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{directives::LINES, words};

    fn fault_of(name: &str, value: &str) -> Option<String> {
        let directive = LINES[2].directive(name).unwrap();
        let mut words = words::split(value).unwrap();
        if words.is_empty() {
            words.push(String::new());
        }
        fault("f", (&LINES[2], directive), &words, value).map(|error| error.message())
    }

    #[test]
    fn values_that_fit() {
        for (name, value) in [
            ("appendonly", "YES"),
            ("maxmemory-policy", "AllKeys-LRU"),
            ("io-threads", "128"),
            ("maxmemory", "1Gb"),
            ("maxmemory", "007kb"),
            ("maxmemory-clients", "5%"),
            ("maxmemory-clients", "100mb"),
            ("repl-diskless-sync-delay", "0"),
            ("locale-collate", ""),
            ("lfu-log-factor", "10"),
            ("maxmemory", "18446744073709551615"),
        ] {
            assert_eq!(fault_of(name, value), None, "{name} {value}");
        }
    }

    #[test]
    fn values_that_do_not() {
        for (name, value) in [
            ("appendonly", "true"),
            ("appendonly", "1"),
            ("maxmemory-policy", "lru"),
            ("io-threads", "999"),
            ("io-threads", "0"),
            ("io-threads", "+4"),
            ("io-threads", "04"),
            ("io-threads", "4.0"),
            ("io-threads", "-0"),
            ("io-threads", ""),
            ("maxmemory", "1Gi"),
            ("maxmemory", "-1"),
            ("maxmemory", "1.5gb"),
            ("maxmemory", ""),
            ("maxmemory", "gb"),
            ("maxmemory", "20000000000gb"),
            ("maxmemory", "1 gb"),
            ("maxmemory-clients", "101%"),
            ("maxmemory-clients", "+5%"),
            ("maxmemory-clients", "05%"),
            ("maxmemory-clients", "-5%"),
            ("maxmemory-clients", "-5"),
            ("maxmemory-policy", "noeviction # note"),
            ("hz", "-1"),
            ("databases", "0"),
        ] {
            assert!(fault_of(name, value).is_some(), "{name} {value}");
        }
        assert_eq!(
            fault_of("io-threads", "999").unwrap(),
            "Invalid value: \"999\": must be an integer between 1 and 128"
        );
    }
}
