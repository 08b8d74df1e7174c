//! Quantities as apimachinery reads, writes, rounds and orders them, and where ours differ on purpose.

use std::cmp::Ordering;

use redis_operator::domain::quantity::{MAX_LENGTH, Quantity, QuantityError};
use serde::Deserialize;

use crate::judge::{Intended, Judge};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "lowercase")]
pub(crate) struct QuantityVector {
    #[serde(rename = "in")]
    pub(crate) text: String,
    pub(crate) skip: bool,
    pub(crate) err: Option<String>,
    pub(crate) out: String,
    pub(crate) milli: Option<String>,
    pub(crate) value: i64,
    pub(crate) exact: Option<String>,
    pub(crate) beyond: bool,
    pub(crate) rank: usize,
    /// How it compares with the quantity that was accepted before it: -1, 0 or 1.
    pub(crate) order: Option<i8>,
}

type QuantityResult = Result<Quantity, QuantityError>;

pub(crate) static DIFFERENCES: [Intended<QuantityVector, QuantityResult>; 5] = [
    Intended {
        reason: "more than 64 bytes are refused unread",
        applies: |vector, ours| vector.text.len() > MAX_LENGTH && *ours == Err(QuantityError::TooLong),
    },
    Intended {
        reason: "a quantity needs a digit before its suffix; Go takes most of these for zero",
        applies: |vector, ours| {
            let number = vector.text.trim_start_matches(['+', '-', '.']);
            let accepted = matches!(vector.err.as_deref(), None | Some("numeric"));
            accepted
                && !number.starts_with(|letter: char| letter.is_ascii_digit())
                && *ours == Err(QuantityError::Format)
        },
    },
    Intended {
        reason: "over 2^63-1 is refused; Go cuts binary suffixes to it and overflows Value for the others",
        applies: |vector, ours| vector.beyond && *ours == Err(QuantityError::OutOfRange),
    },
    Intended {
        reason: "an exponent is taken as written; Go keeps its lowest 32 bits",
        applies: |vector, ours| {
            let exponent = vector.text.split(['e', 'E']).nth(1).and_then(|digits| digits.parse::<i64>().ok());
            match exponent.map(|exponent| (exponent, i32::try_from(exponent))) {
                Some((1.., Err(_))) => *ours == Err(QuantityError::OutOfRange),
                Some((_, Err(_))) => ours.is_ok_and(|quantity| quantity.to_string().ends_with("1e-9")),
                _ => false,
            }
        },
    },
    Intended {
        reason: "value rounds away from zero; Go's Value of a negative number in its big arithmetic does not",
        applies: |vector, ours| {
            let same = |quantity: &Quantity| vector.exact.as_deref() == Some(quantity.value().to_string().as_str());
            vector.out.starts_with('-')
                && ours.is_ok_and(|quantity| quantity.to_string() == vector.out && same(&quantity))
        },
    },
];

/// Quantities one after another, each compared with Go's verdict and with its predecessor.
pub(crate) struct Quantities {
    pub(crate) judge: Judge<QuantityVector, QuantityResult>,
    former: Option<(Quantity, String)>,
    pub(crate) ordered: usize,
    /// Not asked in Go, which would not come back.
    pub(crate) skipped: usize,
}

impl Quantities {
    pub(crate) fn new() -> Self {
        Self { judge: Judge::new(&DIFFERENCES), former: None, ordered: 0, skipped: 0 }
    }

    pub(crate) fn take(&mut self, vector: &QuantityVector) {
        let ours = Quantity::parse(&vector.text);
        if vector.skip {
            self.skipped += 1;
            if !is_bounded(&ours) {
                self.judge.fault(format!("{}: {ours:?}", vector.text));
            }
            return;
        }
        self.judge.take(vector, &ours, agree(vector, &ours));
        if vector.err.is_none() {
            self.order(vector, ours.ok().filter(|quantity| quantity.to_string() == vector.out));
        }
    }

    /// Both in Go's order, where both are read as Go reads them.
    fn order(&mut self, vector: &QuantityVector, ours: Option<Quantity>) {
        if let (Some(ours), Some((former, text)), Some(order)) = (&ours, &self.former, vector.order) {
            self.ordered += 1;
            if ours.cmp(former) != order.cmp(&0) {
                self.judge.fault(format!("{} and {text} are compared otherwise than in Go", vector.text));
            }
        }
        self.former = ours.map(|quantity| (quantity, vector.text.clone()));
    }
}

fn agree(vector: &QuantityVector, ours: &QuantityResult) -> bool {
    match (&vector.err, ours) {
        (Some(theirs), Err(QuantityError::Format)) => theirs == "format",
        (Some(theirs), Err(QuantityError::Suffix)) => theirs == "suffix",
        (None, Ok(quantity)) => {
            let milli = vector.milli.as_ref().unwrap_or(&vector.out);
            quantity.to_string() == vector.out
                && quantity.rounded_up_to_milli().to_string() == *milli
                && quantity.value() == i128::from(vector.value)
        }
        _ => false,
    }
}

/// What an exponent beyond all measure may be: refused, or next to nothing.
fn is_bounded(ours: &QuantityResult) -> bool {
    ours.is_err() || ours.is_ok_and(|quantity| quantity.value().abs() <= 1)
}

fn committed() -> Vec<QuantityVector> {
    crate::vectors(include_str!("quantities.json"))
}

#[test]
fn quantities_agree_with_apimachinery() {
    let mut quantities = Quantities::new();
    for vector in &committed() {
        quantities.take(vector);
    }
    assert!(quantities.skipped > 0, "no exponent that hangs Go");
    quantities.judge.conclude();
}

#[test]
fn quantities_are_ordered_as_apimachinery_orders_them() {
    let mut ranked: Vec<(usize, Quantity, String)> = Vec::new();
    for vector in committed() {
        if let (None, false, Ok(quantity)) = (&vector.err, vector.skip, Quantity::parse(&vector.text))
            && quantity.to_string() == vector.out
        {
            ranked.push((vector.rank, quantity, vector.text));
        }
    }
    ranked.sort_by_key(|(rank, ..)| *rank);
    let faults: Vec<String> = ranked
        .windows(2)
        .filter_map(|pair| match pair {
            [(low, a, text_a), (high, b, text_b)] if a.cmp(b) != low.cmp(high) => {
                Some(format!("{text_a} and {text_b}"))
            }
            _ => None,
        })
        .collect();
    assert!(faults.is_empty(), "compared otherwise than in Go: {}", faults.join(", "));
    assert!(ranked.iter().any(|(_, quantity, _)| quantity.cmp(&Quantity::from_bytes(0)) == Ordering::Less));
}

#[test]
fn reading_back_and_applying_again_changes_nothing() {
    for quantity in committed().iter().filter_map(|vector| Quantity::parse(&vector.text).ok()) {
        let stored = quantity.rounded_up_to_milli().to_string();
        let again = Quantity::parse(&stored).map(|quantity| quantity.rounded_up_to_milli().to_string());
        assert_eq!(again.as_ref(), Ok(&stored), "{quantity}");
    }
}
