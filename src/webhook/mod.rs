//! The admission webhooks: HTTP and TLS around the pure rules of `domain`. No I/O beyond the connection itself:
//! an answer depends on the request alone.

mod bodies;
pub mod certificate;
pub(crate) mod connections;
mod handshake;
pub mod limits;
mod mutate;
mod object;
mod outline;
mod part;
mod review;
mod seats;
pub mod server;
mod throttle;
mod validate;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};

use self::{
    review::{Request, ReviewError, Verdict},
    throttle::Throttle,
};
pub use crate::domain::names::{MUTATE_PATH, VALIDATE_PATH};
use crate::{
    domain::{
        defaults::Defaults,
        field_error::{FieldError, quoted},
    },
    metrics::{self, Webhook, WebhookMetrics},
};

type Judge = fn(&Request<'_>, &Defaults) -> Result<Verdict, ReviewError>;

/// Interval between log entries for refused specs. 1 s: enough for every manual change, and a flood stays bounded.
const REFUSED_PERIOD: Duration = Duration::from_secs(1);
/// Interval between log entries for malformed reviews, which no API server sends.
const MALFORMED_PERIOD: Duration = Duration::from_secs(10);
/// The most fields of a refused spec that are logged; the faults are counted.
const LOGGED_FIELDS: usize = 5;

/// State that all responses share; behind one pointer, because it is cloned for every request.
struct Shared {
    defaults: Defaults,
    metrics: WebhookMetrics,
    refused: Throttle,
    malformed: Throttle,
}

/// Both webhooks as a router; what a listener serves and what tests call without one.
pub fn router(defaults: Defaults, metrics: &WebhookMetrics) -> Router {
    let (refused, malformed) = (Throttle::new(REFUSED_PERIOD), Throttle::new(MALFORMED_PERIOD));
    let shared = Shared { defaults, metrics: metrics.clone(), refused, malformed };
    let hook = |webhook: Webhook, judge: Judge| {
        post(move |State(shared): State<Arc<Shared>>, headers, body| async move {
            let begun = Instant::now();
            let (verdict, response) = answer(judge, &shared, &headers, &body);
            shared.metrics.reviewed(webhook, verdict, begun.elapsed());
            response
        })
    };
    Router::new()
        .route(MUTATE_PATH, hook(Webhook::Mutate, mutate::judge))
        .route(VALIDATE_PATH, hook(Webhook::Validate, validate::judge))
        .with_state(Arc::new(shared))
}

/// Parses the review, validates it and responds. A body that is not a review gets an error that cannot be mistaken for
/// an admission.
fn answer(judge: Judge, shared: &Shared, headers: &HeaderMap, body: &Bytes) -> (metrics::Verdict, Response) {
    let malformed = |status: StatusCode, words: String| (metrics::Verdict::Malformed, (status, words).into_response());
    if !is_json(headers) {
        let words = "send an AdmissionReview as application/json\n";
        return malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, words.to_owned());
    }
    let answered = review::parse(body).and_then(|request| {
        let verdict = judge(&request, &shared.defaults)?;
        let counted = match verdict {
            Verdict::Allow { .. } => metrics::Verdict::Allowed,
            Verdict::Deny { ref errors, .. } => {
                log_refusal(&shared.refused, &request, errors);
                metrics::Verdict::Denied
            }
        };
        Ok((counted, review::render(&request.uid, verdict)?))
    });
    match answered {
        Ok((verdict, json)) => (verdict, ([(header::CONTENT_TYPE, "application/json")], json).into_response()),
        Err(error) => {
            if let Some(unlogged) = shared.malformed.pass(Instant::now()) {
                tracing::warn!(%error, unlogged, "refused a malformed review");
            }
            malformed(error.status(), format!("{error}\n"))
        }
    }
}

/// Whoever reaches the port decides on name, operation and paths, so each is cut and escaped.
fn log_refusal(throttle: &Throttle, request: &Request<'_>, errors: &[FieldError]) {
    let Some(unlogged) = throttle.pass(Instant::now()) else { return };
    let fields: Vec<String> = errors.iter().take(LOGGED_FIELDS).map(|error| quoted(&error.field)).collect();
    let (instance, operation, fields) = (quoted(request.name()), quoted(&request.operation), fields.join(", "));
    tracing::info!(%instance, %operation, faults = errors.len(), %fields, unlogged, "refused an invalid spec");
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
