//! Limits the number of connections, and closes connections that do not read their responses. Wraps any byte stream;
//! independent of TLS, and of HTTP except that each request gets the slot of its connection.

use std::{
    future::{Future, Ready, ready},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{extract::Request, middleware::Next, response::Response};
use axum_server::{Handle, accept::Accept};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket},
    sync::oneshot,
    time::Sleep,
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::{
    seats::{Found, Seat, Seats},
    throttle::Throttle,
};
use crate::metrics::{ConnectionRefusal, Listener, ListenerMetrics};

/// Bounds the open connections of a listener: a new one gets a seat, if need be that of another.
///
/// A queue would only keep the caller waiting for an answer that comes after its own deadline, and would itself need a
/// bound.
#[derive(Clone)]
pub(crate) struct Bounded {
    seats: Arc<Seats>,
    write: Duration,
    displaced: Arc<dyn Fn() + Send + Sync>,
}

impl Bounded {
    /// At most `connections` at once, each closed when its peer takes no byte for as long as `write`.
    pub(crate) fn new(connections: usize, write: Duration, listener: Listener, metrics: ListenerMetrics) -> Self {
        let log = Throttle::new(LOG_PERIOD);
        let displaced = move || {
            metrics.refused(listener, ConnectionRefusal::Displaced);
            if let Some(unlogged) = log.pass(Instant::now()) {
                let listener = listener.word();
                tracing::warn!(listener, unlogged, "connection closed for a newer one: too many are open");
            }
        };
        Self { seats: Seats::new(connections), write, displaced: Arc::new(displaced) }
    }

    /// A seat for this stream and the service behind it. Without one the stream is dropped, which closes it.
    pub(super) fn seat<I, S>(&self, stream: I, service: S) -> io::Result<(Held<I>, Seated<S>)> {
        let Some(Found { seat, given_up, displaced }) = self.seats.take() else {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too many open connections"));
        };
        if displaced {
            (self.displaced)();
        }
        let held = Held { stream, write: self.write, stalled: None, given_up, seat: seat.clone() };
        Ok((held, Seated { service, seat }))
    }
}

impl<I, S> Accept<I, S> for Bounded {
    type Stream = Held<I>;
    type Service = Seated<S>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        ready(self.seat(stream, service))
    }
}

/// A service whose requests know the seat of their connection.
#[derive(Debug, Clone)]
pub(crate) struct Seated<S> {
    service: S,
    seat: Seat,
}

impl<S: Service<hyper::Request<B>>, B> Service<hyper::Request<B>> for Seated<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: hyper::Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.seat.clone());
        self.service.call(request)
    }
}

/// Keeps the seat of a request, which has no body to come, while it is answered.
pub(crate) async fn keep_seat(request: Request, next: Next) -> Response {
    let _answering = request.extensions().get::<Seat>().cloned().map(Seat::answering);
    next.run(request).await
}

/// A stream that gives its seat back when it is dropped, and fails when the seat went to another, or when its peer stops
/// reading.
///
/// Neither hyper nor axum-server bounds a write: a peer that sends requests and never reads the answers would hold its
/// seat for ever.
#[derive(Debug)]
pub(crate) struct Held<S> {
    stream: S,
    write: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    given_up: oneshot::Receiver<()>,
    seat: Seat,
}

impl<S> Held<S> {
    pub(super) const fn seat(&self) -> &Seat {
        &self.seat
    }

    pub(super) const fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S> Held<S> {
    /// Passes a finished write on; an unfinished one fails once it has been so for the whole deadline.
    fn or_stalled<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }
        let write = self.write;
        let deadline =
            self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(tokio::time::Instant::now() + write)));
        deadline.as_mut().poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if progress.is_pending() && Pin::new(&mut self.given_up).poll(cx).is_ready() {
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, "given up for a newer connection");
            return Poll::Ready(Err(error));
        }
        progress
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.or_stalled(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.or_stalled(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(cx);
        self.or_stalled(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.or_stalled(cx, progress)
    }
}

/// Length of the accept queue; the system may have a smaller limit (`net.core.somaxconn`). A connection that finds it
/// full retries after a second at the earliest, so it has room for all that arrive between two turns of the accept loop
/// on a busy machine.
const BACKLOG: u32 = 4096;

/// Binds a port and listens on it.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port whose former connections are still dying can be taken again at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Runs a server until it ends or until `shutdown`: then no new connections are accepted, and requests in flight have
/// `drain` to finish.
pub(crate) async fn serve_until(
    serving: impl Future<Output = io::Result<()>>,
    handle: Handle<SocketAddr>,
    drain: Duration,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        () = shutdown.cancelled() => handle.graceful_shutdown(Some(drain)),
    }
    serving.await
}

/// Interval between two log entries of one kind: any peer can cause them.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// Counts and logs what could not be accepted on this listener.
///
/// A failed handshake is worth a warning: the usual cause is a `caBundle` that does not fit the serving certificate. A
/// peer that only opened the port and left, as probes do, is not.
pub(crate) fn log_refusals(
    listener: Listener,
    metrics: ListenerMetrics,
) -> impl Fn(Option<&SocketAddr>, &io::Error) + Send + Sync {
    let count = move |reason| metrics.refused(listener, reason);
    let listener = listener.word();
    let [accept, full, handshake] = [(); 3].map(|()| Throttle::new(LOG_PERIOD));
    move |peer, error| {
        let now = Instant::now();
        let Some(peer) = peer else {
            count(ConnectionRefusal::Accept);
            if let Some(unlogged) = accept.pass(now) {
                tracing::error!(listener, %error, unlogged, "cannot accept; are too many files open?");
            }
            return;
        };
        match error.kind() {
            io::ErrorKind::QuotaExceeded => {
                count(ConnectionRefusal::Full);
                if let Some(unlogged) = full.pass(now) {
                    tracing::warn!(listener, %peer, unlogged, "connection refused: too many are being answered");
                }
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                tracing::debug!(listener, %peer, %error, "peer left during the handshake");
            }
            // Counted and logged where the decision was made.
            io::ErrorKind::ConnectionAborted => {}
            _ => {
                count(ConnectionRefusal::Handshake);
                if let Some(unlogged) = handshake.pass(now) {
                    tracing::warn!(listener, %peer, %error, unlogged, "handshake failed; check caBundle");
                }
            }
        }
    }
}
