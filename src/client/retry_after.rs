//! Copies the `Retry-After` header into the Status of an error response. API priority and fairness sets only the
//! header, and kube reads only the Status.

use axum::http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use kube::client::DynBody;
use serde_json::{Value, json};
use tower::BoxError;

use super::Answer;

/// Most bytes of a refusal that are read.
const LIMIT: usize = 64 << 10;
/// Maximum characters kept of a response that is not a Status.
const WORDS: usize = 256;

/// The answer with the header's time in its Status, if it has one.
pub(super) async fn spelled_out(answer: Answer) -> Answer {
    let refused = matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let header = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    let Some(seconds) = header.filter(|_| refused) else { return answer };
    let (mut parts, body) = answer.into_parts();
    let status = with_time(&beginning(body).await, parts.status, seconds);
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = Full::from(status.to_string()).map_err(|never| -> BoxError { match never {} });
    Response::from_parts(parts, Box::new(body) as Box<DynBody>)
}

/// As much of a body as comes, up to the limit.
async fn beginning(mut body: Box<DynBody>) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let data = frame.data_ref().map(AsRef::as_ref).unwrap_or_default();
        if text.len() + data.len() > LIMIT {
            break;
        }
        text.extend_from_slice(data);
    }
    text
}

/// The Status that was sent, or one made of the words that were, with this time in it.
fn with_time(text: &[u8], code: StatusCode, seconds: u32) -> Value {
    let sent =
        serde_json::from_slice::<Value>(text).ok().filter(|sent| sent.get("kind").is_some_and(|kind| kind == "Status"));
    let mut status = sent.unwrap_or_else(|| {
        let words: String = String::from_utf8_lossy(text).trim().chars().take(WORDS).collect();
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": code.canonical_reason(),
            "code": code.as_u16(), "message": words})
    });
    if let Some(fields) = status.as_object_mut()
        && let Some(details) = fields.entry("details").or_insert_with(|| json!({})).as_object_mut()
    {
        let in_status = details.get("retryAfterSeconds").and_then(Value::as_u64).unwrap_or(0);
        details.insert("retryAfterSeconds".to_owned(), in_status.max(seconds.into()).into());
    }
    status
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    async fn read(answer: Answer) -> (u16, String, u32) {
        let text = spelled_out(answer).await.into_body().collect().await.unwrap().to_bytes();
        let status: Status = serde_json::from_slice(&text).unwrap();
        (status.code, status.message.clone(), status.details.map_or(0, |details| details.retry_after_seconds))
    }

    fn refusal(code: u16, header: &str, text: &str) -> Answer {
        let body = Full::from(text.to_owned()).map_err(|never| -> BoxError { match never {} });
        let answer = Response::builder().status(code).header(header::RETRY_AFTER, header);
        answer.body(Box::new(body) as Box<DynBody>).unwrap()
    }

    #[tokio::test]
    async fn the_header_is_read_whatever_the_body() {
        let line = "Too many requests, please try again later.\n";
        assert_eq!(read(refusal(429, "7", line)).await, (429, line.trim().to_owned(), 7));
        let status = r#"{"kind": "Status", "code": 503, "message": "starting", "details": {"retryAfterSeconds": 9}}"#;
        assert_eq!(read(refusal(503, "7", status)).await, (503, "starting".to_owned(), 9), "the longer of two");
        let status = r#"{"kind": "Status", "code": 429, "message": "busy"}"#;
        assert_eq!(read(refusal(429, "7", status)).await, (429, "busy".to_owned(), 7));
        assert_eq!(read(refusal(429, "7", "")).await, (429, String::new(), 7));
    }

    #[tokio::test]
    async fn other_answers_pass_untouched() {
        for (code, header) in [(429, "tomorrow"), (500, "7"), (200, "7")] {
            let text = spelled_out(refusal(code, header, "as it was")).await.into_body().collect().await.unwrap();
            assert_eq!(text.to_bytes(), "as it was", "{code} {header}");
        }
    }
}
