//! Clients that take too much: connections, bytes of header, bytes of body.

use hyper::StatusCode;
use redis_operator::webhook::server::Limits;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    echo,
    fixture::{Running, http, send, until_closed, within},
    unhurried,
};

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_are_closed_at_once() {
    let limits = Limits { connections: 2, ..unhurried() };
    let server = Running::start(echo(), limits).await;
    let mut first = http(server.connect().await.unwrap()).await.unwrap();
    let mut second = http(server.connect().await.unwrap()).await.unwrap();
    let third = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(until_closed("the end of the third connection", third).await, "");
    let full = "redis_operator_connections_refused_total{listener=\"webhook\",reason=\"full\"}";
    within("the refusal counted", async {
        while server.counted(full) < 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for held in [&mut first, &mut second] {
        let answer = send(held, "/echo", "still").await;
        let (status, _) = answer.expect("those within the limit are served");
        assert_eq!(status, StatusCode::OK);
    }
    drop(first);
    within("the slot of a connection that left", async { while server.post("/echo", "free").await.is_err() {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_handshake_holds_a_slot() {
    let limits = Limits { connections: 2, ..unhurried() };
    let server = Running::start(echo(), limits).await;
    let mut stalled = Vec::new();
    within("a refusal beside stalled handshakes", async {
        while server.connect().await.is_ok() {
            stalled.push(TcpStream::connect(server.address).await.unwrap());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_with_or_without_a_length() {
    let limits = Limits { body_bytes: 1000, ..unhurried() };
    let server = Running::start(echo(), limits).await;
    let (status, _) = server.post("/echo", vec![b'x'; 1000]).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    let (status, _) = server.post("/echo", vec![b'x'; 1001]).await.unwrap();
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);

    let mut chunked = server.connect().await.unwrap();
    let header = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut request = header.to_vec();
    for _ in 0..11 {
        request.extend_from_slice(b"64\r\n");
        request.extend_from_slice(&[b'x'; 100]);
        request.extend_from_slice(b"\r\n");
    }
    chunked.write_all(&request).await.unwrap();
    let said = until_closed("the end after a refused body", chunked).await;
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_over_the_limit_is_refused() {
    let server = Running::start(echo(), unhurried()).await;
    let mut greedy = server.connect().await.unwrap();
    greedy.write_all(b"POST /echo HTTP/1.1\r\nX-Long: ").await.unwrap();
    // The server may close before all of it is written.
    drop(greedy.write_all(&vec![b'x'; 256 * 1024]).await);
    let said = until_closed("the end of an endless header", greedy).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431 "), "{said}");
}
