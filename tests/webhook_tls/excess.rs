//! Clients that take too much: connections, bytes of header, bytes of body.

use std::sync::Arc;

use axum::{Router, routing::post};
use hyper::StatusCode;
use redis_operator::webhook::server::Limits;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore};

use crate::{
    echo,
    fixture::{Running, http, send, until_closed, within},
    unhurried,
};

/// Every way to be slow that a connection can be in, sixteen of each at sixteen seats.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_crowd_out_each_other_and_no_honest_one() {
    let server = Running::start(echo(), Limits { connections: 16, ..unhurried() }).await;
    let mut kept = http(server.connect().await.unwrap()).await.unwrap();
    send(&mut kept, "/echo", "before").await.unwrap();
    let (mut silent, mut speaking) = (Vec::new(), Vec::new());
    for _ in 0..16 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
        let mut half_hello = TcpStream::connect(server.address).await.unwrap();
        half_hello.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        silent.push(half_hello);
        for said in ["", "POST /echo HTTP/1.1\r\nHost: local", "POST /echo HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"] {
            let mut stream = server.connect().await.expect("a handshake beside slow clients");
            stream.write_all(said.as_bytes()).await.unwrap();
            speaking.push(stream);
        }
    }
    let (status, _) = server.post("/echo", "new").await.expect("a new connection is answered");
    assert_eq!(status, StatusCode::OK);
    let (status, _) = send(&mut kept, "/echo", "after").await.expect("a kept connection stays");
    assert_eq!(status, StatusCode::OK);
    // 82 came to 16 seats.
    assert!(server.counted(&refused("displaced")) >= 66.0);
    assert!(server.counted(&refused("full")) < 1.0);
}

fn refused(reason: &str) -> String {
    format!("redis_operator_connections_refused_total{{listener=\"webhook\",reason=\"{reason}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_idle_connections_the_longest_idle_makes_room() {
    let server = Running::start(echo(), Limits { connections: 2, ..unhurried() }).await;
    let mut first = http(server.connect().await.unwrap()).await.unwrap();
    send(&mut first, "/echo", "first").await.unwrap();
    let mut second = http(server.connect().await.unwrap()).await.unwrap();
    send(&mut second, "/echo", "second").await.unwrap();
    send(&mut first, "/echo", "again").await.unwrap();
    let (status, _) = server.post("/echo", "third").await.expect("a new connection is answered");
    assert_eq!(status, StatusCode::OK);
    within("the end of the longest idle connection", async {
        while !second.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    send(&mut first, "/echo", "still").await.expect("the connection that was used last stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_being_answered_keeps_its_seat_and_a_newcomer_is_refused() {
    let (entered, release) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (enter, wait) = (Arc::clone(&entered), Arc::clone(&release));
    let slow = post(move || async move {
        enter.add_permits(1);
        wait.acquire().await.unwrap().forget();
    });
    let limits = Limits { connections: 2, ..unhurried() };
    let server = Running::start(Router::new().route("/slow", slow), limits).await;
    let asking = futures::future::join(server.post("/slow", ""), server.post("/slow", ""));
    let refusing = async {
        within("both requests in the handler", entered.acquire_many(2)).await.unwrap().forget();
        let third = TcpStream::connect(server.address).await.unwrap();
        assert_eq!(until_closed("the end of the third connection", third).await, "");
        within("the refusal counted", async {
            while server.counted(&refused("full")) < 1.0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        release.add_permits(2);
    };
    let ((first, second), ()) = futures::future::join(asking, refusing).await;
    assert_eq!((first.unwrap().0, second.unwrap().0), (StatusCode::OK, StatusCode::OK));
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
