//! Decides what a Kubernetes quantity is worth and how the API server writes it, exactly and without floating point.
//! It knows no field, no unit of its own (bytes or cores alike) and no limit but the one Kubernetes documents.
//!
//! The measure is `ParseQuantity` and `String` of `k8s.io/apimachinery/pkg/api/resource`. What comes back from the API
//! server is what [`Display`](fmt::Display) prints: Go keeps the text as typed when it looks canonical enough
//! (`1e3`, `1.500`, `+1Gi`, `007`), and rewrites it otherwise:
//!
//! | typed | read back | typed | read back |
//! |---|---|---|---|
//! | `1024Mi` | `1Gi` | `1e3` | `1e3` |
//! | `1.5Gi` | `1536Mi` | `0.5` | `500m` |
//! | `1000m` | `1` | `500m` | `500m` |
//!
//! One step more for `resources` of containers and claims: the API server rounds those up to a thousandth, see
//! [`Quantity::rounded_up_to_milli`]. Both are stable: what is read back and applied again is read back the same.
//!
//! Intended differences from Go, each the refusal of something Go gets wrong:
//! - no digit at all (`Gi`, `.`, `+`) is a format error, where Go reads most of these as zero;
//! - a magnitude over 2^63-1 is an error, where Go cuts binary suffixes to it and overflows `Value` for the others;
//! - an exponent beyond 32 bits is taken as written, where Go wraps it or computes for hours;
//! - more than [`MAX_LENGTH`] bytes are an error;
//! - `value` of a negative fraction always rounds away from zero, as Go documents but does not always do.

use std::cmp::Ordering;
use std::fmt;

use thiserror::Error;

mod canonical;
mod exact;
mod literal;

use canonical::Verbatim;
use literal::{Format, Literal};

/// The longest text that is read, in bytes: room for every digit a quantity can hold, and a bound on hostile input.
pub const MAX_LENGTH: usize = 64;

/// Everything is counted in billionths, the finest step Kubernetes keeps.
const NANOS_PER_UNIT: i128 = 1_000_000_000;
const NANOS_PER_MILLI: i128 = 1_000_000;

/// A number with the suffix style it was written in. Comparisons are by value: `1Gi` equals `1024Mi`.
#[derive(Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    format: Format,
    verbatim: Option<Verbatim>,
}

impl Quantity {
    /// Reads a quantity such as `1.5Gi`, `500m` or `1e3`; digits below a billionth round away from zero.
    ///
    /// # Errors
    /// Says what is wrong with the text, in the words of Kubernetes where it has any.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        if text.len() > MAX_LENGTH {
            return Err(QuantityError::TooLong);
        }
        let literal = Literal::parse(text)?;
        let magnitude = exact::magnitude(&literal).ok_or(QuantityError::OutOfRange)?;
        let nanos = if literal.negative { -magnitude } else { magnitude };
        let verbatim = canonical::keeps_text(&literal).then(|| Verbatim::new(text));
        Ok(Self { nanos, format: literal.scale.format, verbatim })
    }

    /// A whole number of bytes, written with binary suffixes: 1073741824 prints as `1Gi`.
    #[must_use]
    pub const fn from_bytes(n: i64) -> Self {
        Self { nanos: n as i128 * NANOS_PER_UNIT, format: Format::BinarySi, verbatim: None }
    }

    /// The value in whole units, a fraction rounded away from zero: `500m` is 1, `-1.5` is -2.
    #[must_use]
    pub fn value(&self) -> i128 {
        self.nanos / NANOS_PER_UNIT + (self.nanos % NANOS_PER_UNIT).signum()
    }

    /// Whether there is no fractional unit, as bytes must have none.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.nanos % NANOS_PER_UNIT == 0
    }

    /// Whether the value is zero, however it is written.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whether the value is below zero; `-0` is not.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// The value that the API server stores for this quantity in a `ResourceList` (requests, limits, a claim's
    /// storage): rounded away from zero to a thousandth, and rewritten only if that changes it. Source:
    /// `SetDefaults_ResourceList`.
    #[must_use]
    pub fn rounded_up_to_milli(self) -> Self {
        let excess = self.nanos % NANOS_PER_MILLI;
        if excess == 0 {
            return self;
        }
        let nanos = self.nanos - excess + excess.signum() * NANOS_PER_MILLI;
        Self { nanos, verbatim: None, ..self }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verbatim {
            Some(text) => f.pad(text.as_str()),
            None => f.pad(&canonical::text(self.nanos, self.format)),
        }
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantity({self})")
    }
}

/// Why a text is not a quantity; the first two texts are Kubernetes' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// The text does not have the shape number-then-suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The letters after the number are no suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// The magnitude is over 2^63-1, the most that Kubernetes can hold.
    #[error("must not be greater in magnitude than 9223372036854775807")]
    OutOfRange,
    /// The text is longer than [`MAX_LENGTH`].
    #[error("may not be more than {MAX_LENGTH} bytes")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn prints_what_the_api_server_stores() {
        let stored = [
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1e3"),
            ("0.5", "500m"),
            ("500m", "500m"),
            ("1000m", "1"),
            ("1.0e2", "100"),
            ("+1Gi", "+1Gi"),
            ("100u", "100u"),
        ];
        for (typed, read_back) in stored {
            assert_eq!(quantity(typed).to_string(), read_back, "{typed}");
            assert_eq!(quantity(read_back).to_string(), read_back, "{read_back} applied again");
        }
        assert_eq!(quantity("100u").rounded_up_to_milli().to_string(), "1m");
        assert_eq!(quantity("+1Gi").rounded_up_to_milli().to_string(), "+1Gi");
        assert_eq!(Quantity::from_bytes(3 << 29).to_string(), "1536Mi");
    }

    #[test]
    fn compares_by_value() {
        assert_eq!(quantity("1Gi"), quantity("1073741824"));
        assert_eq!(quantity("1Gi"), Quantity::from_bytes(1 << 30));
        assert!(quantity("1Gi") > quantity("1G"));
        assert!(quantity("-1n") < quantity("-0"));
        assert!(quantity("-1n").is_negative() && !quantity("-0").is_negative() && quantity("-0").is_zero());
    }

    #[test]
    fn rounds_away_from_zero() {
        let values =
            [("500m", 1), ("-500m", -1), ("-1.50000000000000000000", -2), ("1e-99999999", 1), ("8191Pi", 8191 << 50)];
        for (text, value) in values {
            assert_eq!(quantity(text).value(), value, "{text}");
        }
        assert!(quantity("0.5Gi").is_whole() && quantity("1000m").is_whole() && !quantity("10m").is_whole());
    }

    #[test]
    fn refuses_what_it_cannot_hold() {
        let refused = [
            ("1Gii", QuantityError::Suffix),
            ("1 Gi", QuantityError::Format),
            ("Gi", QuantityError::Format),
            ("9Ei", QuantityError::OutOfRange),
            ("-9223372036854775808", QuantityError::OutOfRange),
            ("2E6024865272343", QuantityError::OutOfRange),
        ];
        for (text, error) in refused {
            assert_eq!(Quantity::parse(text), Err(error), "{text}");
        }
        assert_eq!(Quantity::parse(&"9".repeat(1 << 20)), Err(QuantityError::TooLong));
    }
}
