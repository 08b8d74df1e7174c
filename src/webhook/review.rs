//! The envelope: an AdmissionReview (admission.k8s.io/v1) in, an AdmissionReview out. Knows no rule of ours.
//! Our own types, because a typed object would turn a user's wrong type into a failed call instead of an answer.

use axum::http::StatusCode;
use json_patch::Patch;
use k8s_openapi::{
    ByteString,
    apimachinery::pkg::apis::meta::v1::{Status, StatusCause, StatusDetails},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    object::Object,
    part::{self, Part},
};
use crate::{
    api,
    domain::field_error::{FAULT_LIMIT, FieldError, quoted},
};

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// The most faults that are listed; the rest are counted.
const CAUSE_LIMIT: usize = 20;

/// The longest uid that is repeated in an answer, in bytes; an API server's has 36.
const UID_LIMIT: usize = 128;
/// The longest name that is repeated in an answer, in characters; no object of Kubernetes has a longer one.
const NAME_LIMIT: usize = 253;

/// Why a body is not a valid review.
#[derive(Debug, Error)]
pub(super) enum ReviewError {
    /// Not JSON, or not of the shape of a review. The parser's message may repeat a text of the spec.
    #[error("not an AdmissionReview of admission.k8s.io/v1: {}", quoted(&.0.to_string()))]
    Malformed(#[from] serde_json::Error),
    /// Not UTF-8, and therefore not JSON; in skipped fields this is the only check.
    #[error("not an AdmissionReview of admission.k8s.io/v1: {0}")]
    NotText(#[from] std::str::Utf8Error),
    /// A review of another version or kind.
    #[error("not an AdmissionReview of admission.k8s.io/v1: apiVersion or kind differ")]
    OtherVersion,
    /// A review without a request, or with a uid that is empty or too long.
    #[error("the AdmissionReview holds no request with a uid of 1 to {UID_LIMIT} bytes")]
    NoRequest,
    /// A review of some other resource: the webhook configuration is wrong.
    #[error(
        "the review is not about a RedisInstance of redis.github.com/v1; check the rules of the webhook configuration"
    )]
    OtherResource,
    /// The answer cannot be written as JSON, which is a defect of this program.
    #[error("cannot write the answer: {0}")]
    Answer(#[source] serde_json::Error),
}

impl ReviewError {
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Answer(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: String,
    kind: String,
    #[serde(borrow, default, deserialize_with = "part::optional")]
    request: Option<Request<'a>>,
}

/// The fields of an AdmissionRequest that are evaluated.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    /// Echoed in the answer; the API server refuses an answer without it.
    pub(super) uid: String,
    /// CREATE or UPDATE; other operations are not validated.
    pub(super) operation: String,
    #[serde(default)]
    sub_resource: Option<String>,
    /// The object as it would be stored.
    #[serde(borrow, default, deserialize_with = "part::optional")]
    pub(super) object: Option<Object<'a>>,
    /// The object as it is stored; absent on CREATE.
    #[serde(borrow, default, deserialize_with = "part::optional")]
    pub(super) old_object: Option<Object<'a>>,
    #[serde(deserialize_with = "part::object")]
    kind: GroupVersionKind,
}

#[derive(Deserialize)]
struct GroupVersionKind {
    group: String,
    version: String,
    kind: String,
}

impl Request<'_> {
    /// The object, if its spec has to be validated: not for a subresource, and never while it is being deleted, because
    /// its finalizers must always be removable.
    pub(super) fn judged(&self) -> Option<&Object<'_>> {
        let object = self.object.as_ref().filter(|object| !object.is_being_deleted())?;
        let subresource = self.sub_resource.as_deref().is_some_and(|name| !name.is_empty());
        (matches!(self.operation.as_str(), "CREATE" | "UPDATE") && !subresource).then_some(object)
    }

    /// The stored object, on UPDATE.
    pub(super) fn stored(&self) -> Option<&Object<'_>> {
        self.old_object.as_ref().filter(|_| self.operation == "UPDATE")
    }

    /// Whether this is `kubectl scale` or an autoscaler: a Scale object instead of the instance, which would otherwise be
    /// a way past every rule about `spec.replicas`.
    pub(super) fn is_scale(&self) -> bool {
        self.operation == "UPDATE" && self.sub_resource.as_deref() == Some("scale")
    }

    /// The object's name, for answers and logs.
    pub(super) fn name(&self) -> &str {
        self.object.as_ref().and_then(Object::name).unwrap_or_default()
    }
}

/// Reads a review.
pub(super) fn parse(body: &[u8]) -> Result<Request<'_>, ReviewError> {
    let Part(review) = serde_json::from_str::<Part<Review<'_>>>(std::str::from_utf8(body)?)?;
    if review.api_version != API_VERSION || review.kind != KIND {
        return Err(ReviewError::OtherVersion);
    }
    let request =
        review.request.filter(|request| (1..=UID_LIMIT).contains(&request.uid.len())).ok_or(ReviewError::NoRequest)?;
    let kind = &request.kind;
    match (kind.group.as_str(), kind.version.as_str(), kind.kind.as_str()) {
        (api::GROUP, "v1", api::KIND) => Ok(request),
        ("autoscaling", "v1", "Scale") if request.is_scale() => Ok(request),
        _ => Err(ReviewError::OtherResource),
    }
}

/// The response to a review.
pub(super) enum Verdict {
    /// Accepted, perhaps with a patch and words for the user.
    Allow { patch: Option<Patch>, warnings: Vec<String> },
    /// Refused, with every fault.
    Deny { name: String, errors: Vec<FieldError> },
}

impl Verdict {
    pub(super) const fn allow() -> Self {
        Self::Allow { patch: None, warnings: Vec::new() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Writes the answer to the request with this uid.
pub(super) fn render(uid: &str, verdict: Verdict) -> Result<Vec<u8>, ReviewError> {
    let response = match verdict {
        Verdict::Allow { patch, warnings } => {
            let patch = patch.map(|patch| serde_json::to_vec(&patch)).transpose().map_err(ReviewError::Answer)?;
            let patch_type = patch.is_some().then_some("JSONPatch");
            Response { uid, allowed: true, patch: patch.map(ByteString), patch_type, status: None, warnings }
        }
        Verdict::Deny { name, errors } => {
            let status = Some(invalid(&name, &errors));
            Response { uid, allowed: false, patch: None, patch_type: None, status, warnings: Vec::new() }
        }
    };
    serde_json::to_vec(&Answer { api_version: API_VERSION, kind: KIND, response }).map_err(ReviewError::Answer)
}

/// The Status of a refusal, of the shape of apimachinery's `NewInvalid`, so that kubectl lists each fault on its own line.
fn invalid(name: &str, errors: &[FieldError]) -> Status {
    let mut listed: Vec<String> = errors.iter().take(CAUSE_LIMIT).map(ToString::to_string).collect();
    let mut causes: Vec<StatusCause> = errors.iter().take(CAUSE_LIMIT).map(cause).collect();
    if let Some(rest) = errors.len().checked_sub(CAUSE_LIMIT).filter(|rest| *rest > 0) {
        let least = if errors.len() < FAULT_LIMIT { "" } else { "at least " };
        let more = format!("and {least}{rest} more faults");
        listed.push(more.clone());
        causes.push(StatusCause {
            field: Some("spec".to_owned()),
            message: Some(more),
            reason: Some("FieldValueInvalid".to_owned()),
        });
    }
    let list = if listed.len() == 1 { listed.concat() } else { format!("[{}]", listed.join(", ")) };
    Status {
        code: Some(422),
        message: Some(format!("{}.{} {} is invalid: {list}", api::KIND, api::GROUP, quoted(name))),
        reason: Some("Invalid".to_owned()),
        status: Some("Failure".to_owned()),
        details: Some(StatusDetails {
            causes: Some(causes),
            group: Some(api::GROUP.to_owned()),
            kind: Some(api::KIND.to_owned()),
            name: Some(name.chars().take(NAME_LIMIT).collect()),
            ..StatusDetails::default()
        }),
        ..Status::default()
    }
}

fn cause(error: &FieldError) -> StatusCause {
    StatusCause {
        field: Some(error.field.clone()),
        message: Some(error.message()),
        reason: Some(error.reason().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The error about a review with a megabyte of letters at this place.
    fn malformed(place: &str) -> String {
        let mut review = json!({"apiVersion": API_VERSION, "kind": KIND, "request": {"uid": "u", "operation": "UPDATE",
            "kind": {"group": api::GROUP, "version": "v1", "kind": api::KIND},
            "object": {"metadata": {"name": "a", "annotations": {}}}, "oldObject": {}}});
        *review.pointer_mut(place).unwrap() = Value::from("A".repeat(1 << 20));
        match parse(review.to_string().as_bytes()) {
            Err(ReviewError::Malformed(error)) => error.to_string(),
            Err(error) => panic!("{place}: {error}"),
            Ok(_) => panic!("{place}: it was read"),
        }
    }

    #[test]
    fn an_error_does_not_repeat_a_text_in_the_place_of_an_object() {
        for place in [
            "",
            "/request",
            "/request/kind",
            "/request/object",
            "/request/oldObject",
            "/request/object/metadata",
            "/request/object/metadata/annotations",
        ] {
            let error = malformed(place);
            assert!(error.starts_with("invalid type: string, expected an object at line 1"), "{place}: {error:.200}");
            assert!(error.len() < 200, "{place}: {} bytes", error.len());
        }
    }
}
