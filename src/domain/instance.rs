//! A `RedisInstance` whose every field has been checked: what the builders take, so that they cannot fail.
//! Only `validate` makes one.

use super::{
    config::Directives,
    image::ImageReference,
    names::{auth_secret, labels},
    pod_options::PodOptions,
    quantity::Quantity,
    resources::Resources,
};
use crate::api::v1::{ConfigUpdate, Durability, Retention};

/// A checked instance.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedInstance {
    /// A DNS-1035 label of at most 43 bytes.
    pub name: String,
    /// The namespace of the instance and of all its children.
    pub namespace: String,
    /// The API server's id of this very object; empty before it was stored.
    pub uid: String,
    /// The image of the pods.
    pub image: ImageReference,
    /// Number of pods, at least 1.
    pub replicas: i32,
    /// Whether a primary without replicas may acknowledge writes.
    pub durability: Durability,
    /// CPU and memory of each Redis container.
    pub resources: Resources,
    /// The pod options.
    pub pod: PodOptions,
    /// The volume of each pod.
    pub storage: Storage,
    /// The user's directives.
    pub config: Directives,
    /// Directives that no table has and the user vouches for.
    pub vouched: Vec<String>,
    /// The source of the password.
    pub auth: Auth,
    /// How a change of config is applied to the pods.
    pub config_update: ConfigUpdate,
}

/// The volume of each pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Whole bytes, 1Mi to 64Ti.
    pub size: Quantity,
    /// `None` = the cluster's default class, `Some("")` = no class; the two must never be mixed up.
    pub class: Option<String>,
    /// Whether the volumes are kept when the instance is deleted.
    pub retention: Retention,
}

/// The source of the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// No password: the user's explicit choice.
    Disabled,
    /// The operator makes one, once.
    Generated,
    /// The user's Secret of this name.
    Secret(String),
}

impl Auth {
    /// Whether clients need a password.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        !matches!(self, Self::Disabled)
    }
}

impl ValidatedInstance {
    /// Name of the Secret that the pods mount.
    #[must_use]
    pub fn auth_secret(&self) -> String {
        auth_secret(&self.name)
    }

    /// Whether the primary stops to acknowledge writes when no replica hears it.
    #[must_use]
    pub fn bounds_divergence(&self) -> bool {
        self.replicas > 1 && self.durability == Durability::Bounded
    }

    /// The labels of every child.
    #[must_use]
    pub fn labels(&self) -> std::collections::BTreeMap<String, String> {
        labels(&self.name)
    }

    /// The version in the tag of the image, such as `7.4.1`; `None` if the tag contains none.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.image.version()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{defaults::Defaults, field_error::FieldError, validate::validate};

    /// A checked instance `cache` in `shop` from a spec; the names differ from every product name so that mixed-up labels show.
    pub(crate) fn validated(spec: Value) -> ValidatedInstance {
        checked(spec).unwrap()
    }

    /// The same, with its faults.
    pub(crate) fn checked(spec: Value) -> Result<ValidatedInstance, Vec<FieldError>> {
        let metadata = json!({"name": "cache", "namespace": "shop", "uid": "8d1c6a7e-0000-4000-8000-000000000001"});
        let mut object =
            json!({"apiVersion": "redis.github.com/v1", "kind": "RedisInstance", "metadata": metadata, "spec": spec});
        Defaults { image: "redis:7.4.1".into() }.apply(&mut object);
        validate(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn the_tag_tells_the_version() {
        let version = |image: &str| validated(json!({ "image": image })).version().map(str::to_owned);
        assert_eq!(version("redis:7.2.5-alpine").as_deref(), Some("7.2.5"));
        assert_eq!(version("registry.example.com:5000/x/redis:7").as_deref(), Some("7"));
        assert_eq!(version("valkey/valkey:v8.1").as_deref(), Some("8.1"));
        assert_eq!((version("redis:latest"), version("redis"), version("redis:bookworm")), (None, None, None));
    }
}
