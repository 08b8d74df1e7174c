//! The CustomResourceDefinition as it is installed: the derived schema made fit for `kubectl explain`.
//! Decides presentation only; the schema itself comes from `v1`.

use kube::CustomResourceExt;
use serde_json::Value;

use super::v1::RedisInstance;

/// The CRD as JSON, ready to be printed. The same input always gives the same bytes.
///
/// # Errors
/// When the derived schema cannot be represented as JSON, which is a defect of this crate.
pub fn definition() -> Result<Value, serde_json::Error> {
    let mut crd = serde_json::to_value(RedisInstance::crd())?;
    tidy(&mut crd);
    if let Some(root) = crd.as_object_mut() {
        root.remove("status");
    }
    if let Some(Value::String(text)) =
        crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/description")
    {
        "What the user wants.".clone_into(text);
    }
    Ok(crd)
}

/// Takes out what the derivation adds and users need not see: `nullable` (the API server then prunes nulls, so a
/// null is an absent field), integer formats (they make its messages obscure; CEL holds the bounds), floats where integers are meant, doc-comment line ends.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("nullable").is_some_and(Value::is_boolean) {
                fields.remove("nullable");
            }
            if fields.get("type").is_some_and(|kind| kind == "integer") {
                fields.remove("format");
            }
            for (name, field) in fields.iter_mut() {
                match field {
                    Value::String(text) if name == "description" => *text = text.replace('\n', " "),
                    Value::Number(number) => {
                        if let Some(whole) = number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 1e15) {
                            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
                            let whole = whole as i64;
                            *field = Value::from(whole);
                        }
                    }
                    other => tidy(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
