//! Bounds of numbers: `minimum`, `maximum`, and the CEL rules that compare a value with a number.

use serde_json::Value;

/// The expected range of a number, if it violates `minimum` or `maximum`.
pub(super) fn beyond(schema: &Value, value: &Value) -> Vec<String> {
    let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_f64).zip(value.as_f64());
    let (least, most) = (limit("minimum"), limit("maximum"));
    let below =
        least.filter(|(least, value)| value < least).map(|(least, _)| format!("greater than or equal to {least}"));
    let above = most.filter(|(most, value)| value > most).map(|(most, _)| format!("less than or equal to {most}"));
    below.into_iter().chain(above).collect()
}

/// A CEL rule that compares the value with a number. The others are about changes, and `domain` has them too.
pub(super) struct Bound<'a> {
    least: Option<f64>,
    most: Option<f64>,
    pub(super) message: &'a str,
}

impl Bound<'_> {
    pub(super) fn holds(&self, value: &Value) -> bool {
        let Some(value) = value.as_f64() else { return true };
        self.least.is_none_or(|least| value >= least) && self.most.is_none_or(|most| value <= most)
    }
}

pub(super) fn bounds(schema: &Value) -> Vec<Bound<'_>> {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    rules.into_iter().flatten().filter_map(bound).collect()
}

fn bound(rule: &Value) -> Option<Bound<'_>> {
    let (text, message) = (rule.get("rule")?.as_str()?, rule.get("message")?.as_str()?);
    let number = |sign: &str| text.strip_prefix("self ")?.strip_prefix(sign)?.trim().parse().ok();
    let (least, most) = (number(">="), number("<="));
    (least.is_some() || most.is_some()).then_some(Bound { least, most, message })
}
