//! A directive's value as words, split and quoted the way Redis reads a line of redis.conf (`sdssplitargs`).
//! Knows the grammar of a line, not what any directive means.

use thiserror::Error;

use super::hex;

/// Why a value cannot be written on a line of redis.conf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WordError {
    /// Several lines.
    #[error("must not contain control characters: the value must be on one line")]
    Lines,
    /// Something that would end the line, or that a log or a terminal would act on.
    #[error("must not contain control characters")]
    Control,
    /// Outside printable ASCII.
    #[error("must consist of printable ASCII characters")]
    NotAscii,
    /// A quote that is never closed, or that something follows.
    #[error("must have balanced quotes")]
    Unbalanced,
}

/// Splits a value into the words Redis would read. No words: the value is empty or blank.
///
/// # Errors
/// When the value could become a second line, or Redis would refuse the line.
pub fn split(value: &str) -> Result<Vec<String>, WordError> {
    let breaks = |c: char| matches!(c, '\n' | '\r');
    if value.chars().any(|c| (c.is_control() && !breaks(c)) || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(WordError::Control);
    }
    if value.contains(breaks) {
        return Err(if value.contains('\n') { WordError::Lines } else { WordError::Control });
    }
    if !value.is_ascii() {
        return Err(WordError::NotAscii);
    }
    let mut words = Vec::new();
    let mut rest = value.trim_start_matches(' ');
    while !rest.is_empty() {
        let (word, after) = take_word(rest)?;
        words.push(word);
        rest = after.trim_start_matches(' ');
    }
    Ok(words)
}

/// The first word of a text that does not begin with a blank, and what follows it.
fn take_word(text: &str) -> Result<(String, &str), WordError> {
    let mut word = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let closed = match c {
            ' ' => return Ok((word, text.get(at..).unwrap_or_default())),
            '"' => take_quoted(&mut chars, &mut word, '"')?,
            '\'' => take_quoted(&mut chars, &mut word, '\'')?,
            c => {
                word.push(c);
                continue;
            }
        };
        // Redis refuses anything but a blank after a closing quote; Valkey 9.1 does not, but the stricter rule holds everywhere.
        let after = text.get(closed..).unwrap_or_default();
        return if after.is_empty() || after.starts_with(' ') { Ok((word, after)) } else { Err(WordError::Unbalanced) };
    }
    Ok((word, ""))
}

/// Reads up to the closing quote into `word`; answers the position after it.
fn take_quoted(chars: &mut std::str::CharIndices<'_>, word: &mut String, quote: char) -> Result<usize, WordError> {
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok(at + 1);
        }
        if c != '\\' {
            word.push(c);
            continue;
        }
        let ahead = chars.clone().next().map(|(_, next)| next);
        match (quote, ahead) {
            (_, None) => return Err(WordError::Unbalanced),
            ('"', Some('x')) if hex_byte(chars.as_str()).is_some() => {
                word.extend(hex_byte(chars.as_str()));
                for _ in 0..3 {
                    chars.next();
                }
            }
            ('"', Some(next)) => {
                word.push(unescaped(next));
                chars.next();
            }
            (_, Some('\'')) => {
                word.push('\'');
                chars.next();
            }
            (_, Some(_)) => word.push('\\'),
        }
    }
    Err(WordError::Unbalanced)
}

/// The character of `xHH`; a byte above 0x7f is kept as the character of that number and rendered back as `\xHH`.
fn hex_byte(escape: &str) -> Option<char> {
    let digits = escape.get(1..3).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok().map(char::from)
}

const fn unescaped(c: char) -> char {
    match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'a' => '\u{7}',
        other => other,
    }
}

/// Words as they must stand on a line after the directive's name.
#[must_use]
pub fn join(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// One word as it must stand on a line so that Redis reads it back unchanged.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '#'));
    if plain {
        return word.to_owned();
    }
    let mut out = String::from('"');
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            // `split` yields no character above 0xff; a password's bytes are rendered by their own caller the same way.
            c => out.extend(["\\x", &hex::lower(&[u8::try_from(c).unwrap_or(b'?')])]),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn splits_as_redis_does() {
        let words = |value: &str| split(value).unwrap();
        assert_eq!(words("900 1  300 10"), ["900", "1", "300", "10"]);
        assert_eq!(words(r#" "a b" 'c\'d' e"f g" "#), ["a b", "c'd", "ef g"]);
        assert_eq!(words(r#""\x41\n\"\q""#), ["A\n\"q"]);
        assert_eq!(words(r"a\nb"), [r"a\nb"]);
        assert_eq!((words("").len(), words("  ").len(), words("\"\"").len()), (0, 0, 1));
    }

    #[test]
    fn refuses_what_redis_refuses_and_what_would_become_a_second_line() {
        for value in ["\"abc", "'abc", "\"a\"b", "\"\\"] {
            assert_eq!(split(value), Err(WordError::Unbalanced), "{value}");
        }
        for value in ["a\nb", "a\n", "a\r\nb"] {
            assert_eq!(split(value), Err(WordError::Lines), "{value:?}");
        }
        for value in ["a\r", "a\n\0", "a\tb", "a\0", "\u{7f}", "\u{85}", "\u{2028}"] {
            assert_eq!(split(value), Err(WordError::Control), "{value:?}");
        }
        assert_eq!(split("é"), Err(WordError::NotAscii));
    }

    proptest! {
        #[test]
        fn a_quoted_word_reads_back_and_is_one_line(word in "[\\x00-\\xff]{0,40}") {
            let line = quote(&word);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(split(&line).unwrap(), vec![word]);
        }
    }
}
