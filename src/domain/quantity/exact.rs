//! Decides what a quantity's digits are worth in billionths, with bounded integers; it knows nothing of text or print.

use super::literal::Literal;
use super::{MAX_LENGTH, NANOS_PER_UNIT};

/// "No quantity may represent a number greater than 2^63-1 in magnitude" (apimachinery's `Quantity`), in billionths.
const LIMIT: i128 = i64::MAX as i128 * NANOS_PER_UNIT;

/// Maximum shift of the decimal point. A larger shift changes nothing: with no more than `MAX_LENGTH` digits, the value
/// is already over the limit or under a billionth.
const REACH: u8 = 128;
const _: () = assert!(REACH as usize >= 2 * MAX_LENGTH);

/// The magnitude in billionths, rounded up; `None` when it is over the limit.
pub(super) fn magnitude(literal: &Literal<'_>) -> Option<i128> {
    let shift = literal.scale.tens.clamp(-i64::from(REACH), i64::from(REACH));
    let zeros = "0".repeat(usize::try_from(shift.unsigned_abs()).ok()?);
    let digits = [zeros.as_str(), literal.whole, literal.fraction, zeros.as_str()].concat();
    let point = zeros.len().checked_add(literal.whole.len())?.checked_add_signed(isize::try_from(shift).ok()?)?;
    let (whole, fraction) = digits.split_at_checked(point)?;

    let unit = NANOS_PER_UNIT.checked_shl(literal.scale.twos)?;
    let nanos = integer(whole)?.checked_mul(unit)?.checked_add(fraction_of(unit, fraction))?;
    (nanos <= LIMIT).then_some(nanos)
}

/// Stops where the type ends, long after the limit.
fn integer(digits: &str) -> Option<i128> {
    digits
        .trim_start_matches('0')
        .bytes()
        .try_fold(0, |value: i128, byte| value.checked_mul(10)?.checked_add(digit(byte)))
}

/// `0.digits` of a unit, rounded up: the digits are divided by ten one after the other from the last, which is exact
/// but for the remainders, and one remainder anywhere is enough to round up. The zeros at the end are most of the digits and
/// worth nothing, while a division is slow in this type.
fn fraction_of(unit: i128, digits: &str) -> i128 {
    let (below, inexact) = digits.trim_end_matches('0').bytes().rev().fold((0, false), |(below, inexact), byte| {
        let tenfold = digit(byte) * unit + below;
        (tenfold / 10, inexact || tenfold % 10 != 0)
    });
    below + i128::from(inexact)
}

fn digit(byte: u8) -> i128 {
    i128::from(byte.wrapping_sub(b'0'))
}
