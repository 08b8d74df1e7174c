//! Strangers at the webhooks' port: megabytes of junk, and clients that are slow on purpose beside an honest one.
//! Everything stays on the loopback.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Builder,
    time::{interval, timeout},
};

use crate::{
    common::operator::Operator,
    figures,
    webhook::{self, Authority},
};

const MEBIBYTE: usize = 1 << 20;
const SLOW: usize = 2000;
const SERIES: Duration = Duration::from_secs(8);

/// Prints how long 3 MiB take that are no review, or a review that no client would send.
pub(crate) async fn junk(operator: &Operator, authority: &Authority) {
    println!("\n3 MiB of junk, sent and answered, 20 times each");
    let long = "x".repeat(3 * MEBIBYTE);
    let many = |count: usize| (0..count).map(|n| (format!("directive-{n}"), Value::from("x"))).collect();
    let bodies = [
        ("letters", long.clone().into_bytes()),
        ("open brackets", vec![b'['; 3 * MEBIBYTE]),
        ("a review with a long image", of_spec(json!({"image": long}))),
        ("a review with 100,000 directives", of_spec(json!({"config": Value::Object(many(100_000))}))),
        ("a review with 100,000 fields", of_spec(Value::Object(many(100_000)))),
        ("a review with half a million in a list", of_spec(json!({"replicas": vec![7; 500_000]}))),
        ("a review with long managed fields", of_object(json!({"metadata": {"managedFields": [long]}, "spec": {}}))),
    ];
    for (name, body) in bodies {
        let body = Bytes::from(body);
        let (mut samples, mut status) = (Vec::new(), String::new());
        for _ in 0..20 {
            let mut sender = authority.connect(operator.webhook_port).await;
            let begun = Instant::now();
            status = match webhook::post(&mut sender, "/validate", body.clone()).await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            samples.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        println!("  {name:<38} {} bytes: {status}; {}", body.len(), figures::quantiles(samples));
    }
    let (now, peak) = figures::memory(operator.id());
    println!("  resident memory {now:.0} MiB, peak {peak:.0} MiB");
}

fn of_spec(spec: Value) -> Vec<u8> {
    of_object(json!({"metadata": {"name": "cache"}, "spec": spec}))
}

fn of_object(object: Value) -> Vec<u8> {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "operation": "CREATE",
        "kind": {"group": "redis.github.com", "version": "v1", "kind": "RedisInstance"}, "object": object}})
    .to_string()
    .into_bytes()
}

/// Prints how an honest client fares alone, and beside 2,000 that connect and say little or nothing.
pub(crate) async fn slow_clients(operator: &Operator, authority: &Arc<Authority>) {
    println!("\nan honest client, 100 questions a second on a kept connection and 20 on new ones");
    let port = operator.webhook_port;
    // Opened before the others come, as the API server's are.
    let kept = authority.connect(port).await;
    let kept = honest("alone", kept, authority, port).await;
    // On a thread of their own, or the honest one would wait in its own process for their handshakes.
    let slow = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for number in 0..SLOW {
        let authority = Arc::clone(authority);
        slow.spawn(async move { dawdle(number, &authority, port).await });
    }
    honest("beside 2,000 slow ones", kept, authority, port).await;
    slow.shutdown_background();
    let (now, peak) = figures::memory(operator.id());
    println!("  resident memory {now:.0} MiB, peak {peak:.0} MiB");
}

async fn honest(
    beside: &str,
    mut kept: hyper::client::conn::http1::SendRequest<http_body_util::Full<Bytes>>,
    authority: &Arc<Authority>,
    port: u16,
) -> hyper::client::conn::http1::SendRequest<http_body_util::Full<Bytes>> {
    let review = Bytes::from(webhook::review());
    let on_new = tokio::spawn({
        let (authority, review) = (Arc::clone(authority), review.clone());
        async move { on_new_connections(&authority, port, &review).await }
    });
    let (mut samples, mut due, begun) = (Vec::new(), interval(Duration::from_millis(10)), Instant::now());
    while begun.elapsed() < SERIES {
        let at = due.tick().await;
        webhook::post(&mut kept, "/validate", review.clone()).await.unwrap();
        samples.push(at.elapsed().as_secs_f64() * 1000.0);
    }
    println!("  {beside}, kept connection: {}", figures::quantiles(samples));
    let (samples, refused) = on_new.await.unwrap();
    let answered = if samples.is_empty() { "none answered".to_owned() } else { figures::quantiles(samples) };
    println!("  {beside}, new connections: {answered}; {refused} refused");
    kept
}

/// The times of those that were answered, and how many were not.
async fn on_new_connections(authority: &Authority, port: u16, review: &Bytes) -> (Vec<f64>, usize) {
    let (mut samples, mut refused, mut due, begun) =
        (Vec::new(), 0, interval(Duration::from_millis(50)), Instant::now());
    while begun.elapsed() < SERIES {
        due.tick().await;
        let sent = Instant::now();
        let answered = async {
            let mut sender = authority.try_connect(port).await.ok()?;
            webhook::post(&mut sender, "/validate", review.clone()).await.ok()
        };
        match timeout(Duration::from_secs(5), answered).await {
            Ok(Some(_)) => samples.push(sent.elapsed().as_secs_f64() * 1000.0),
            _ => refused += 1,
        }
    }
    (samples, refused)
}

/// Connects again and again, each time to be as slow as it is let: silent, in the middle of the handshake, or in the
/// middle of a header.
async fn dawdle(number: usize, authority: &Authority, port: u16) {
    let mut again = interval(Duration::from_secs(1));
    loop {
        again.tick().await;
        match number % 3 {
            0 => {
                let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                drop(stream.read(&mut [0]).await);
            }
            1 => {
                let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                drop(stream.write_all(&[22, 3, 1, 2, 0, 1]).await);
                drop(stream.read(&mut [0]).await);
            }
            _ => {
                let Ok(mut stream) = authority.tls(port).await else { continue };
                for letter in b"POST /validate HTTP/1.1\r\nx-slow: aaaaaaaaaaaaaaaa" {
                    if stream.write_all(&[*letter]).await.is_err() || stream.flush().await.is_err() {
                        break;
                    }
                    again.tick().await;
                }
            }
        }
    }
}
