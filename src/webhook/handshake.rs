//! The TLS handshake of a new connection: on which thread it is computed, and how long it may take.
//! It must not know HTTP, nor which connection goes when there are too many.

use std::{future::poll_fn, io, time::Duration};

use axum_server::{accept::Accept, tls_rustls::RustlsConfig};
use futures::{FutureExt, future::BoxFuture};
use rustls::server::Acceptor;
use tokio::{net::TcpStream, runtime::Handle};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tokio_util::task::AbortOnDropHandle;

use super::{
    connections::{Bounded, Held, Seated},
    seats::Phase,
};

/// TLS over the connections that got a seat.
///
/// What a handshake costs us is some hundred times what an answer costs, and anybody may ask for it. So handshakes are
/// computed on threads of their own, which bounds how many are at a time, and the system sees to it that the others get
/// their share; a queue shared with them would have every answer wait behind every handshake.
#[derive(Clone)]
pub(super) struct Tls {
    seats: Bounded,
    config: RustlsConfig,
    deadline: Duration,
    threads: Handle,
}

impl Tls {
    pub(super) fn new(seats: Bounded, config: RustlsConfig, deadline: Duration, threads: Handle) -> Self {
        Self { seats, config, deadline, threads }
    }

    async fn shake_hands(self, stream: Held<TcpStream>) -> io::Result<TlsStream<Held<TcpStream>>> {
        let seat = stream.seat().clone();
        let greeting = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        // It did its part and is not to be given up for having to wait for ours.
        seat.enters(Phase::Answering);
        let mut handshake = greeting.into_stream(self.config.get_inner());
        let handshake = poll_fn(move |cx| {
            let progress = handshake.poll_unpin(cx);
            seat.enters(Phase::Asking);
            progress
        });
        AbortOnDropHandle::new(self.threads.spawn(handshake)).await?
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Tls {
    type Stream = TlsStream<Held<TcpStream>>;
    type Service = Seated<S>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let this = self.clone();
        async move {
            stream.set_nodelay(true)?;
            let (stream, service) = this.seats.accept(stream, service).await?;
            let stream = tokio::time::timeout(this.deadline, this.shake_hands(stream)).await??;
            Ok((stream, service))
        }
        .boxed()
    }
}
