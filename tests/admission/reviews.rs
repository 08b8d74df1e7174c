//! Reviews that the table cannot express: deletions, subresources, updates of a status, malformed requests, and the counters.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use redis_operator::{metrics::Metrics, webhook};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{broken, decoded, defaults, post, review};

#[tokio::test]
async fn what_is_being_deleted_and_what_is_no_spec_is_never_judged() {
    let router = webhook::router(defaults(), &Metrics::new().webhooks);
    let mut deleting = review("u", &broken(), None);
    deleting["request"]["object"]["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut status = review("u", &broken(), Some(&broken()));
    status["request"]["subResource"] = json!("status");
    let mut delete = review("u", &Value::Null, Some(&broken()));
    delete["request"]["operation"] = json!("DELETE");
    for review in [deleting, status, delete] {
        for path in ["/mutate", "/validate"] {
            let (code, answer) = post(&router, path, review.to_string()).await;
            assert_eq!(code, StatusCode::OK, "{answer}");
            assert!(answer.contains("\"allowed\":true") && !answer.contains("patch"), "{answer}");
        }
    }
}

#[tokio::test]
async fn an_image_that_never_served_can_be_taken_back() {
    let router = webhook::router(defaults(), &Metrics::new().webhooks);
    let object =
        |image: &str, status: Value| json!({"metadata": {"name": "cache"}, "spec": {"image": image}, "status": status});
    for (status, allowed) in [
        (json!({"status": "Running", "version": "7.2.5"}), false),
        (json!({"status": "Updating", "version": "7.0.15"}), true),
        (json!({"status": "Creating"}), true),
        (json!("none"), false),
        (Value::Null, false),
    ] {
        let review = review("u", &object("redis:7.0.15", Value::Null), Some(&object("redis:7.2.5", status.clone())));
        let (_, answer) = post(&router, "/validate", review.to_string()).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["response"]["allowed"], json!(allowed), "{status}: {answer}");
    }
}

#[tokio::test]
async fn a_size_that_an_update_leaves_out_stays() {
    let router = webhook::router(defaults(), &Metrics::new().webhooks);
    let object = |spec: Value| json!({"metadata": {"name": "cache"}, "spec": spec});
    let old = object(json!({"image": "redis:7", "storage": {"size": "64Mi"}}));
    for spec in [
        json!({"image": "redis:7"}),
        json!({"image": "redis:7", "storage": null}),
        json!({"storage": {"retention": "Delete"}}),
    ] {
        let mut new = object(spec);
        let (_, answer) = post(&router, "/mutate", review("u", &new, Some(&old)).to_string()).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        json_patch::patch(&mut new, &decoded(answer["response"]["patch"].as_str().unwrap())).unwrap();
        assert_eq!(new["spec"]["storage"]["size"], json!("64Mi"), "{new}");
    }
}

#[tokio::test]
async fn kubectl_scale_is_no_way_past_the_rules() {
    let router = webhook::router(defaults(), &Metrics::new().webhooks);
    let scale = |replicas: i32| json!({"kind": "Scale", "metadata": {"name": "cache"}, "spec": {"replicas": replicas}});
    for (from, to, allowed) in [(1, 3, true), (1, 17, false), (1, 0, false), (1, 1, true), (3, 3, true), (3, 1, true)] {
        let mut review = review("u", &scale(to), Some(&scale(from)));
        review["request"]["subResource"] = json!("scale");
        review["request"]["kind"] = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
        let (status, answer) = post(&router, "/validate", review.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert!(answer.contains(&format!("\"allowed\":{allowed}")), "{from} to {to}: {answer}");
    }
}

#[tokio::test]
async fn what_is_no_review_is_refused_and_never_allowed() {
    let router = webhook::router(defaults(), &Metrics::new().webhooks);
    let good = review("u", &broken(), None);
    let with = |path: &str, value: Value| {
        let mut review = good.clone();
        *review.pointer_mut(path).unwrap() = value;
        review.to_string()
    };
    let bodies = [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)),
        with("/request", Value::Null),
        with("/request/uid", json!("")),
        with("/request/uid", json!(5)),
        with("/apiVersion", json!("admission.k8s.io/v1beta1")),
        with("/kind", json!("TokenReview")),
        with("/request/kind/kind", json!("Pod")),
        good.to_string().replacen('{', "{\"kind\":\"AdmissionReview\",", 1),
        with("/request/object/spec", json!("text")),
        with("/request/object/metadata", json!({"name": "\n".repeat(2_000)})),
        with("/request/object/metadata", json!({"name": "cache", "uid": "u".repeat(3_000)})),
    ];
    for body in bodies {
        let (status, answer) = post(&router, "/validate", body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body:.80}: {answer}");
        assert!(!answer.contains("allowed") && answer.len() > 10, "{answer}");
    }
    // Not UTF-8, in a field that nothing reads.
    let (head, tail) = ([br#"{"extra":""#.as_slice(), &[0xff], br#"","#].concat(), &good.to_string()[1..]);
    let (status, answer) = post(&router, "/validate", [&head, tail.as_bytes()].concat()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    for (method, path, kind, code) in [
        ("GET", "/validate", "application/json", StatusCode::METHOD_NOT_ALLOWED),
        ("POST", "/elsewhere", "application/json", StatusCode::NOT_FOUND),
        ("POST", "/validate", "text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        let request =
            Request::builder().method(method).uri(path).header("content-type", kind).body(Body::from(good.to_string()));
        let response = router.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), code, "{method} {path} {kind}");
    }
}

#[tokio::test]
async fn reviews_are_counted_by_webhook_and_verdict() {
    let metrics = Metrics::new();
    let router = webhook::router(defaults(), &metrics.webhooks);
    let object = |size: &str| {
        json!({"apiVersion": "redis.github.com/v1", "kind": "RedisInstance",
        "metadata": {"name": "cache", "namespace": "shop"}, "spec": {"storage": {"size": size}}})
    };
    for (path, body) in [
        ("/mutate", review("u", &object("1Gi"), None).to_string()),
        ("/validate", review("u", &object("1Gi"), None).to_string()),
        ("/validate", review("u", &object("none"), None).to_string()),
        ("/validate", "{}".to_owned()),
    ] {
        post(&router, path, body).await;
    }
    let shown = metrics.exposition().unwrap();
    for (webhook, verdict, count) in [
        ("mutate", "allowed", 1),
        ("mutate", "denied", 0),
        ("validate", "allowed", 1),
        ("validate", "denied", 1),
        ("validate", "malformed", 1),
    ] {
        let line =
            format!("redis_operator_admission_reviews_total{{webhook=\"{webhook}\",verdict=\"{verdict}\"}} {count}\n");
        assert!(shown.contains(&line), "no {line} in {shown}");
    }
    assert!(shown.contains("redis_operator_admission_review_duration_seconds_count{webhook=\"validate\"} 3\n"));
}
