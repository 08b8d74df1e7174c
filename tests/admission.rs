//! The admission table as pure functions and through the webhook's router. The other ways are in `offline.rs` and, with a
//! real API server, in `e2e_admission.rs`.

#[path = "admission/bounds.rs"]
mod bounds;
mod common;
#[path = "admission/reviews.rs"]
mod reviews;
#[path = "admission/table.rs"]
mod table;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use common::admission_table::DEFAULT_IMAGE;
use http_body_util::BodyExt;
use redis_operator::domain::defaults::Defaults;
use serde_json::{Value, json};
use tower::ServiceExt;

fn defaults() -> Defaults {
    Defaults { image: DEFAULT_IMAGE.to_owned() }
}

fn broken() -> Value {
    json!({"metadata": {"name": "cache", "namespace": "shop"}, "spec": {"image": "Redis:7"}})
}

fn review(uid: &str, object: &Value, old: Option<&Value>) -> Value {
    let operation = if old.is_some() { "UPDATE" } else { "CREATE" };
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": uid, "operation": operation, "kind": {"group": "redis.github.com", "version": "v1", "kind": "RedisInstance"},
        "object": object, "oldObject": old}})
}

async fn post(router: &axum::Router, path: &str, body: impl Into<Body>) -> (StatusCode, String) {
    let request = Request::post(path).header("content-type", "application/json").body(body.into()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

/// The patch out of its base64, by the decoder that reads Secrets.
fn decoded(base64: &str) -> json_patch::Patch {
    let bytes: k8s_openapi::ByteString = serde_json::from_value(json!(base64)).unwrap();
    serde_json::from_slice(&bytes.0).unwrap()
}
