//! The checks of the API server before it calls the webhooks: the whole schema, metadata included, and the syntax of
//! names, labels and annotations.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{
    path::Path,
    schema::{Fault, faults},
};
use crate::{
    api::crd,
    domain::{
        field_error::{FieldError, quoted},
        syntax,
    },
};

/// The most bytes of all annotations together.
const ANNOTATIONS_LIMIT: usize = 256 << 10;
/// A suffix in the form and length that the API server appends to `generateName`.
const GENERATED: &str = "00000";
/// The longest beginning of a generated name; what is longer is cut.
const GENERATE_LIMIT: usize = 58;

/// The CRD's schema with that of metadata, which a CRD leaves out.
///
/// # Errors
/// When the derived schema is no JSON, which is a defect of this crate.
pub fn schema() -> Result<Value, serde_json::Error> {
    let crd = crd::definition()?;
    let mut schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").cloned().unwrap_or_default();
    let generator = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut metadata = serde_json::to_value(generator.into_root_schema_for::<ObjectMeta>())?;
    if let Some(fields) = metadata.as_object_mut() {
        fields.remove("$schema");
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("metadata".to_owned(), metadata);
        properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
        properties.insert("kind".to_owned(), json!({"type": "string"}));
    }
    Ok(schema)
}

/// The faults of a whole object, status aside: the API server does not take that from users.
#[must_use]
pub fn check(schema: &Value, object: &Value) -> Vec<Fault> {
    let mut judged = object.clone();
    if let Some(fields) = judged.as_object_mut() {
        fields.remove("status");
    }
    faults(schema, &judged)
}

/// Gives an object that only has a `generateName` a name such as the API server would.
pub fn generate_name(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if metadata.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty()) {
        return;
    }
    let Some(prefix) = metadata.get("generateName").and_then(Value::as_str).filter(|prefix| !prefix.is_empty()) else {
        return;
    };
    let prefix: String = prefix.chars().take(GENERATE_LIMIT).collect();
    metadata.insert("name".to_owned(), Value::from(prefix + GENERATED));
}

/// The faults of name, namespace, labels and annotations, whose types are right.
#[must_use]
pub fn metadata_faults(metadata: &Value) -> Vec<FieldError> {
    let text = |field: &str| metadata.get(field).and_then(Value::as_str).unwrap_or_default();
    let mut errors = Vec::new();
    match text("name") {
        "" => errors.push(FieldError::required("metadata.name", "name or generateName is required")),
        name if !syntax::is_subdomain(name) => {
            errors.push(FieldError::invalid("metadata.name", name, syntax::SUBDOMAIN));
        }
        _ => {}
    }
    let namespace = text("namespace");
    if !namespace.is_empty() {
        errors.extend(
            syntax::namespace_fault(namespace).map(|fault| FieldError::invalid("metadata.namespace", namespace, fault)),
        );
    }
    for (key, value) in pairs(metadata, "labels") {
        let key_fault = syntax::label_key_fault(key).map(|fault| (key, fault));
        let value_fault = syntax::label_value_fault(value).map(|fault| (value, fault));
        let faults = key_fault.into_iter().chain(value_fault);
        errors.extend(faults.map(|(text, fault)| FieldError::invalid("metadata.labels", text, fault)));
    }
    let mut size = 0;
    for (key, value) in pairs(metadata, "annotations") {
        size += key.len() + value.len();
        let fault = syntax::label_key_fault(&key.to_lowercase());
        errors.extend(fault.map(|fault| FieldError::invalid("metadata.annotations", key, fault)));
    }
    let finalizers = metadata.get("finalizers").and_then(Value::as_array).into_iter().flatten();
    for finalizer in finalizers.filter_map(Value::as_str) {
        let fault = syntax::label_key_fault(finalizer);
        errors.extend(fault.map(|fault| FieldError::invalid("metadata.finalizers", finalizer, fault)));
    }
    if size > ANNOTATIONS_LIMIT {
        errors.push(FieldError::too_long("metadata.annotations", ANNOTATIONS_LIMIT));
    }
    errors
}

fn pairs<'a>(metadata: &'a Value, field: &str) -> Vec<(&'a str, &'a str)> {
    let map = metadata.get(field).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
}

/// The warning about a directive or a label whose value the API server drops.
#[must_use]
pub fn dropped(path: &Path) -> Option<String> {
    match path.keys().as_slice() {
        ["spec", "config", name] => Some(format!(
            "spec.config[{name}]: has no value, so the API server drops it; write {} for an empty one",
            quoted("")
        )),
        ["spec", "pod", map, name] => Some(format!(
            "spec.pod.{map}[{name}]: has no value, so the API server drops it; write {} for an empty one",
            quoted("")
        )),
        _ => None,
    }
}
