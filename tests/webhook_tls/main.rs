//! The webhook server over real TLS on the loopback interface.
//! It must not know admission: the routes are stand-ins.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod certificates;
mod drain;
mod excess;
mod fixture;
mod stalls;

use std::time::Duration;

use axum::{Router, body::Bytes, routing::post};
use hyper::StatusCode;
use redis_operator::webhook::{
    certificate::ServingCertificate,
    server::{Limits, ServerError, ServerSettings, bind, parting},
};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Running, http, peer, send, until_closed, well};

fn echo() -> Router {
    Router::new().route("/echo", post(|body: Bytes| async move { body }))
}

const SHORT: Duration = Duration::from_secs(1);
const NEVER: Duration = Duration::from_hours(1);

/// No deadline that a test would live to see; each test shortens the ones it is about.
fn unhurried() -> Limits {
    Limits {
        handshake: NEVER,
        header: NEVER,
        body: NEVER,
        idle: NEVER,
        write: NEVER,
        handler: NEVER,
        drain: NEVER,
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_over_tls_and_keeps_the_connection() {
    let server = Running::start(echo(), Limits::default()).await;
    let connection = server.connect().await.unwrap();
    assert_eq!(peer(&connection), server.leaf);
    let mut sender = http(connection).await.unwrap();
    for body in ["one", "two"] {
        let (status, answer) = send(&mut sender, "/echo", body).await.unwrap();
        assert_eq!((status, answer), (StatusCode::OK, Bytes::from(body)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn speaks_http_1_1_only() {
    let server = Running::start(echo(), Limits::default()).await;
    let both = server.authority.client(&[b"h2", b"http/1.1"]);
    let connection = server.connect_with(&both).await.unwrap();
    assert_eq!(connection.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));

    let newer = server.authority.client(&[b"h2"]);
    let refused = server.connect_with(&newer).await.unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");

    // The HTTP/2 preface without ALPN is not taken for HTTP/2 either: no SETTINGS frame comes back.
    let neither = server.authority.client(&[]);
    let mut connection = server.connect_with(&neither).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    connection.write_all(preface).await.unwrap();
    let said = until_closed("the end of a connection that speaks HTTP/2", connection).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 400 "), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_500_and_the_connection_lives_on() {
    async fn panics() {
        panic!("on purpose");
    }
    let router = echo().route("/panic", post(panics));
    let server = Running::start(router, Limits::default()).await;
    let mut sender = http(server.connect().await.unwrap()).await.unwrap();
    let (status, answer) = send(&mut sender, "/panic", "").await.unwrap();
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("on purpose"), "{answer}");
    let (status, _) = send(&mut sender, "/echo", "after").await.unwrap();
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_has_clients_reconnect_and_answers_meanwhile() {
    let leaving = CancellationToken::new();
    let server = Running::start(parting(echo(), leaving.clone()), Limits::default()).await;
    let mut kept = http(server.connect().await.unwrap()).await.unwrap();
    send(&mut kept, "/echo", "before").await.unwrap();
    leaving.cancel();
    // The connection that was open gets its answer, and then its end; a new one is still taken.
    let (status, _) = send(&mut kept, "/echo", "last").await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert!(send(&mut kept, "/echo", "after").await.is_err(), "the connection was to end with its last answer");
    let (status, _) = server.post("/echo", "new").await.unwrap();
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_fails_before_anything_is_served() {
    let server = Running::start(echo(), Limits::default()).await;
    let certificate =
        ServingCertificate::load(server.volume.files(), server.metrics.webhooks.clone(), well()).await.unwrap();
    let settings = ServerSettings { address: server.address, limits: Limits::default() };
    let Err(taken) = bind(settings, &certificate) else {
        panic!("bound a port that is taken");
    };
    assert!(matches!(taken, ServerError::Bind { .. }));
    assert!(taken.to_string().contains(&server.address.to_string()), "{taken}");
}
