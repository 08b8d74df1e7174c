//! Whether an object in the cluster has drifted from what it is to be. Fields that others added are theirs. Must not know
//! whose object it is, nor what is done about it.

use serde_json::Value;

/// Whether `live` holds all of `desired`. What the API server drops on storing (null, empty lists and maps) counts as held.
#[must_use]
pub fn holds(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired
            .iter()
            .all(|(name, field)| live.get(name).map_or_else(|| is_empty(field), |held| holds(held, field))),
        // Items that others add to a list with named items, such as sidecars or ports, are left alone.
        (Value::Array(live), Value::Array(desired))
            if !desired.is_empty() && desired.iter().all(|item| key(item).is_some()) =>
        {
            desired.iter().all(|item| live.iter().any(|held| key(held) == key(item) && holds(held, item)))
        }
        (Value::Array(live), Value::Array(desired)) => {
            live.len() == desired.len() && live.iter().zip(desired).all(|(held, item)| holds(held, item))
        }
        (live, desired) => live == desired,
    }
}

/// The merge key that identifies an item in the lists that the operator writes.
fn key(item: &Value) -> Option<&Value> {
    ["uid", "mountPath", "name"].into_iter().find_map(|key| item.get(key)).filter(|key| key.is_string())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_added_is_no_difference_and_what_is_missing_is() {
        let live = json!({"a": 1, "defaulted": true, "list": [{"name": "x", "added": 1}], "map": {}});
        assert!(holds(&live, &json!({"a": 1, "list": [{"name": "x"}], "gone": [], "null": null, "labels": {}})));
        let meshed =
            json!({"containers": [{"name": "proxy"}, {"name": "redis", "image": "redis:7"}], "command": ["a", "b"]});
        assert!(
            holds(&meshed, &json!({"containers": [{"name": "redis", "image": "redis:7"}]})),
            "a sidecar is not fought"
        );
        assert!(!holds(&meshed, &json!({"containers": [{"name": "redis", "image": "redis:8"}]})));
        assert!(!holds(&meshed, &json!({"command": ["a"]})), "a plain list is one value");
        for desired in [
            json!({"a": 2}),
            json!({"b": 1}),
            json!({"list": ["x"]}),
            json!({"list": [{"name": "y"}]}),
            json!({"map": {"k": "v"}}),
        ] {
            assert!(!holds(&live, &desired), "{desired}");
        }
    }
}
