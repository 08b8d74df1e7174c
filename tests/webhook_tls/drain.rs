//! What becomes of open connections when the server stops.

use std::{io::ErrorKind, sync::Arc};

use axum::{Router, body::Bytes, routing::post};
use hyper::StatusCode;
use redis_operator::webhook::server::Limits;
use tokio::{net::TcpStream, sync::Notify};

use crate::{
    SHORT, echo,
    fixture::{Running, http, within},
    unhurried,
};

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_finishes_what_is_in_flight_and_takes_no_more() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, wait) = (Arc::clone(&entered), Arc::clone(&release));
    let slow = post(move || async move {
        enter.notify_one();
        wait.notified().await;
        "finished"
    });
    let server = Running::start(echo().route("/slow", slow), unhurried()).await;
    let idle = http(server.connect().await.unwrap()).await.unwrap();
    let asking = async {
        let answer = server.post("/slow", "").await;
        assert_eq!(answer.unwrap(), (StatusCode::OK, Bytes::from("finished")));
    };
    let stopping = async {
        within("the request in the handler", entered.notified()).await;
        server.shutdown.cancel();
        within("the refusal of new connections", async { while !refused(TcpStream::connect(server.address).await) {} })
            .await;
        within("the end of an idle connection", async {
            while !idle.is_closed() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(!server.serving.is_finished(), "returned with a request in flight");
        release.notify_one();
    };
    futures::future::join(asking, stopping).await;
    within("the end of the server", server.serving).await.unwrap().unwrap();
}

fn refused(connection: std::io::Result<TcpStream>) -> bool {
    connection.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_does_not_wait_for_ever() {
    let entered = Arc::new(Notify::new());
    let enter = Arc::clone(&entered);
    let stuck = post(move || async move {
        enter.notify_one();
        std::future::pending::<()>().await;
    });
    let limits = Limits { drain: SHORT, ..unhurried() };
    let server = Running::start(Router::new().route("/stuck", stuck), limits).await;
    let asking = server.post("/stuck", "");
    let stopping = async {
        within("the request in the handler", entered.notified()).await;
        server.shutdown.cancel();
    };
    let (answer, ()) = futures::future::join(asking, stopping).await;
    assert!(answer.is_err(), "a request cut off has no answer: {answer:?}");
    within("the end of the server", server.serving).await.unwrap().unwrap();
}
