//! Limits the resources that one caller can consume: time, memory, concurrent requests. Independent of the admission
//! API.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futures::{FutureExt, StreamExt};
use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};

use super::{bodies::Bodies, seats::Seat, throttle::Throttle};
use crate::{
    domain::field_error::quoted,
    metrics::{RequestRefusal, WebhookMetrics},
};

/// Bounds on every caller, so that no peer in the cluster network can keep the API server from being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest TLS handshake. 5 s: after that the API server's own deadline for the call has passed.
    pub handshake: Duration,
    /// Longest wait, after the handshake, for the whole header of the first request. 5 s, for the same reason.
    pub header: Duration,
    /// Longest read of one request body, from its first byte to its last. 5 s, for the same reason.
    pub body: Duration,
    /// Longest wait for the whole header of the next request on a kept-alive connection. 120 s, because it must be
    /// longer than the 90 s after which the API server's Go transport drops an idle connection itself: Go does not
    /// repeat a POST that crosses with our close, so whoever closes first must be the client.
    pub idle: Duration,
    /// Longest time without progress in sending a response. 5 s: by then the caller has given up.
    pub write: Duration,
    /// Longest run of a handler. 4 s: the API server gives us 5, and shall hear our answer and not its own timeout.
    pub handler: Duration,
    /// Time for requests in flight to finish at shutdown. 10 s: one body and one handler deadline, with room.
    pub drain: Duration,
    /// Largest request body in bytes. 5 MiB: an UPDATE review holds a new object of
    /// up to 3 MiB, which the API server takes, and a stored one of up to 1.5 MiB, which etcd takes.
    pub body_bytes: usize,
    /// Maximum number of open connections; a further one evicts a slow or idle one. 512: an API server keeps 25 idle
    /// connections, and a file descriptor each is cheap.
    pub connections: usize,
    /// Most requests being answered at once. 24: far more than API servers send, and with `body_bytes` the bound on the
    /// memory that bodies take (120 MiB, half of what the container has).
    pub requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(5),
            body: Duration::from_secs(5),
            idle: Duration::from_mins(2),
            write: Duration::from_secs(5),
            handler: Duration::from_secs(4),
            drain: Duration::from_secs(10),
            body_bytes: 5 * 1024 * 1024,
            connections: 512,
            requests: 24,
        }
    }
}

/// Why a request was not handled. The response is always plain text and never 200, so that the API server applies the
/// `failurePolicy` of the webhook and does not mistake it for an admission response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("the request body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the request body did not arrive within {0:?}")]
    TooSlow(Duration),
    #[error("the request body ended early")]
    Broken,
    #[error("too many requests are being answered; try again in a second")]
    Busy,
    #[error("the answer was not ready within {0:?}")]
    TooLong(Duration),
}

impl From<Refusal> for RequestRefusal {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooLarge(_) => Self::TooLarge,
            Refusal::TooSlow(_) => Self::TooSlow,
            Refusal::Broken => Self::Broken,
            Refusal::Busy => Self::Busy,
            Refusal::TooLong(_) => Self::Timeout,
        }
    }
}

impl From<TryAcquireError> for Refusal {
    fn from(_: TryAcquireError) -> Self {
        Self::Busy
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, name, value) = match self {
            Self::TooLong(_) => return (StatusCode::GATEWAY_TIMEOUT, self.to_string()).into_response(),
            // The connection is closed, because the rest of the body would be read as the next request.
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, header::CONNECTION, "close"),
            Self::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, header::CONNECTION, "close"),
            Self::Broken => (StatusCode::BAD_REQUEST, header::CONNECTION, "close"),
            // As the API server itself answers when it is full. client-go waits for `Retry-After` and asks again within
            // the deadline of the call; without that header it would fail the user's write at once.
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, header::RETRY_AFTER, "1"),
        };
        (status, [(name, HeaderValue::from_static(value))], self.to_string()).into_response()
    }
}

/// State that all requests of one server share.
struct Intake {
    limits: Limits,
    turns: Semaphore,
    bodies: Bodies,
    busy: Throttle,
    metrics: WebhookMetrics,
}

/// `router` behind `limits`: a body read deadline (408) and size (413), load shedding (429), a handler deadline (504),
/// and 500 for a panic. None of these answers resembles an admission response.
pub fn limited(router: Router, limits: &Limits, metrics: &WebhookMetrics) -> Router {
    let memory = limits.body_bytes.saturating_mul(limits.requests);
    let intake = Intake {
        limits: *limits,
        turns: Semaphore::new(limits.requests.min(Semaphore::MAX_PERMITS)),
        bodies: Bodies::new(memory),
        busy: Throttle::new(Duration::from_secs(10)),
        metrics: metrics.clone(),
    };
    // One layer, and one pointer: both are cloned with every request.
    router.layer(from_fn_with_state(Arc::new(intake), guarded))
}

/// Answers also where the handler panics.
async fn guarded(State(intake): State<Arc<Intake>>, request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(take_in(&intake, request, next)).catch_unwind().await;
    answer.unwrap_or_else(|panic| panicked(panic, &intake.metrics))
}

/// Hands the request on once its body is complete and there is a turn for it.
async fn take_in(intake: &Intake, mut request: Request, next: Next) -> Response {
    // The extractors' own limit of 2 MB would refuse reviews of large objects.
    DefaultBodyLimit::disable().apply(&mut request);
    let (mut parts, body) = request.into_parts();
    let seat = parts.extensions.remove::<Seat>();
    match intake.admit(body).await {
        // Both permits are held until the answer is ready, and so is the seat.
        Ok((body, _permits)) => {
            let _answering = seat.map(Seat::answering);
            let deadline = intake.limits.handler;
            let answer = tokio::time::timeout(deadline, next.run(Request::from_parts(parts, body)));
            answer.await.unwrap_or_else(|_| intake.refuse(Refusal::TooLong(deadline)))
        }
        Err(refusal) => intake.refuse(refusal),
    }
}

impl Intake {
    fn refuse(&self, refusal: Refusal) -> Response {
        self.metrics.refused(refusal.into());
        if refusal == Refusal::Busy
            && let Some(unlogged) = self.busy.pass(Instant::now())
        {
            tracing::warn!(unlogged, "request refused: too many are being answered");
        }
        refusal.into_response()
    }

    async fn admit(&self, body: Body) -> Result<(Body, [Option<SemaphorePermit<'_>>; 2]), Refusal> {
        let deadline = self.limits.body;
        let (body, memory) =
            tokio::time::timeout(deadline, self.receive(body)).await.map_err(|_| Refusal::TooSlow(deadline))??;
        let turn = self.turns.try_acquire()?;
        Ok((body.into(), [memory, Some(turn)]))
    }

    async fn receive(&self, body: Body) -> Result<(Bytes, Option<SemaphorePermit<'_>>), Refusal> {
        let limit = self.limits.body_bytes;
        let mut arriving = self.bodies.begin();
        let mut received = Received::Nothing;
        let mut chunks = body.into_data_stream();
        loop {
            let chunk = tokio::select! {
                biased;
                _ = &mut arriving.gives_way => return Err(Refusal::Busy),
                chunk = chunks.next() => chunk,
            };
            let Some(chunk) = chunk else { break };
            let chunk = chunk.map_err(|_| Refusal::Broken)?;
            let size = u32::try_from(chunk.len()).map_err(|_| Refusal::TooLarge(limit))?;
            if received.length().saturating_add(chunk.len()) > limit {
                return Err(Refusal::TooLarge(limit));
            }
            arriving.take(size).await?;
            received.add(chunk);
        }
        Ok((received.whole(), arriving.complete()))
    }
}

/// The received part of a body; most bodies arrive in one piece, which is not copied.
enum Received {
    Nothing,
    One(Bytes),
    Several(Vec<u8>),
}

impl Received {
    const fn length(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(bytes) => bytes.len(),
            Self::Several(bytes) => bytes.len(),
        }
    }

    fn add(&mut self, chunk: Bytes) {
        match self {
            Self::Nothing => *self = Self::One(chunk),
            Self::One(first) => *self = Self::Several([first.as_ref(), chunk.as_ref()].concat()),
            Self::Several(bytes) => bytes.extend_from_slice(&chunk),
        }
    }

    fn whole(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Several(bytes) => bytes.into(),
        }
    }
}

/// The panic's own words go to the log only: they may quote what was being admitted.
#[expect(clippy::needless_pass_by_value, reason = "the signature that the layer calls")]
fn panicked(panic: Box<dyn Any + Send>, metrics: &WebhookMetrics) -> Response {
    metrics.refused(RequestRefusal::Panic);
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    let panic = quoted(message);
    tracing::error!(panic, "a request handler panicked; please report it");
    (StatusCode::INTERNAL_SERVER_ERROR, "internal error; see the operator's log").into_response()
}
