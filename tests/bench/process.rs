//! What judging costs without a network: a typical object, and texts that are long on purpose.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use axum::{body::Body, http::Request};
use redis_operator::{
    api::v1::RedisInstance,
    domain::{
        defaults::Defaults, directives::suggest::nearest, field_error::quoted, image::ImageReference,
        quantity::Quantity, validate::validate, words,
    },
    metrics::Metrics,
    webhook as ours,
};
use serde_json::json;
use tower::ServiceExt;

use crate::{figures, webhook};

const SAMPLES: usize = 20_000;

/// Prints what a typical object takes: its rules alone, and a review from bytes to bytes.
pub(crate) async fn typical() {
    println!("\nin process, {}", figures::machine());
    let defaults = Defaults { image: "redis:7.0.15".to_owned() };
    let object = json!({"metadata": {"name": "cache", "namespace": "shop"}, "spec": webhook::spec()});
    let instance: RedisInstance = serde_json::from_value(object).unwrap();
    let instance = defaults.applied(&instance);
    validate(&instance).unwrap();
    let samples = (0..SAMPLES).map(|_| microseconds(|| drop(black_box(validate(black_box(&instance)))))).collect();
    println!("  rules of a typical object     {}", figures::microseconds(samples));

    let router = ours::router(defaults, &Metrics::new().webhooks);
    let review = webhook::review();
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let request = Request::post("/validate").header("content-type", "application/json");
        let request = request.body(Body::from(review.clone())).unwrap();
        let begun = Instant::now();
        let response = router.clone().oneshot(request).await.unwrap();
        samples.push(begun.elapsed().as_secs_f64() * 1e6);
        assert!(response.status().is_success());
    }
    println!("  review of it, bytes to bytes  {}", figures::microseconds(samples));
}

/// A parser, and the text of a length that is the worst for it.
type Hostile = (&'static str, fn(usize) -> String, fn(&str) -> bool);

const HOSTILE: [Hostile; 9] = [
    ("quantity, digits", |length| "9".repeat(length), |text| Quantity::parse(text).is_ok()),
    ("quantity, exponent", |length| "1e".to_owned() + &"0".repeat(length), |text| Quantity::parse(text).is_ok()),
    ("image, path", |length| "a/".repeat(length / 2), |text| ImageReference::parse(text).is_ok()),
    ("image, separators", |length| "a".to_owned() + &"_".repeat(length), |text| ImageReference::parse(text).is_ok()),
    ("image, colons", |length| "a:".repeat(length / 2), |text| ImageReference::parse(text).is_ok()),
    ("words", |length| "a ".repeat(length / 2), |text| words::split(text).is_ok()),
    ("words, escapes", |length| format!("\"{}\"", "\\x41".repeat(length / 4)), |text| words::split(text).is_ok()),
    ("echo", |length| "\u{7}".repeat(length), |text| !quoted(text).is_empty()),
    ("did you mean", |length| "a".repeat(length), |text| nearest(text, &["maxmemory", "maxmemory-policy"]).is_some()),
];

/// Prints the time a byte for texts of a thousand to a million bytes: what is linear has about the same in each column.
pub(crate) fn hostile() {
    println!("\nhostile texts in process: ns a byte at 1 kB, 10 kB, 100 kB, 1 MB");
    for (name, text, parse) in HOSTILE {
        let mut line = format!("  {name:<20}");
        for length in [1_000, 10_000, 100_000, 1_000_000] {
            let text = text(length);
            let best = (0..5)
                .map(|_| {
                    microseconds(|| {
                        black_box(parse(black_box(&text)));
                    })
                })
                .fold(f64::MAX, f64::min);
            line.extend([format!("{:>9.3}", best * 1000.0 / figures::count(length))]);
        }
        println!("{line}");
    }
}

fn microseconds(what: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    what();
    Duration::as_secs_f64(&begun.elapsed()) * 1e6
}
