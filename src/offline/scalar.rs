//! Resolves plain YAML scalars as kubectl does, which reads YAML 1.1 like go-yaml v2: `yes` is a boolean, `0777` is
//! 511. A YAML 1.2 parser would accept files that the API server refuses.

use serde_json::Number;

use super::node::Content;

/// Longest text that is tried as a number; a longer one is text to go-yaml too, or no value that fits any field.
const NUMBER_LIMIT: usize = 400;

/// Reads an unquoted scalar.
///
/// # Errors
/// When it is a number that JSON cannot hold: not a number, or infinite.
pub fn resolve(text: &str) -> Result<Content, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Content::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Ok(Content::Bool(true)),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Ok(Content::Bool(false))
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => Err(format!("{text} is a number that JSON does not have; quote it")),
        _ => Ok(number(text).unwrap_or_else(|| Content::Text(text.to_owned()))),
    }
}

fn number(text: &str) -> Option<Content> {
    if text.len() > NUMBER_LIMIT || !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return None;
    }
    if text.starts_with('.') {
        // Go reads digits with underscores only behind a base, which no text that begins with a point has.
        return is_decimal(text).then(|| float(text));
    }
    if is_date(text) {
        return None;
    }
    let plain = text.replace('_', "");
    if let Some(number) = integer(&plain) {
        return Some(Content::Number(number));
    }
    is_decimal(&plain).then(|| float(&plain))
}

/// Whether the text is written as an integer, whatever number it is worth.
#[must_use]
pub fn is_integer(text: &str) -> bool {
    integer(&text.replace('_', "")).is_some()
}

/// An integer as Go's `ParseInt` reads it with base 0: a sign, then decimal, or 0x, 0o, 0b, or a leading 0 for octal.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, base) = match lower.get(..2) {
        Some("0x") => (lower.get(2..)?, 16),
        Some("0o") => (lower.get(2..)?, 8),
        Some("0b") => (lower.get(2..)?, 2),
        _ if lower.len() > 1 && lower.starts_with('0') => (lower.get(1..)?, 8),
        _ => (lower.as_str(), 10),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from_str_radix(digits, base).ok()?;
    let value = if negative { -value } else { value };
    // An unsigned one takes no sign, as in Go.
    let signed = || i64::try_from(value).ok().map(Number::from);
    let unsigned = || u64::try_from(value).ok().filter(|_| !text.starts_with(['-', '+'])).map(Number::from);
    signed().or_else(unsigned)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
}

/// Go takes a number that is too large for text.
fn float(text: &str) -> Content {
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
    value.map_or_else(|| Content::Text(text.to_owned()), |value| Content::Number(json_number(value)))
}

/// A float as Go writes it into JSON, which has one form for 1 and 1.0.
#[must_use]
pub fn json_number(value: f64) -> Number {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
    let whole = (value.fract() == 0.0 && value.abs() < 9.2e18).then_some(value as i64);
    whole.map(Number::from).or_else(|| Number::from_f64(value)).unwrap_or_else(|| Number::from(0))
}

/// Whether go-yaml would try the text as a date, which it then hands on as text: four digits and a dash.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.get(4) == Some(&b'-') && bytes.iter().take(4).all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Value {
        super::super::node::Node { line: 1, content: resolve(text).unwrap() }.to_json()
    }

    #[test]
    fn words_of_yaml_1_1_are_booleans() {
        for (text, value) in
            [("yes", json!(true)), ("No", json!(false)), ("on", json!(true)), ("yEs", json!("yEs")), ("~", json!(null))]
        {
            assert_eq!(read(text), value, "{text}");
        }
    }

    #[test]
    fn numbers_have_the_forms_of_go() {
        for (text, value) in [
            ("0777", json!(511)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("1_000", json!(1000)),
            ("1e3", json!(1000)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("08", json!(8)),
            ("-0b11", json!(-3)),
            ("18446744073709551615", json!(u64::MAX)),
            ("2001-12-14", json!("2001-12-14")),
            ("1Gi", json!("1Gi")),
            ("12:30", json!("12:30")),
            ("1.", json!(1)),
            ("-", json!("-")),
            ("1__e", json!("1__e")),
            ("7.2.5", json!("7.2.5")),
        ] {
            assert_eq!(read(text), value, "{text}");
        }
        assert!(resolve(".inf").is_err());
    }
}
