//! The values of absent fields. On raw JSON, because the defaulting webhook sees objects before their types are checked:
//! what has the wrong type is left for the schema to refuse. And on what was read typed. Idempotent, and never fails.

use serde_json::{Map, Value};

use crate::api::v1::{RedisInstance, RedisInstanceSpec};

/// Defaults that the operator's settings decide.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// Image of an instance that names none.
    pub image: String,
}

impl Defaults {
    /// Fills in every absent or null field of a raw `RedisInstance` that has a default; all else is untouched.
    pub fn apply(&self, object: &mut Value) {
        let Some(object) = object.as_object_mut() else { return };
        let Some(spec) = section(object, "spec") else { return };
        quote_numbers(spec);
        fill(spec, "image", || self.image.clone().into());
        fill(spec, "replicas", || 1.into());
        if let Some(storage) = section(spec, "storage") {
            fill(storage, "size", || "1Gi".into());
            fill(storage, "retention", || "Retain".into());
        }
        if let Some(auth) = section(spec, "auth") {
            fill(auth, "enabled", || true.into());
        }
        if let Some(policy) = section(spec, "updatePolicy") {
            fill(policy, "config", || "Auto".into());
        }
    }

    /// Fills in the defaults for an update of the stored object. An omitted image or size keeps its stored value: the
    /// default could be an upgrade or a growth that was not requested, and neither can be reverted.
    pub fn apply_to_update(&self, object: &mut Value, stored: &Value) {
        let image = stored.pointer("/spec/image").filter(|image| image.as_str().is_some_and(|text| !text.is_empty()));
        if let (Some(image), Some(object)) = (image, object.as_object_mut())
            && let Some(spec) = section(object, "spec")
        {
            fill(spec, "image", || image.clone());
        }
        if let Some(size) = stored.pointer("/spec/storage/size").filter(|size| size.is_string()) {
            let spec = object.as_object_mut().and_then(|object| section(object, "spec"));
            if let Some(storage) = spec.and_then(|spec| section(spec, "storage")) {
                fill(storage, "size", || size.clone());
            }
        }
        self.apply(object);
    }

    /// Fills in the defaults of a decoded spec.
    pub fn complete(&self, spec: &mut RedisInstanceSpec) {
        spec.image.get_or_insert_with(|| self.image.clone());
        spec.replicas.get_or_insert(1);
        let storage = spec.storage.get_or_insert_default();
        storage.size.get_or_insert_with(|| "1Gi".to_owned());
        storage.retention.get_or_insert_default();
        spec.auth.get_or_insert_default().enabled.get_or_insert(true);
        spec.update_policy.get_or_insert_default().config.get_or_insert_default();
    }

    /// Fills in the defaults of a whole object, without its status, which no rule depends on.
    #[must_use]
    pub fn applied(&self, instance: &RedisInstance) -> RedisInstance {
        let mut spec = instance.spec.clone();
        self.complete(&mut spec);
        RedisInstance { metadata: instance.metadata.clone(), spec, status: None }
    }
}

/// The most characters of a quantity, as in the schema.
const QUANTITY_LIMIT: usize = 64;

/// Quantities that YAML left numbers, as text: `cpu: 0.5` is legal in a pod, and the schema's type of a quantity is an
/// integer or a text. An integer stays where the schema takes one.
fn quote_numbers(spec: &mut Map<String, Value>) {
    let text = |value: &Value| {
        let Value::Number(number) = value else { return None };
        let text = match number.as_f64() {
            Some(float) if number.is_f64() => float.to_string(),
            _ => number.to_string(),
        };
        (text.len() <= QUANTITY_LIMIT).then_some(Value::String(text))
    };
    if let Some(size) = spec.get_mut("storage").and_then(|storage| storage.get_mut("size")) {
        *size = text(size).unwrap_or_else(|| size.take());
    }
    for list in ["limits", "requests"] {
        let quantities = spec.get_mut("resources").and_then(|resources| resources.get_mut(list));
        let numbers = quantities.and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut);
        for quantity in numbers.filter(|quantity| quantity.is_f64()) {
            *quantity = text(quantity).unwrap_or_else(|| quantity.take());
        }
    }
}

/// The object under `name`, made if absent or null; `None` when something of another type stands there.
fn section<'a>(parent: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    fill(parent, name, || Value::Object(Map::new()));
    parent.get_mut(name).and_then(Value::as_object_mut)
}

fn fill(parent: &mut Map<String, Value>, name: &str, default: impl FnOnce() -> Value) {
    if parent.get(name).is_none_or(Value::is_null) {
        parent.insert(name.to_owned(), default());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn defaulted(mut object: Value) -> Value {
        Defaults { image: "redis:7.4".into() }.apply(&mut object);
        object
    }

    #[test]
    fn an_empty_object_becomes_a_whole_one_and_stays_so() {
        let once = defaulted(json!({"kind": "RedisInstance"}));
        assert_eq!(
            once["spec"],
            json!({"image": "redis:7.4", "replicas": 1, "storage": {"size": "1Gi", "retention": "Retain"},
                   "auth": {"enabled": true}, "updatePolicy": {"config": "Auto"}})
        );
        assert_eq!(defaulted(once.clone()), once);
    }

    #[test]
    fn what_the_user_wrote_stays_and_null_is_absent() {
        let spec = json!({"image": "valkey/valkey:8", "replicas": null, "storage": {"size": "1024Mi", "storageClassName": ""}});
        let spec = &defaulted(json!({ "spec": spec }))["spec"];
        assert_eq!((&spec["image"], &spec["replicas"]), (&json!("valkey/valkey:8"), &json!(1)));
        assert_eq!(spec["storage"], json!({"size": "1024Mi", "storageClassName": "", "retention": "Retain"}));
    }

    #[test]
    fn what_was_read_typed_gets_the_same_values() {
        for spec in [
            json!({}),
            json!({"image": null, "replicas": null, "storage": null, "auth": null, "updatePolicy": null}),
            json!({"storage": {"size": null, "retention": null}, "auth": {"enabled": null}, "updatePolicy": {"config": null}}),
            json!({"image": "", "replicas": 0, "storage": {"size": "", "storageClassName": ""}, "auth": {"secretName": "x"}}),
            json!({"image": "redis:7.2", "replicas": 3, "storage": {"size": "2Gi", "retention": "Delete"},
                "auth": {"enabled": false}, "updatePolicy": {"config": "Recreate"}, "config": {"hz": "10"},
                "resources": {"limits": {"cpu": 1}}, "pod": {"labels": {"a": "b"}}}),
        ] {
            let object = json!({"metadata": {"name": "cache"}, "spec": spec});
            let mut typed: RedisInstance = serde_json::from_value(object.clone()).unwrap();
            Defaults { image: "redis:7.4".into() }.complete(&mut typed.spec);
            let raw: RedisInstance = serde_json::from_value(defaulted(object)).unwrap();
            assert_eq!(typed, raw, "{spec}");
        }
    }

    #[test]
    fn a_size_that_an_update_leaves_out_stays() {
        let stored = json!({"spec": {"storage": {"size": "64Mi"}}});
        for (spec, size) in [
            (json!({}), "64Mi"),
            (json!({"storage": null}), "64Mi"),
            (json!({"storage": {"size": null}}), "64Mi"),
            (json!({"storage": {"size": "2Gi"}}), "2Gi"),
        ] {
            let mut object = json!({ "spec": spec });
            Defaults { image: "redis:7.4".into() }.apply_to_update(&mut object, &stored);
            assert_eq!(object["spec"]["storage"]["size"], json!(size), "{spec}");
        }
    }

    #[test]
    fn an_image_that_an_update_leaves_out_stays() {
        let updated = |spec: Value, stored: Value| {
            let mut object = json!({ "spec": spec });
            Defaults { image: "redis:7.4".into() }.apply_to_update(&mut object, &json!({ "spec": stored }));
            object["spec"]["image"].clone()
        };
        let stored = json!({"image": "redis:7.2.11"});
        for spec in [json!({}), json!({"image": null}), json!({"config": {"hz": "20"}}), Value::Null] {
            assert_eq!(updated(spec.clone(), stored.clone()), json!("redis:7.2.11"), "{spec}");
        }
        assert_eq!(updated(json!({"image": "redis:8"}), stored.clone()), json!("redis:8"));
        assert_eq!(updated(json!({"image": ""}), stored), json!(""), "what was written is refused, not replaced");
        for stored in [json!({}), json!({"image": ""}), json!({"image": 7})] {
            assert_eq!(updated(json!({}), stored.clone()), json!("redis:7.4"), "{stored}");
        }
    }

    #[test]
    fn quantities_that_yaml_left_numbers_become_text() {
        let spec = json!({"storage": {"size": 1e9}, "resources": {"limits": {"cpu": 0.5, "memory": 1e9}, "requests": {"cpu": 1}}});
        let spec = &defaulted(json!({ "spec": spec }))["spec"];
        assert_eq!(spec["storage"]["size"], json!("1000000000"));
        assert_eq!(
            spec["resources"],
            json!({"limits": {"cpu": "0.5", "memory": "1000000000"}, "requests": {"cpu": 1}})
        );
        assert_eq!(defaulted(json!({"spec": {"storage": {"size": 1e300}}}))["spec"]["storage"]["size"], json!(1e300));
    }

    #[test]
    fn wrong_types_pass_untouched() {
        for spec in [json!("x"), json!([1]), json!(7)] {
            assert_eq!(defaulted(json!({ "spec": spec }))["spec"], spec);
        }
        let spec = &defaulted(json!({"spec": {"storage": 10, "auth": [true], "replicas": "3", "image": 5}}))["spec"];
        assert_eq!(
            (&spec["storage"], &spec["auth"], &spec["replicas"], &spec["image"]),
            (&json!(10), &json!([true]), &json!("3"), &json!(5))
        );
        for odd in [json!(null), json!(1), json!([]), json!("")] {
            assert_eq!(defaulted(odd.clone()), odd);
        }
    }
}
