//! The TLS handshake of a new connection: on which thread it is computed, and how long it may take.
//! It must not know HTTP, nor which connection goes when there are too many.

use std::{
    future::{Future, poll_fn, ready},
    io,
    task::Poll,
    time::Duration,
};

use axum_server::{accept::Accept, tls_rustls::RustlsConfig};
use futures::{
    FutureExt,
    future::{BoxFuture, Either},
};
use rustls::server::Acceptor;
use tokio::{net::TcpStream, runtime::Handle};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, server::TlsStream};
use tokio_util::task::AbortOnDropHandle;

use super::{
    connections::{Bounded, Held, Seated},
    seats::{Phase, Seat},
};

/// TLS over the connections that got a seat.
///
/// What a handshake costs us is many times what an answer costs, and anybody may ask for it. So all that comes before the
/// first request is done on threads of their own, which bounds how many handshakes are computed at a time, and the system
/// sees to it that the others get their share; in a common queue every answer would wait behind every handshake.
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
}

impl<S: Send + 'static> Accept<TcpStream, S> for Tls {
    type Stream = TlsStream<Held<TcpStream>>;
    type Service = Seated<S>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        // A connection without a slot must not even wait for the thread, whose queue has no limit of its own.
        let seated = self.seats.seat(stream, service);
        let (config, deadline, threads) = (self.config.clone(), self.deadline, self.threads.clone());
        async move {
            let (stream, service) = seated?;
            stream.get_ref().set_nodelay(true)?;
            let seat = stream.seat().clone();
            let mut greeting = LazyConfigAcceptor::new(Acceptor::default(), stream);
            // Most peers have sent their first message by now. A peer that has done so must not be evicted while it
            // waits for the thread.
            let greeting = match futures::poll!(&mut greeting) {
                Poll::Ready(greeted) => {
                    seat.enters(Phase::Answering);
                    Either::Left(ready(greeted))
                }
                Poll::Pending => Either::Right(greeting),
            };
            let handshake = threads.spawn(tokio::time::timeout(deadline, shake_hands(greeting, seat, config)));
            Ok((AbortOnDropHandle::new(handshake).await???, service))
        }
        .boxed()
    }
}

async fn shake_hands(
    greeting: impl Future<Output = io::Result<StartHandshake<Held<TcpStream>>>>,
    seat: Seat,
    config: RustlsConfig,
) -> io::Result<TlsStream<Held<TcpStream>>> {
    let greeting = greeting.await?;
    seat.enters(Phase::Answering);
    let mut handshake = greeting.into_stream(config.get_inner());
    poll_fn(move |cx| {
        let progress = handshake.poll_unpin(cx);
        seat.enters(Phase::Asking);
        progress
    })
    .await
}
