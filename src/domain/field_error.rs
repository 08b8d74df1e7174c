//! One fault of one field, in the words of Kubernetes' own field errors (apimachinery, `util/validation/field`).
//! Knows how a fault is said, not which faults there are.

use std::fmt::{self, Write};

/// The longest value that is echoed, in characters; what is longer is cut and ends in "...".
const ECHO_LIMIT: usize = 128;
/// Maximum number of errors that are collected for one object. 64: three times as many as a response lists.
pub const FAULT_LIMIT: usize = 64;

/// The kind of error; the name is the machine-readable cause in the response of the API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A value is missing.
    Required,
    /// The value echoed (already quoted where text) is not acceptable.
    Invalid(String),
    /// The value echoed is not one of the supported ones.
    NotSupported(String),
    /// Nothing may stand here, whatever its value; the value is never echoed.
    Forbidden,
    /// The value is longer than the limit.
    TooLong,
    /// The list or map has more items than the limit.
    TooMany,
    /// The value echoed stands there twice.
    Duplicate(String),
}

/// One fault of one field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldError {
    /// Path from the object's root, such as `spec.storage.size` or `spec.config[maxmemory]`.
    pub field: String,
    /// The kind of error.
    pub fault: Fault,
    /// The expected value; may be empty.
    pub detail: String,
}

impl FieldError {
    /// `FIELD: Required value: DETAIL`
    #[must_use]
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), fault: Fault::Required, detail: detail.into() }
    }

    /// `FIELD: Invalid value: "TEXT": DETAIL`, the text quoted and cut.
    #[must_use]
    pub fn invalid(field: impl Into<String>, text: &str, detail: impl Into<String>) -> Self {
        Self { field: field.into(), fault: Fault::Invalid(quoted(text)), detail: detail.into() }
    }

    /// `FIELD: Invalid value: NUMBER: DETAIL`
    #[must_use]
    pub fn invalid_number(field: impl Into<String>, number: i64, detail: impl Into<String>) -> Self {
        Self { field: field.into(), fault: Fault::Invalid(number.to_string()), detail: detail.into() }
    }

    /// `FIELD: Unsupported value: VALUE: supported values: "A", "B"`
    #[must_use]
    pub fn not_supported(field: impl Into<String>, value: String, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|word| quoted(word)).collect();
        Self {
            field: field.into(),
            fault: Fault::NotSupported(value),
            detail: format!("supported values: {}", list.join(", ")),
        }
    }

    /// `FIELD: Forbidden: DETAIL`
    #[must_use]
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), fault: Fault::Forbidden, detail: detail.into() }
    }

    /// `FIELD: Too long: may not be more than LIMIT bytes`
    #[must_use]
    pub fn too_long(field: impl Into<String>, limit: usize) -> Self {
        Self { field: field.into(), fault: Fault::TooLong, detail: format!("may not be more than {limit} bytes") }
    }

    /// `FIELD: Too many: must have at most LIMIT items`
    #[must_use]
    pub fn too_many(field: impl Into<String>, limit: usize) -> Self {
        Self { field: field.into(), fault: Fault::TooMany, detail: format!("must have at most {limit} items") }
    }

    /// `FIELD: Duplicate value: "TEXT"`
    #[must_use]
    pub fn duplicate(field: impl Into<String>, text: &str) -> Self {
        Self { field: field.into(), fault: Fault::Duplicate(quoted(text)), detail: String::new() }
    }

    /// The cause as apimachinery's `CauseType` names it.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self.fault {
            Fault::Required => "FieldValueRequired",
            Fault::Invalid(_) => "FieldValueInvalid",
            Fault::NotSupported(_) => "FieldValueNotSupported",
            Fault::Forbidden => "FieldValueForbidden",
            Fault::TooLong => "FieldValueTooLong",
            Fault::TooMany => "FieldValueTooMany",
            Fault::Duplicate(_) => "FieldValueDuplicate",
        }
    }

    /// The message without the field, as `details.causes[].message` has it.
    #[must_use]
    pub fn message(&self) -> String {
        let head = match &self.fault {
            Fault::Required => "Required value".to_owned(),
            Fault::Invalid(value) => format!("Invalid value: {value}"),
            Fault::NotSupported(value) => format!("Unsupported value: {value}"),
            Fault::Forbidden => "Forbidden".to_owned(),
            Fault::TooLong => "Too long".to_owned(),
            Fault::TooMany => "Too many".to_owned(),
            Fault::Duplicate(value) => format!("Duplicate value: {value}"),
        };
        if self.detail.is_empty() { head } else { format!("{head}: {}", self.detail) }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message())
    }
}

/// The errors of one object, in the order in which they are found, at most [`FAULT_LIMIT`]. Further errors are dropped, so a
/// check may stop when [`Self::is_full`].
#[derive(Debug, Default)]
pub struct Faults(Vec<FieldError>);

impl Faults {
    /// Adds an error, if there is room.
    pub fn push(&mut self, error: FieldError) {
        self.extend([error]);
    }

    /// Whether a further error would be dropped.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= FAULT_LIMIT
    }

    /// The errors that were collected.
    #[must_use]
    pub fn into_vec(self) -> Vec<FieldError> {
        self.0
    }
}

impl Extend<FieldError> for Faults {
    /// Takes no more errors from the iterator than there is room for.
    fn extend<I: IntoIterator<Item = FieldError>>(&mut self, errors: I) {
        let room = FAULT_LIMIT.saturating_sub(self.0.len());
        self.0.extend(errors.into_iter().take(room));
    }
}

/// The text in double quotes, cut at 128 characters, everything that is not printable ASCII escaped: what a user
/// typed never becomes a second line or a control sequence of a log or a terminal.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(ECHO_LIMIT * 2) + 2);
    out.push('"');
    for (count, c) in text.chars().enumerate() {
        if count == ECHO_LIMIT {
            out.push_str("...");
            break;
        }
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            c if c.is_ascii() => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c => drop(write!(out, "\\u{{{:04x}}}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_kubernetes_own() {
        let error = FieldError::invalid("spec.storage.size", "1Gii", "unable to parse quantity's suffix");
        assert_eq!(error.to_string(), "spec.storage.size: Invalid value: \"1Gii\": unable to parse quantity's suffix");
        let error = FieldError::not_supported("spec.replicas", "3".into(), &["1"]);
        assert_eq!(error.to_string(), "spec.replicas: Unsupported value: 3: supported values: \"1\"");
        assert_eq!(FieldError::required("spec.image", "").to_string(), "spec.image: Required value");
    }

    #[test]
    fn what_is_echoed_stays_on_one_line_and_short() {
        assert_eq!(quoted("a\nb\u{7f}\u{2028}\"\\"), "\"a\\nb\\x7f\\u{2028}\\\"\\\\\"");
        assert_eq!(quoted(&"x".repeat(4000)).len(), ECHO_LIMIT + 5);
    }
}
