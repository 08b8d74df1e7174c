//! Whatever is sent to the webhooks is answered: with a verdict on exactly that request, or as no review at all. What is
//! allowed is valid, defaulting twice is defaulting once, and a refusal says why.
//!
//! An input that begins with `{"apiVersion"` is the whole body; any other is a spec and, on a second line, the stored one.
#![no_main]

use std::sync::LazyLock;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use libfuzzer_sys::fuzz_target;
use redis_operator::{
    api::v1::RedisInstance,
    domain::{defaults::Defaults, validate::validate},
    metrics::Metrics,
    webhook,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tower::ServiceExt;

const LIMIT: usize = 64 << 20;

static ROUTER: LazyLock<Router> = LazyLock::new(|| webhook::router(defaults(), &Metrics::new().webhooks));
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().expect("a runtime"));

fuzz_target!(|input: &[u8]| {
    if input.starts_with(b"{\"apiVersion\"") {
        for path in ["/validate", "/mutate"] {
            drop(answer(path, input.to_vec()));
        }
        return;
    }
    let (spec, stored) = match input.iter().position(|b| *b == b'\n') {
        Some(at) => (&input[..at], Some(&input[at + 1..])),
        None => (input, None),
    };
    let verdict = answer("/validate", body(spec, stored));
    let patch = answer("/mutate", body(spec, stored));
    let Ok(spec) = serde_json::from_slice::<Value>(spec) else { return };
    let Some(patch) = patch else { return };
    assert_eq!(patch["allowed"], true, "defaulting refuses nothing");
    let mut object = json!({"metadata": {"name": "cache", "namespace": "shop"}, "spec": spec});
    let created = stored.is_none();
    if created && verdict.as_ref().is_some_and(|verdict| verdict["allowed"] == true) {
        assert!(is_valid(&object), "allowed and not valid: {object}");
    }
    apply(&mut object, &patch);
    let spec = serde_json::to_vec(&object["spec"]).expect("JSON");
    let again = answer("/mutate", body(&spec, stored)).expect("what was answered once");
    assert!(again.get("patch").is_none(), "defaulted twice: {object} {again}");
    // A field that stands twice is no review to the one who reads types, and passes the one who does not.
    if let Some(verdict) = verdict.filter(|_| created) {
        let again = answer("/validate", body(&spec, None)).map(|again| again["allowed"] == true);
        assert_eq!(again, Some(verdict["allowed"] == true), "{object}");
    }
});

fn defaults() -> Defaults {
    Defaults { image: "redis:7.0.15".to_owned() }
}

fn is_valid(object: &Value) -> bool {
    let mut object = object.clone();
    defaults().apply(&mut object);
    serde_json::from_value::<RedisInstance>(object).is_ok_and(|instance| validate(&instance).is_ok())
}

/// A review around the texts, which need not be JSON.
fn body(spec: &[u8], stored: Option<&[u8]>) -> Vec<u8> {
    let object =
        |spec: &[u8]| [br#"{"metadata":{"name":"cache","namespace":"shop"},"spec":"#.as_slice(), spec, b"}"].concat();
    let operation = if stored.is_some() { "UPDATE" } else { "CREATE" };
    let head = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u-1","operation":"{operation}","kind":{{"group":"redis.github.com","version":"v1","kind":"RedisInstance"}},"object":"#
    );
    let old = stored.map_or_else(|| b"null".to_vec(), object);
    [head.as_bytes(), &object(spec), br#","oldObject":"#, &old, b"}}"].concat()
}

/// The response in a review's answer; `None` when the body was called no review.
fn answer(path: &str, body: Vec<u8>) -> Option<Value> {
    RUNTIME.block_on(async {
        let sent = serde_json::from_slice::<Value>(&body).ok();
        let request = Request::post(path).header("content-type", "application/json").body(Body::from(body));
        let response = ROUTER.clone().oneshot(request.expect("a request")).await.expect("the router cannot fail");
        let status = response.status();
        let text = to_bytes(response.into_body(), LIMIT).await.expect("a body");
        if status != StatusCode::OK {
            assert_eq!(status, StatusCode::BAD_REQUEST);
            return None;
        }
        let mut answer: Value = serde_json::from_slice(&text).expect("an answer in JSON");
        let response = answer["response"].take();
        let sent = sent.expect("what is no JSON has no verdict");
        assert_eq!(response["uid"], sent["request"]["uid"]);
        assert!(response["allowed"].is_boolean());
        if response["allowed"] == false {
            assert_eq!(response["status"]["code"], 422);
            assert!(!response["status"]["details"]["causes"].as_array().expect("causes").is_empty());
        }
        Some(response)
    })
}

fn apply(object: &mut Value, response: &Value) {
    let Some(patch) = response["patch"].as_str() else { return };
    let patch: k8s_openapi::ByteString = serde_json::from_value(patch.into()).expect("base64");
    let patch: json_patch::Patch = serde_json::from_slice(&patch.0).expect("a JSON patch");
    json_patch::patch(object, &patch).expect("a patch that fits");
}
