//! The object of a review, reduced to the fields that are validated. Contains no rule, and does not parse the other
//! fields: a JSON value takes up to thirty times the memory of its text.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    outline::Outline,
    part::{self, Part},
    review::ReviewError,
};
use crate::{
    api::v1::{RedisInstance, RedisInstanceStatus},
    domain::{
        field_error::FieldError,
        judgement,
        names::{DOWNGRADE_ANNOTATION, VOUCHED_ANNOTATION},
    },
};

/// The longest JSON of a name, in bytes: 253 letters, each escaped.
const NAME_LIMIT: usize = 2 * 1024;
/// The longest JSON of an annotation, in bytes: the API server allows 256 KiB for all annotations, and escapes some letters with six
/// bytes.
const ANNOTATION_LIMIT: usize = 6 * 256 * 1024 + 2;

/// The fields of an object that are validated.
#[derive(Deserialize)]
pub(super) struct Object<'a> {
    #[serde(default, deserialize_with = "part::object")]
    metadata: Metadata,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
    /// The defaulting webhook receives the status before it is validated.
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default, deserialize_with = "part::text::<NAME_LIMIT, _>")]
    name: Option<String>,
    #[serde(default, deserialize_with = "part::text::<NAME_LIMIT, _>")]
    namespace: Option<String>,
    #[serde(default, deserialize_with = "part::text::<NAME_LIMIT, _>")]
    uid: Option<String>,
    #[serde(default, deserialize_with = "part::text::<NAME_LIMIT, _>")]
    deletion_timestamp: Option<String>,
    #[serde(default, deserialize_with = "part::optional")]
    annotations: Option<Annotations>,
}

/// The annotations that are evaluated.
#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(
        default,
        rename = "redis.github.com/allow-unknown-directives",
        deserialize_with = "part::text::<ANNOTATION_LIMIT, _>"
    )]
    vouched: Option<String>,
    #[serde(
        default,
        rename = "redis.github.com/allow-downgrade",
        deserialize_with = "part::text::<ANNOTATION_LIMIT, _>"
    )]
    downgrade: Option<String>,
}

/// The status fields that the validation of a change needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Served {
    version: Option<String>,
    data_version: Option<String>,
}

impl Annotations {
    fn ours(&self) -> impl Iterator<Item = (String, String)> {
        let ours = [(VOUCHED_ANNOTATION, &self.vouched), (DOWNGRADE_ANNOTATION, &self.downgrade)];
        ours.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.clone()?)))
    }
}

impl Object<'_> {
    pub(super) fn name(&self) -> Option<&str> {
        self.metadata.name.as_deref()
    }

    pub(super) fn is_being_deleted(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether the spec is longer than any valid one.
    pub(super) fn is_too_long(&self) -> bool {
        self.spec.is_some_and(|spec| spec.get().len() > judgement::SPEC_LIMIT)
    }

    /// The error if the spec is too large to be decoded; then no other rule is checked.
    pub(super) fn excess(&self) -> Option<FieldError> {
        self.spec.and_then(|spec| judgement::excess(spec.get()))
    }

    /// Whether both have the same spec, letter by letter.
    pub(super) fn has_spec_of(&self, other: &Self) -> bool {
        self.spec.map(RawValue::get) == other.spec.map(RawValue::get)
    }

    /// The object as the validating webhook is shown it of the right types.
    pub(super) fn to_instance(&self) -> Result<RedisInstance, ReviewError> {
        let Metadata { name, namespace, uid, annotations, .. } = &self.metadata;
        let annotations = annotations.as_ref().map(|annotations| annotations.ours().collect());
        let metadata = ObjectMeta {
            name: name.clone(),
            namespace: namespace.clone(),
            uid: uid.clone(),
            annotations,
            ..ObjectMeta::default()
        };
        let spec = self.spec.map(|spec| serde_json::from_str(spec.get())).transpose()?.unwrap_or_default();
        let status = self.served().map(|Served { version, data_version }| RedisInstanceStatus {
            version,
            data_version,
            ..RedisInstanceStatus::default()
        });
        Ok(RedisInstance { metadata, spec, status })
    }

    fn served(&self) -> Option<Served> {
        let status = self.status.map(|status| serde_json::from_str::<Option<Part<Served>>>(status.get()));
        status.and_then(|status| status.ok()?).map(|Part(served)| served)
    }

    /// The fields that defaults depend on, as JSON: the spec fields that have a default, without nested contents.
    pub(super) fn to_outline(&self) -> Result<Value, ReviewError> {
        let spec = self.spec.map(|spec| Outline::of(spec.get())).transpose()?;
        Ok(Value::Object(spec.map(|spec| ("spec".to_owned(), spec)).into_iter().collect()))
    }
}
