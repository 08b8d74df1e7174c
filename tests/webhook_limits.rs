//! The limits on requests, without a network: each excess has a status and gives back what it held.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{StatusCode, header},
    response::Response,
    routing::{get, post},
};
use futures::StreamExt;
use redis_operator::{
    metrics::{Metrics, RequestRefusal},
    webhook::limits::{self, Limits},
};
use tokio::sync::Notify;
use tower::ServiceExt;

fn tight() -> Limits {
    Limits {
        body: Duration::from_millis(50),
        handler: Duration::from_millis(50),
        body_bytes: 16,
        requests: 1,
        ..Limits::default()
    }
}

async fn post_to(router: &Router, body: impl Into<Body>) -> Response {
    let request = Request::post("/").body(body.into()).expect("a request");
    let answer = router.clone().oneshot(request);
    let answer = tokio::time::timeout(Duration::from_secs(30), answer).await;
    let Ok(response) = answer.expect("an answer within 30 s");
    response
}

fn limited(router: Router, limits: &Limits) -> Router {
    limits::limited(router, limits, &Metrics::new().webhooks)
}

fn echo(limits: &Limits) -> Router {
    let length = post(|body: Bytes| async move { body.len().to_string() });
    limited(Router::new().route("/", length), limits)
}

#[tokio::test]
async fn a_body_of_the_largest_size_passes_and_one_byte_more_does_not() {
    let router = echo(&tight());
    assert_eq!(post_to(&router, vec![b'x'; 16]).await.status(), StatusCode::OK);
    let refused = post_to(&router, vec![b'x'; 17]).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.headers()[header::CONNECTION], "close");
}

#[tokio::test]
async fn the_default_limits_take_a_review_of_the_largest_object() {
    let router = echo(&Limits::default());
    // What the API server takes for a new object, and what etcd holds of the old one, with room for the envelope.
    let body = vec![b'x'; (3 << 20) + (3 << 19) + (1 << 18)];
    assert_eq!(post_to(&router, body).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let router = echo(&tight());
    let stalled = Body::from_stream(futures::stream::pending::<Result<Bytes, axum::Error>>());
    assert_eq!(post_to(&router, stalled).await.status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn bodies_still_arriving_take_no_turn_and_only_the_memory_they_fill() {
    let router = echo(&Limits { requests: 2, ..Limits::default() });
    let stalled = || {
        let first = futures::stream::iter([Ok::<_, axum::Error>(Bytes::from_static(b"x"))]);
        Body::from_stream(first.chain(futures::stream::pending()))
    };
    let waiting = futures::future::join_all((0..8).map(|_| post_to(&router, stalled())));
    let honest = post_to(&router, "honest");
    let futures::future::Either::Right((answer, _)) =
        futures::future::select(std::pin::pin!(waiting), std::pin::pin!(honest)).await
    else {
        panic!("the stalled bodies were answered before the honest one");
    };
    assert_eq!(answer.status(), StatusCode::OK);
}

/// Bodies of ten bytes that never end, one after the other.
fn slow(chunks: usize) -> impl futures::Stream<Item = Result<Bytes, axum::Error>> {
    let five = (0..chunks).map(|_| Ok(Bytes::from_static(b"xxxxx")));
    futures::stream::iter(five).chain(futures::stream::pending())
}

#[tokio::test]
async fn half_sent_bodies_that_hold_all_the_memory_give_way_to_an_honest_one() {
    let limits = Limits { body_bytes: 1000, requests: 24, ..Limits::default() };
    let router = echo(&limits);
    let half_sent = || {
        let most = futures::stream::iter([Ok::<_, axum::Error>(Bytes::from_static(&[b'x'; 1000]))]);
        Body::from_stream(most.chain(futures::stream::pending()))
    };
    let held = futures::future::join_all((0..24).map(|_| post_to(&router, half_sent())));
    let honest = async {
        for _ in 0..100 {
            assert_eq!(post_to(&router, vec![b'x'; 900]).await.status(), StatusCode::OK);
        }
    };
    let (held, honest) = (Box::pin(held), Box::pin(honest));
    let futures::future::Either::Right(((), rest)) = futures::future::select(held, honest).await else {
        panic!("the half-sent bodies were answered before the honest ones");
    };
    drop(rest);
    assert_eq!(post_to(&router, vec![b'x'; 1000]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_bodies_may_fill_together_is_bounded() {
    let router = echo(&tight());
    let held = futures::stream::iter([Ok::<_, axum::Error>(Bytes::from_static(&[b'x'; 10]))]);
    let held = post_to(&router, Body::from_stream(held.chain(futures::stream::pending())));
    let second = post_to(&router, Body::from_stream(slow(2)));
    let (held, second) = futures::future::join(held, second).await;
    assert_eq!(held.status(), StatusCode::TOO_MANY_REQUESTS, "the one on its way for longer gives way");
    assert_eq!(second.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(post_to(&router, vec![b'x'; 10]).await.status(), StatusCode::OK, "memory is given back");
}

#[tokio::test]
async fn more_requests_than_turns_are_refused_with_retry_after() {
    let entered = Arc::new(Notify::new());
    let release = Arc::new(Notify::new());
    let (enter, wait) = (Arc::clone(&entered), Arc::clone(&release));
    let busy = post(move || async move {
        enter.notify_one();
        wait.notified().await;
    });
    let limits = Limits { requests: 1, ..Limits::default() };
    let router = limited(Router::new().route("/", busy), &limits);

    let first = async { post_to(&router, "first").await };
    let second = async {
        entered.notified().await;
        let answer = post_to(&router, "second").await;
        release.notify_one();
        answer
    };
    let (first, second) = futures::future::join(first, second).await;
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(second.headers()[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn a_handler_past_its_deadline_is_a_gateway_timeout() {
    let stuck = post(std::future::pending::<()>);
    let router = limited(Router::new().route("/", stuck), &tight());
    assert_eq!(post_to(&router, "x").await.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(post_to(&router, "x").await.status(), StatusCode::GATEWAY_TIMEOUT, "the first one's turn is given back");
}

#[tokio::test]
async fn a_panic_is_an_error_without_details() {
    async fn panics() {
        panic!("spec.secret is hunter2");
    }
    let router = limited(Router::new().route("/", get(panics).post(panics)), &tight());
    let answer = post_to(&router, "x").await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = axum::body::to_bytes(answer.into_body(), 1024).await.expect("a body");
    assert_eq!(body, "internal error; see the operator's log");
    assert_eq!(
        post_to(&router, "x").await.status(),
        StatusCode::INTERNAL_SERVER_ERROR,
        "the first one's turn is given back"
    );
}

#[tokio::test]
async fn every_refusal_is_counted_with_its_reason() {
    async fn panics() {
        panic!("on purpose");
    }
    let metrics = Metrics::new();
    let paths = Router::new()
        .route("/", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/stuck", post(std::future::pending::<()>))
        .route("/panic", post(panics));
    let router = limits::limited(paths, &tight(), &metrics.webhooks);
    let send = async |path: &str, body: Body| {
        router.clone().oneshot(Request::post(path).body(body).expect("a request")).await.expect("an answer").status()
    };
    let stalled = || Body::from_stream(futures::stream::pending::<Result<Bytes, axum::Error>>());
    let broken = Body::from_stream(futures::stream::iter([Err::<Bytes, _>(axum::Error::new("cut"))]));
    assert_eq!(send("/", vec![b'x'; 17].into()).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(send("/", stalled()).await, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(send("/", broken).await, StatusCode::BAD_REQUEST);
    assert_eq!(send("/panic", "x".into()).await, StatusCode::INTERNAL_SERVER_ERROR);
    let (stuck, busy) = futures::future::join(send("/stuck", "x".into()), send("/", "x".into())).await;
    assert_eq!((stuck, busy), (StatusCode::GATEWAY_TIMEOUT, StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(send("/", "x".into()).await, StatusCode::OK);

    let shown = metrics.exposition().expect("the metrics");
    for reason in RequestRefusal::ALL {
        let line = format!("redis_operator_admission_requests_refused_total{{reason=\"{}\"}} 1\n", reason.word());
        assert!(shown.contains(&line), "no {line} in {shown}");
    }
}
