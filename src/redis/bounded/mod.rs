//! Bounds on what one Redis server can send: a stream that checks each reply before the client library parses it. Must not
//! know what was asked.

mod resp;

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::resp::{DEPTH_LIMIT, LINE_LIMIT, Position, VALUES_LIMIT};

/// Bytes of the replies to one command or pipeline: the largest is CONFIG GET of 256 directives with values of 1 KiB.
pub(super) const BYTES_LIMIT: usize = 512 << 10;

/// Why a reply was rejected before it was parsed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Excess {
    /// Too many bytes.
    #[error("more than {} KiB in reply to one command", BYTES_LIMIT >> 10)]
    Bytes,
    /// Too many values, announced or sent.
    #[error("more than {VALUES_LIMIT} values in reply to one command")]
    Values,
    /// Too many arrays inside each other.
    #[error("arrays nested deeper than {DEPTH_LIMIT}")]
    Depth,
    /// A line that does not end.
    #[error("a line longer than {} KiB", LINE_LIMIT >> 10)]
    Line,
    /// Bytes that are not RESP2, or a type that RESP3 alone has, which was not agreed on.
    #[error("bytes that are not the protocol RESP2")]
    Protocol,
}

/// The remaining size of the replies to the current command; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Budget(Arc<Mutex<Spent>>);

#[derive(Debug, Default)]
struct Spent {
    bytes: usize,
    values: usize,
    excess: Option<Excess>,
    is_full: bool,
}

impl Budget {
    /// Allows the replies to another command.
    pub(super) fn renew(&self) {
        self.with(|spent| (spent.bytes, spent.values) = (0, 0));
    }

    /// The reason why the connection was closed, if it was.
    pub(super) fn excess(&self) -> Option<Excess> {
        self.with(|spent| spent.excess)
    }

    /// True if the server refused the connection because `maxclients` is reached.
    pub(super) fn is_full(&self) -> bool {
        self.with(|spent| spent.is_full)
    }

    fn with<T>(&self, change: impl FnOnce(&mut Spent) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection that ends where the server sends more than the budget, or what is not RESP2.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    stream: S,
    budget: Budget,
    position: Position,
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, budget: Budget) -> Self {
        Self { stream, budget, position: Position::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, target: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(excess) = this.budget.excess() {
            return Poll::Ready(Err(io::Error::other(excess)));
        }
        let before = target.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, target);
        if matches!(read, Poll::Ready(Ok(()))) {
            let (_, new) = target.filled().split_at(before);
            let checked = this.budget.with(|spent| {
                let checked = this.position.advance(new, spent);
                spent.excess = checked.err();
                checked
            });
            if let Err(excess) = checked {
                target.set_filled(before);
                return Poll::Ready(Err(io::Error::other(excess)));
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// How many bytes of this get through, in pieces of this size, and why no more.
    async fn through(sent: &[u8], piece: usize) -> (usize, Option<Excess>) {
        let budget = Budget::default();
        let mut stream = Bounded::new(in_pieces(sent, piece), budget.clone());
        let mut taken = Vec::new();
        let end = stream.read_to_end(&mut taken).await;
        assert_eq!(end.is_err(), budget.excess().is_some(), "{end:?}");
        assert!(sent.starts_with(&taken));
        (taken.len(), budget.excess())
    }

    /// A source that gives this much at a time.
    fn in_pieces(sent: &[u8], piece: usize) -> impl AsyncRead + Unpin {
        struct Pieces(Vec<u8>, usize, usize);
        impl AsyncRead for Pieces {
            fn poll_read(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                target: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let end = (self.1 + self.2.min(target.remaining())).min(self.0.len());
                target.put_slice(&self.0[self.1..end]);
                self.1 = end;
                Poll::Ready(Ok(()))
            }
        }
        Pieces(sent.to_vec(), 0, piece)
    }

    #[tokio::test]
    async fn replies_of_servers_get_through_in_any_pieces() {
        let bulk = format!("${}\r\n{}\r\n", 300 << 10, "x".repeat(300 << 10));
        let replies = format!(
            "+OK\r\n-ERR no\r\n:-7\r\n$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n$9\r\n(\r\n*9\r\n_\n\r\n*2\r\n*1\r\n*1\r\n$1\r\na\r\n:1\r\n{bulk}"
        );
        for piece in [1, 2, 3, 7, 8_192] {
            assert_eq!(through(replies.as_bytes(), piece).await, (replies.len(), None), "{piece}");
        }
    }

    #[tokio::test]
    async fn a_server_with_all_its_clients_is_recognised_by_its_first_line_alone() {
        for (sent, expected) in [
            (b"-ERR max number of clients reached\r\n".as_slice(), true),
            (b"-ERR max number of clients + cluster connections reached\r\n", true),
            (b"+OK\r\n-ERR max number of clients reached\r\n", false),
            (b"-ERR max number\r\n", false),
        ] {
            for piece in [1, 7, 8_192] {
                let budget = Budget::default();
                let mut taken = Vec::new();
                Bounded::new(in_pieces(sent, piece), budget.clone()).read_to_end(&mut taken).await.unwrap();
                assert_eq!((budget.is_full(), taken.as_slice()), (expected, sent), "{piece}");
            }
        }
    }

    #[tokio::test]
    async fn what_costs_more_than_a_reply_may_does_not_get_through() {
        let cases: [(&str, Vec<u8>, Excess); 14] = [
            ("an endless array of nulls", [b"*2000000000\r\n", &*b"$-1\r\n".repeat(1 << 20)].concat(), Excess::Values),
            ("an array of RESP3's nulls", [b"*9\r\n", &*b"_\r\n".repeat(9)].concat(), Excess::Protocol),
            ("endless small replies", b"+\r\n".repeat(1 << 20), Excess::Values),
            ("arrays that are small each", b"*1000\r\n".repeat(9), Excess::Values),
            ("a big number", [b"(", &*b"9".repeat(20_000_000), b"\r\n"].concat(), Excess::Line),
            ("a short big number", b"(1\r\n".to_vec(), Excess::Protocol),
            ("a number of many digits", [b":", &*b"9".repeat(20_000_000)].concat(), Excess::Line),
            ("a long bulk string", b"$2000000000\r\n".to_vec(), Excess::Bytes),
            (
                "many bulk strings",
                [b"$9999\r\n".as_slice(), b"x".repeat(9_999).as_slice(), b"\r\n"].concat().repeat(99),
                Excess::Bytes,
            ),
            ("deep nesting", b"*1\r\n".repeat(100_000), Excess::Depth),
            ("a length with a sign", b"*+3\r\n".to_vec(), Excess::Protocol),
            ("a length beyond any", b"*99999999999999999999999\r\n".to_vec(), Excess::Protocol),
            ("a line feed alone, before a hidden big number", b"+x\n$9\r\n(99999999\r\n".to_vec(), Excess::Protocol),
            ("a text that is longer than announced", b"$1\r\nabc\r\n".to_vec(), Excess::Protocol),
        ];
        for (what, sent, expected) in cases {
            for piece in [1, 8_192] {
                let (taken, excess) = through(&sent, piece).await;
                assert_eq!(excess, Some(expected), "{what} in pieces of {piece}");
                assert!(taken <= BYTES_LIMIT, "{what}: {taken} bytes");
            }
        }
    }
}
