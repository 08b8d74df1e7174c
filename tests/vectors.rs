//! Measures the parsers of quantities and image references against Go's verdicts in `vectors/*.json`: every difference
//! is listed at once, and each one that is meant has its reason here. How the verdicts are made: `vectors/main.go`.

use std::cmp::Ordering;
use std::fmt::Debug;

use redis_operator::domain::image::{ImageError, ImageReference};
use redis_operator::domain::quantity::{MAX_LENGTH, Quantity, QuantityError};
use serde::Deserialize;

#[derive(Deserialize)]
struct File<V> {
    vectors: Vec<V>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "lowercase")]
struct QuantityVector {
    #[serde(rename = "in")]
    text: String,
    skip: bool,
    err: Option<String>,
    out: String,
    milli: Option<String>,
    value: i64,
    exact: Option<String>,
    beyond: bool,
    rank: usize,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct ImageVector {
    #[serde(rename = "in")]
    text: String,
    err: Option<String>,
    host: String,
    path: String,
    tag: String,
    digest: String,
}

/// A difference that is meant: when it applies, and why.
struct Intended<V, P> {
    reason: &'static str,
    applies: fn(&V, &P) -> bool,
}

/// Said when the files and the structs above have drifted apart.
const READABLE: &str = "the vectors have the fields that `vectors/main.go` writes";

type QuantityResult = Result<Quantity, QuantityError>;
type ImageResult = Result<ImageReference, ImageError>;

const QUANTITY_DIFFERENCES: [Intended<QuantityVector, QuantityResult>; 5] = [
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

const IMAGE_DIFFERENCES: [Intended<ImageVector, ImageResult>; 1] = [Intended {
    reason: "white space around a reference is named as such; Go refuses it too",
    applies: |vector, ours| vector.err.is_some() && *ours == Err(ImageError::Whitespace),
}];

fn vectors<V: for<'a> Deserialize<'a>>(json: &str) -> serde_json::Result<Vec<V>> {
    let file: File<V> = serde_json::from_str(json)?;
    assert!(file.vectors.len() > 1000, "only {} vectors", file.vectors.len());
    Ok(file.vectors)
}

fn quantity_vectors() -> serde_json::Result<Vec<QuantityVector>> {
    vectors(include_str!("vectors/quantities.json"))
}

/// Fails with every difference that no reason covers, and with every reason that covers none.
fn judge<V: Debug, P: Debug>(
    vectors: &[V],
    parse: impl Fn(&V) -> P,
    agree: impl Fn(&V, &P) -> bool,
    intended: &[Intended<V, P>],
) {
    let mut unused: Vec<&str> = intended.iter().map(|difference| difference.reason).collect();
    let mut faults = Vec::new();
    for vector in vectors {
        let ours = parse(vector);
        if agree(vector, &ours) {
            continue;
        }
        match intended.iter().find(|difference| (difference.applies)(vector, &ours)) {
            Some(difference) => unused.retain(|reason| *reason != difference.reason),
            None => faults.push(format!("ours {ours:?}, Go {vector:?}")),
        }
    }
    assert!(faults.is_empty(), "{} unintended differences:\n{}", faults.len(), faults.join("\n"));
    assert!(unused.is_empty(), "intended differences that no vector shows: {unused:?}");
}

#[test]
fn quantities_agree_with_apimachinery() {
    let asked: Vec<QuantityVector> =
        quantity_vectors().expect(READABLE).into_iter().filter(|vector| !vector.skip).collect();
    let agree = |vector: &QuantityVector, ours: &QuantityResult| match (&vector.err, ours) {
        (Some(theirs), Err(QuantityError::Format)) => theirs == "format",
        (Some(theirs), Err(QuantityError::Suffix)) => theirs == "suffix",
        (None, Ok(quantity)) => {
            let milli = vector.milli.as_ref().unwrap_or(&vector.out);
            quantity.to_string() == vector.out
                && quantity.rounded_up_to_milli().to_string() == *milli
                && quantity.value() == i128::from(vector.value)
        }
        _ => false,
    };
    judge(&asked, |vector| Quantity::parse(&vector.text), agree, &QUANTITY_DIFFERENCES);
}

#[test]
fn quantities_are_ordered_as_apimachinery_orders_them() {
    let mut ranked: Vec<(usize, Quantity, String)> = Vec::new();
    for vector in quantity_vectors().expect(READABLE) {
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
    for quantity in quantity_vectors().expect(READABLE).iter().filter_map(|vector| Quantity::parse(&vector.text).ok()) {
        let stored = quantity.rounded_up_to_milli().to_string();
        let again = Quantity::parse(&stored).map(|quantity| quantity.rounded_up_to_milli().to_string());
        assert_eq!(again.as_ref(), Ok(&stored), "{quantity}");
    }
}

#[test]
fn exponents_that_hang_go_are_refused_or_below_a_billionth() {
    let hanging: Vec<QuantityVector> =
        quantity_vectors().expect(READABLE).into_iter().filter(|vector| vector.skip).collect();
    assert!(!hanging.is_empty());
    for vector in hanging {
        let ours = Quantity::parse(&vector.text);
        let bounded = ours.is_ok_and(|quantity| quantity.value().abs() <= 1) || ours.is_err();
        assert!(bounded, "{}: {ours:?}", vector.text);
    }
}

#[test]
fn images_agree_with_distribution() {
    let agree = |vector: &ImageVector, ours: &ImageResult| match ours {
        Err(error) => vector.err.as_deref() == Some(name(*error)),
        Ok(image) => {
            assert_eq!(image.as_str(), vector.text);
            let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
            *vector
                == ImageVector {
                    text: vector.text.clone(),
                    err: None,
                    host: part(image.host()),
                    path: image.repository().to_owned(),
                    tag: part(image.tag()),
                    digest: part(image.digest()),
                }
        }
    };
    let vectors: Vec<ImageVector> = vectors(include_str!("vectors/images.json")).expect(READABLE);
    judge(&vectors, |vector| ImageReference::parse(&vector.text), agree, &IMAGE_DIFFERENCES);
}

/// The word `vectors/images.go` has for a refusal.
fn name(error: ImageError) -> &'static str {
    match error {
        ImageError::Whitespace => "whitespace",
        ImageError::Format => "format",
        ImageError::Uppercase => "uppercase",
        ImageError::TooLong => "too-long",
        ImageError::Identifier => "identifier",
        ImageError::DigestFormat => "digest-format",
        ImageError::DigestLength => "digest-length",
        ImageError::DigestUnsupported => "digest-unsupported",
    }
}
