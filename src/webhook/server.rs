//! The HTTPS listener: bound first, served after, drained at the end.
//! It decides protocol and deadlines; it must not know routes or where certificates come from.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    http::{HeaderValue, header},
    middleware::map_response,
    response::Response,
};
use axum_server::{Handle, Server, tls_rustls::RustlsConfig};
use tokio::{net::TcpListener, runtime};
use tokio_util::sync::CancellationToken;

pub use super::limits::{Limits, limited};
use super::{
    certificate::ServingCertificate,
    connections::{Bounded, listen, log_refusals, serve_until},
    handshake::Tls,
};
use crate::metrics::{Listener, Metrics};

/// Most bytes of one request header, and the read buffer of one connection. An API server's header is below 1 KiB;
/// hyper's own bound would allow about 400 KiB on each of the connections.
const HEADER_BYTES: usize = 64 * 1024;

/// Wraps the router: once `leaving`, each response closes its connection. Clients with persistent connections then open
/// a new one, before idle connections are closed while a request is in flight.
pub fn parting(router: Router, leaving: CancellationToken) -> Router {
    // The layer is cloned with every request, and a clone of the token takes a lock.
    let leaving = Arc::new(leaving);
    router.layer(map_response(move |mut response: Response| {
        if leaving.is_cancelled() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        std::future::ready(response)
    }))
}

/// Address and limits of the server.
#[derive(Debug, Clone, Copy)]
pub struct ServerSettings {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Bounds on every caller.
    pub limits: Limits,
}

/// Why the server cannot listen, or has stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address could not be bound: in use, not ours, or not permitted.
    #[error("cannot listen on {address}: {source}; choose another address or stop what holds this one")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// The listener failed while it was served.
    #[error("the webhook server on {address} stopped: {source}; restart the operator")]
    Serve {
        /// The address that was bound.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
}

/// A listener that holds its port and answers nothing yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    tls: RustlsConfig,
    limits: Limits,
}

/// Binds the port. Nothing is spawned, so a port that is taken fails here, before anything else has begun.
///
/// # Errors
/// [`ServerError::Bind`] names the address.
pub fn bind(settings: ServerSettings, certificate: &ServingCertificate) -> Result<Bound, ServerError> {
    let ServerSettings { address, limits } = settings;
    let bound = listen(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = bound.map_err(|source| ServerError::Bind { address, source })?;
    Ok(Bound { listener, address, tls: certificate.tls(), limits })
}

impl Bound {
    /// The address that was bound, with the real port.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` behind the limits until `shutdown`; then accepts nothing more, lets requests in flight finish
    /// within [`Limits::drain`], and returns. The handshakes are computed on the threads of `handshakes`.
    ///
    /// # Errors
    /// [`ServerError::Serve`] when the listener fails. A connection's failure is its own and ends nothing else.
    pub async fn serve(
        self,
        router: Router,
        metrics: &Metrics,
        handshakes: runtime::Handle,
        shutdown: CancellationToken,
    ) -> Result<(), ServerError> {
        let Self { listener, address, tls, limits } = self;
        // Each connection is a task of its own, handshake included, so none of them can hold up the accept loop.
        let seats = Bounded::new(limits.connections, limits.write, Listener::Webhook, metrics.listeners.clone());
        let handle = Handle::new();
        let mut server = Server::<SocketAddr>::from_listener(listener)
            .acceptor(Tls::new(seats, tls, limits.handshake, handshakes))
            .http1_only()
            .first_request_timeout(limits.header)
            .accept_error_handler(log_refusals(Listener::Webhook, metrics.listeners.clone()))
            .handle(handle.clone());
        // hyper starts this clock when it begins to wait for a request, so between requests it is the idle timeout, and
        // it has to be the longer of the two; the first request has the shorter one above.
        server.http_builder().http1().header_read_timeout(limits.idle.max(limits.header)).max_buf_size(HEADER_BYTES);

        let serving = server.serve(limited(router, &limits, &metrics.webhooks).into_make_service());
        serve_until(serving, handle, limits.drain, shutdown)
            .await
            .map_err(|source| ServerError::Serve { address, source })
    }
}
