//! How many connections there may be at once, and when one that takes no answer is given up.
//! It wraps any acceptor and any byte stream; it must not know TLS or HTTP.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum_server::{Handle, accept::Accept};
use futures::{FutureExt, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};
use tokio_util::sync::CancellationToken;

use super::throttle::Throttle;
use crate::metrics::{ConnectionRefusal, Listener, ListenerMetrics};

/// Refuses what exceeds a number of open connections, before the first byte is read from it.
///
/// Over the limit a connection is closed at once. A queue would only keep the caller waiting for an answer that comes
/// after its own deadline, and would itself need a bound.
#[derive(Clone, Debug)]
pub struct Bounded<A> {
    acceptor: A,
    slots: Arc<Semaphore>,
    write: Duration,
}

impl<A> Bounded<A> {
    /// At most `connections` at once through `acceptor`, each closed when its peer takes no byte for as long as
    /// `write`.
    #[must_use]
    pub fn new(acceptor: A, connections: usize, write: Duration) -> Self {
        Self { acceptor, slots: Arc::new(Semaphore::new(connections)), write }
    }
}

impl<A, I, S> Accept<I, S> for Bounded<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = Held<A::Stream>;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok();
        // Without a slot the stream is dropped here, which closes it.
        let accepting = slot.map(|slot| (slot, self.acceptor.accept(stream, service)));
        let write = self.write;
        async move {
            let Some((slot, accepting)) = accepting else {
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too many open connections"));
            };
            // The slot is held through the handshake as well: a stalled one counts.
            let (stream, service) = accepting.await?;
            let held = Held { stream, write, stalled: None, _slot: slot };
            Ok((held, service))
        }
        .boxed()
    }
}

/// A stream that gives its slot back when it is dropped, and fails when its peer stops reading.
///
/// Neither hyper nor axum-server bounds a write: a peer that sends requests and never reads the answers would hold its
/// slot for ever.
#[derive(Debug)]
pub struct Held<S> {
    stream: S,
    write: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    _slot: OwnedSemaphorePermit,
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
        Pin::new(&mut self.stream).poll_read(cx, buffer)
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

/// Runs a server until it ends by itself, or until `shutdown`: then nothing new is accepted, and requests in flight
/// have as long as `drain` to finish.
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

/// One line of each sort in this time: any stranger can provoke them.
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
                    tracing::warn!(listener, %peer, unlogged, "connection closed: too many are open");
                }
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                tracing::debug!(listener, %peer, %error, "peer left during the handshake");
            }
            _ => {
                count(ConnectionRefusal::Handshake);
                if let Some(unlogged) = handshake.pass(now) {
                    tracing::warn!(listener, %peer, %error, unlogged, "handshake failed; check caBundle");
                }
            }
        }
    }
}
