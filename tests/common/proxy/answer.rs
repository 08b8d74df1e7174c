//! Answers as the API server writes them, and one whose rest can be withheld.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use axum::body::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Response,
    body::{Body, Frame},
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::json;

pub(super) type Answer = UnsyncBoxBody<Bytes, BoxError>;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn status(code: u16, retry_after: Option<u32>) -> Response<Answer> {
    let mut answer = Response::builder().status(code).header(CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        answer = answer.header(RETRY_AFTER, seconds);
    }
    answer.body(whole(failure(code, retry_after).to_string())).unwrap()
}

/// A Status as the API server writes it.
pub(super) fn failure(code: u16, retry_after: Option<u32>) -> serde_json::Value {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let details = retry_after.map_or_else(|| json!({}), |seconds| json!({ "retryAfterSeconds": seconds }));
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": format!("{reason} on purpose"), "details": details})
}

pub(super) fn whole(text: impl Into<Bytes>) -> Answer {
    Full::new(text.into()).map_err(|never| -> BoxError { match never {} }).boxed_unsync()
}

/// A body on which nothing comes any more once its line is dead.
pub(super) struct Audible {
    pub(super) body: Answer,
    pub(super) dead: Arc<AtomicBool>,
}

impl Body for Audible {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = pin!(&mut self.body).poll_frame(cx);
        if self.dead.load(Relaxed) { Poll::Pending } else { frame }
    }
}
