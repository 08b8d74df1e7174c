//! Decides how a quantity is printed: as typed, or with the largest suffix that keeps a whole number before it.
//! The rules are apimachinery's (`ParseQuantity`, `CanonicalizeBytes`), since a desired state is compared with them.

use super::literal::{Format, Literal};
use super::{MAX_LENGTH, NANOS_PER_UNIT};

const DECIMAL_SUFFIXES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY_SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// A text kept as it was typed, inside the quantity, so that a quantity stays `Copy`.
#[derive(Clone, Copy)]
pub(super) struct Verbatim {
    bytes: [u8; MAX_LENGTH],
    length: usize,
}

impl Verbatim {
    /// Keeps a text of at most `MAX_LENGTH` bytes.
    pub(super) fn new(text: &str) -> Self {
        let mut bytes = [0; MAX_LENGTH];
        bytes.iter_mut().zip(text.bytes()).for_each(|(kept, byte)| *kept = byte);
        Self { bytes, length: text.len() }
    }

    pub(super) fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// Whether Go keeps the text. Its test for "already canonical" looks at the digits only, so signs, leading zeros and
/// points slip through (`+1`, `007`, `1.500`); and it applies only where its 64-bit arithmetic is sure to suffice.
pub(super) fn keeps_text(literal: &Literal<'_>) -> bool {
    let digits = [literal.whole, literal.fraction].concat();
    match literal.scale.format {
        Format::BinarySi => {
            let spare = 14_usize.checked_sub(literal.scale.twos as usize / 10 * 3);
            let fits = literal.fraction.is_empty() && spare.is_some_and(|spare| digits.len() <= spare);
            fits && digits.parse::<u64>().is_ok_and(|number| number % 8 != 0)
        }
        Format::DecimalSi | Format::DecimalExponent => {
            let Some(tens) =
                i64::try_from(literal.fraction.len()).ok().and_then(|places| literal.scale.tens.checked_sub(places))
            else {
                return false;
            };
            let fits = digits.len() <= 18 && tens >= -9 && tens % 3 == 0;
            fits && !literal.whole.is_empty() && !digits.ends_with("000")
        }
    }
}

/// The canonical text of a number of billionths.
pub(super) fn text(nanos: i128, format: Format) -> String {
    if nanos == 0 {
        return "0".to_owned();
    }
    let units = nanos / NANOS_PER_UNIT;
    match format {
        // Binary suffixes are for whole numbers from 1024 on; anything else would lose digits or read oddly.
        Format::BinarySi if nanos % NANOS_PER_UNIT == 0 && units.abs() >= 1024 => {
            let (amount, steps) = reduced(units, 1024);
            format!("{amount}{}", BINARY_SUFFIXES.get(steps).unwrap_or(&""))
        }
        Format::BinarySi | Format::DecimalSi => {
            let (amount, steps) = reduced(nanos, 1000);
            format!("{amount}{}", DECIMAL_SUFFIXES.get(steps).unwrap_or(&""))
        }
        Format::DecimalExponent => match reduced(nanos, 1000) {
            (amount, 3) => amount.to_string(),
            (amount, steps) if steps < 3 => format!("{amount}e-{}", (3 - steps) * 3),
            (amount, steps) => format!("{amount}e{}", (steps - 3) * 3),
        },
    }
}

/// Divides by the base as long as nothing remains, and says how often it did. The amount is not zero.
fn reduced(mut amount: i128, base: i128) -> (i128, usize) {
    let mut steps = 0;
    while amount % base == 0 {
        amount /= base;
        steps += 1;
    }
    (amount, steps)
}
