//! Clients that are slow on purpose: each is closed in time, while honest ones are answered.

use axum::{Router, routing::post};
use hyper::StatusCode;
use redis_operator::webhook::server::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    SHORT, echo,
    fixture::{Running, http, send, until_closed, within},
    unhurried,
};

async fn honest(server: &Running) {
    let answer = server.post("/echo", "honest").await;
    let (status, answer) = answer.expect("an honest client is answered");
    assert_eq!((status, answer.as_ref()), (StatusCode::OK, &b"honest"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stall_are_closed_and_honest_ones_answered() {
    let limits = Limits { handshake: SHORT, header: SHORT, body: SHORT, ..unhurried() };
    let server = Running::start(echo(), limits).await;
    let mut kept = http(server.connect().await.unwrap()).await.unwrap();
    send(&mut kept, "/echo", "before").await.unwrap();

    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut half_hello = TcpStream::connect(server.address).await.unwrap();
    half_hello.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let mute = server.connect().await.unwrap();
    let mut half_header = server.connect().await.unwrap();
    half_header.write_all(b"POST /echo HTTP/1.1\r\nHost: local").await.unwrap();
    let mut half_body = server.connect().await.unwrap();
    let half = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf";
    half_body.write_all(half).await.unwrap();

    for _ in 0..10 {
        honest(&server).await;
    }
    let (_, _, _, header, body) = futures::join!(
        until_closed("the end of a client that never speaks TLS", silent),
        until_closed("the end of a stalled handshake", half_hello),
        until_closed("the end of a client that never asks", mute),
        until_closed("the end of half a header", half_header),
        until_closed("the end of half a body", half_body),
    );
    assert_eq!(header, "");
    assert!(body.starts_with("HTTP/1.1 408 "), "{body}");
    honest(&server).await;
    let after = send(&mut kept, "/echo", "after").await;
    after.expect("an idle connection outlives the header deadline");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_idle_for_too_long_are_closed() {
    let limits = Limits { header: SHORT, idle: SHORT, ..unhurried() };
    let server = Running::start(echo(), limits).await;
    let whole = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi";
    let mut kept = server.connect().await.unwrap();
    kept.write_all(whole).await.unwrap();
    let mut second_header = server.connect().await.unwrap();
    second_header.write_all(whole).await.unwrap();
    second_header.write_all(b"POST /echo HTTP/1.1\r\nHo").await.unwrap();
    let (kept, second) = futures::join!(
        until_closed("the end of an idle kept-alive connection", kept),
        until_closed("the end of half a second header", second_header),
    );
    assert!(kept.starts_with("HTTP/1.1 200 ") && kept.ends_with("hi"), "{kept}");
    assert_eq!(second.matches("HTTP/1.1 200 ").count(), 1, "{second}");
}

/// A header that comes byte by byte is no reason to wait longer: the deadline is for all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_trickled_header_is_closed_all_the_same() {
    let limits = Limits { header: SHORT, ..unhurried() };
    let server = Running::start(echo(), limits).await;
    let (mut reading, mut writing) = tokio::io::split(server.connect().await.unwrap());
    let mut byte = [0];
    let trickle = async {
        let mut pace = tokio::time::interval(SHORT / 10);
        writing.write_all(b"POST /echo HTTP/1.1\r\nX-Long: ").await?;
        loop {
            pace.tick().await;
            writing.write_all(b"x").await?;
        }
    };
    within("the end of a trickled header", async {
        tokio::select! {
            read = reading.read(&mut byte) => {
                assert!(matches!(read, Ok(0) | Err(_)), "half a header was answered");
            }
            written = trickle => {
                let written: std::io::Result<()> = written;
                assert!(written.is_err());
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_reads_no_answers_loses_its_connection() {
    // More than the socket buffers of both sides take.
    let large = post(|| async { vec![b'x'; 8 * 1024 * 1024] });
    let server = Running::start(Router::new().route("/echo", large), Limits { write: SHORT, ..unhurried() }).await;
    let mut deaf = server.connect().await.unwrap();
    let ask = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".repeat(1024);
    // It reads nothing, so what it sends is taken only until the buffers are full, and then no more until it is closed.
    within("the end of a peer that does not read", async { while deaf.write_all(&ask).await.is_ok() {} }).await;
}
