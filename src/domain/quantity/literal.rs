//! Decides whether a text has the shape of a quantity and takes it apart; it does no arithmetic on the number.

use super::QuantityError;

/// The three suffix styles; a quantity is printed in the one it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `Ki` to `Ei`.
    BinarySi,
    /// `n` to `E`, and no suffix at all.
    DecimalSi,
    /// `e3`, `E-6`.
    DecimalExponent,
}

/// The factor of a suffix: ten to `tens` times two to `twos`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) format: Format,
    pub(super) tens: i64,
    pub(super) twos: u32,
}

/// The parts of a quantity's text. `whole` has no leading zeros; at least one digit was there.
#[derive(Debug)]
pub(super) struct Literal<'a> {
    pub(super) negative: bool,
    pub(super) whole: &'a str,
    pub(super) fraction: &'a str,
    pub(super) scale: Scale,
}

impl<'a> Literal<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, QuantityError> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, rest) = leading_digits(unsigned);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), leading_digits);
        if !has_suffix_shape(suffix) {
            return Err(QuantityError::Format);
        }
        let scale = Scale::parse(suffix).ok_or(QuantityError::Suffix)?;
        if whole.is_empty() && fraction.is_empty() {
            return Err(QuantityError::Format);
        }
        Ok(Self { negative: text.starts_with('-'), whole: whole.trim_start_matches('0'), fraction, scale })
    }
}

impl Scale {
    /// The suffix tables of apimachinery's `suffix.go`. A lone `E` is exa; with a number behind it, it is an exponent.
    fn parse(suffix: &str) -> Option<Self> {
        let decimal = |tens| Some(Self { format: Format::DecimalSi, tens, twos: 0 });
        let binary = |twos| Some(Self { format: Format::BinarySi, tens: 0, twos });
        match suffix {
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "" => decimal(0),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(10),
            "Mi" => binary(20),
            "Gi" => binary(30),
            "Ti" => binary(40),
            "Pi" => binary(50),
            "Ei" => binary(60),
            _ => {
                let tens = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
                Some(Self { format: Format::DecimalExponent, tens, twos: 0 })
            }
        }
    }
}

fn leading_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Kubernetes words the two faults apart: a suffix of the right letters that does not exist, and anything else.
fn has_suffix_shape(suffix: &str) -> bool {
    let after_letters = suffix.trim_start_matches(['e', 'E', 'i', 'n', 'u', 'm', 'k', 'K', 'M', 'G', 'T', 'P']);
    let exponent = after_letters.strip_prefix(['+', '-']).unwrap_or(after_letters);
    exponent.bytes().all(|byte| byte.is_ascii_digit())
}
