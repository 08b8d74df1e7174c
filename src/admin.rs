//! The plain HTTP listener for the kubelet and for Prometheus: `/livez`, `/readyz`, `/metrics`.
//! It puts what `health` says into status codes; it must not judge, nor show any object's data.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::from_fn,
    response::{IntoResponse, Response},
    routing::get,
};
use axum_server::{Handle, Server};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    health::Health,
    metrics::{self, Listener, Metrics},
    webhook::connections::{Bounded, keep_seat, listen, log_refusals, serve_until},
};

/// Longest wait for a whole request header, for a peer to take an answer, and for the last answer at shutdown. Probes
/// have a deadline of about a second.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long the text of the metrics is shown before it is made again. 1 s: below every scrape interval in use.
const EXPOSITION_PERIOD: Duration = Duration::from_secs(1);

/// Most connections open at once. Probes need one or two; the rest must not use up the process's file descriptors.
const CONNECTIONS: usize = 64;

/// Why the listener cannot listen, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The address could not be bound.
    #[error("cannot listen on {address} for probes: {source}; choose another address or free this one")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The listener failed while it was served.
    #[error("the probe server on {address} stopped: {source}; restart the operator")]
    Serve {
        /// The address that was bound.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A listener that holds its port and answers nothing yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// Binds the port; port 0 takes a free one. Nothing is spawned.
///
/// # Errors
/// [`AdminError::Bind`] names the address.
pub fn bind(address: SocketAddr) -> Result<Bound, AdminError> {
    let bound = listen(address).and_then(|listener| Ok(Bound { address: listener.local_addr()?, listener }));
    bound.map_err(|source| AdminError::Bind { address, source })
}

impl Bound {
    /// The address that was bound, with the real port.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Answers probes and shows the metrics until `shutdown`.
    ///
    /// # Errors
    /// [`AdminError::Serve`] when the listener fails.
    pub async fn serve(self, health: Health, metrics: Metrics, shutdown: CancellationToken) -> Result<(), AdminError> {
        self.serve_within(DEADLINE, health, metrics, shutdown).await
    }

    async fn serve_within(
        self,
        deadline: Duration,
        health: Health,
        metrics: Metrics,
        shutdown: CancellationToken,
    ) -> Result<(), AdminError> {
        let Self { listener, address } = self;
        let handle = Handle::new();
        let mut server = Server::<SocketAddr>::from_listener(listener)
            .acceptor(Bounded::new(CONNECTIONS, deadline, Listener::Admin, metrics.listeners.clone()))
            .http1_only()
            .accept_error_handler(log_refusals(Listener::Admin, metrics.listeners.clone()))
            .handle(handle.clone());
        // Idle connections may go as early as slow ones: probes reuse none, and a GET that crosses with our close is
        // simply repeated.
        server.http_builder().http1().header_read_timeout(deadline);

        let serving = server.serve(router(health, metrics).layer(from_fn(keep_seat)).into_make_service());
        serve_until(serving, handle, deadline, shutdown).await.map_err(|source| AdminError::Serve { address, source })
    }
}

/// `GET /livez` and `GET /readyz`: 200 `ok`, or 503 with one reason a line. `GET /metrics`: OpenMetrics. 404 for all
/// else.
pub fn router(health: Health, metrics: Metrics) -> Router {
    let probes = Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(health);
    let shown = Arc::new(Exposition { metrics, last: Mutex::default() });
    probes.merge(Router::new().route("/metrics", get(exposition)).with_state(shown))
}

async fn livez(State(health): State<Health>) -> (StatusCode, String) {
    answer(health.livez(Instant::now()))
}

async fn readyz(State(health): State<Health>) -> (StatusCode, String) {
    answer(health.readyz(Timestamp::now(), Instant::now()).map_err(|missing| missing.join("\n")))
}

/// The metrics as text, made at most once in [`EXPOSITION_PERIOD`]; all readers share it.
struct Exposition {
    metrics: Metrics,
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl Exposition {
    fn at(&self, now: Instant) -> Result<Bytes, fmt::Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, text)) = &*last
            && now.saturating_duration_since(*made) < EXPOSITION_PERIOD
        {
            return Ok(text.clone());
        }
        let text = Bytes::from(self.metrics.exposition()?);
        *last = Some((now, text.clone()));
        Ok(text)
    }
}

async fn exposition(State(shown): State<Arc<Exposition>>) -> Response {
    match shown.at(Instant::now()) {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn answer(outcome: Result<(), String>) -> (StatusCode, String) {
    match outcome {
        Ok(()) => (StatusCode::OK, "ok".to_owned()),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn said_before_the_end(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("a request sent");
        let mut said = String::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut said)).await;
        assert!(ended.is_ok(), "not closed after {request:?}");
        said
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        said_before_the_end(address, &request).await
    }

    #[test]
    fn the_metrics_are_rendered_once_in_a_period_for_all_readers() {
        let metrics = Metrics::new();
        let (shown, begin) = (Exposition { metrics: metrics.clone(), last: Mutex::default() }, Instant::now());
        let first = shown.at(begin).unwrap();
        metrics.controller.leads(true);
        let within = shown.at(begin + Duration::from_millis(999)).unwrap();
        assert_eq!(within.as_ptr(), first.as_ptr(), "another text was made");
        let after = shown.at(begin + EXPOSITION_PERIOD).unwrap();
        assert_ne!(after, first);
    }

    #[tokio::test]
    async fn probes_are_answered_and_half_a_probe_is_closed() {
        let bound = bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let address = bound.local_address();
        let taken = bind(address).expect_err("a taken port").to_string();
        assert!(taken.contains(&address.to_string()), "{taken}");

        let (health, shutdown) = (Health::new(Instant::now()), CancellationToken::new());
        let deadline = Duration::from_millis(100);
        let serving = bound.serve_within(deadline, health.clone(), Metrics::new(), shutdown.clone());
        let serving = tokio::spawn(serving);

        let alive = get(address, "/livez").await;
        assert!(alive.starts_with("HTTP/1.1 200 ") && alive.ends_with("\r\n\r\nok"), "{alive}");
        health.watching("Pod", Instant::now());
        health.watch_synced("Pod");
        let missing = get(address, "/readyz").await;
        assert!(missing.starts_with("HTTP/1.1 503 "), "{missing}");
        assert!(missing.ends_with("\r\n\r\nthe serving certificate is not loaded"), "{missing}");
        health.certificate_loaded(None);
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200 "));
        let metrics = get(address, "/metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200 ") && metrics.ends_with("\n# EOF\n"), "{metrics}");
        assert!(metrics.contains("content-type: application/openmetrics-text; version=1.0.0;"), "{metrics}");
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404 "));
        assert_eq!(said_before_the_end(address, "GET /livez HT").await, "");

        shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, serving).await;
        assert!(matches!(ended, Ok(Ok(Ok(())))), "{ended:?}");
    }

    #[tokio::test]
    async fn a_probe_is_answered_beside_connections_that_say_nothing() {
        let bound = bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let (address, shutdown) = (bound.local_address(), CancellationToken::new());
        let serving = bound.serve_within(PATIENCE, Health::new(Instant::now()), Metrics::new(), shutdown.clone());
        let serving = tokio::spawn(serving);
        let mut silent = Vec::new();
        for _ in 0..=CONNECTIONS {
            silent.push(TcpStream::connect(address).await.expect("a connection"));
        }
        let alive = get(address, "/livez").await;
        assert!(alive.starts_with("HTTP/1.1 200 "), "{alive}");
        drop(silent);
        shutdown.cancel();
        assert!(matches!(tokio::time::timeout(PATIENCE, serving).await, Ok(Ok(Ok(())))));
    }
}
