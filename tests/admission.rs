//! The admission table as pure functions and through the webhook's router. The other ways are in `offline.rs` and, with a
//! real API server, in `e2e_admission.rs`.

mod common;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use common::admission_table::{Case, DEFAULT_IMAGE, cases};
use http_body_util::BodyExt;
use redis_operator::{
    api::v1::RedisInstance,
    domain::{defaults::Defaults, judgement::judge},
    metrics::Metrics,
    webhook,
};
use serde_json::{Value, json};
use tower::ServiceExt;

fn defaults() -> Defaults {
    Defaults { image: DEFAULT_IMAGE.to_owned() }
}

fn typed(mut object: Value) -> RedisInstance {
    defaults().apply(&mut object);
    serde_json::from_value(object).unwrap()
}

/// Collects what differs over all cases, so that one run shows everything.
fn compare(answers: impl Iterator<Item = (String, Value, Value)>) {
    let differences: Vec<String> = answers
        .filter(|(_, expected, answered)| expected != answered)
        .map(|(title, expected, answered)| format!("{title}\n  expected {expected}\n  answered {answered}"))
        .collect();
    assert!(differences.is_empty(), "{} cases differ:\n{}", differences.len(), differences.join("\n"));
}

fn expected(case: &Case) -> Value {
    json!({"deny": case.deny, "warn": case.warnings()})
}

#[test]
fn the_table_holds_as_pure_functions() {
    compare(cases().iter().filter(|case| case.reaches_the_webhook()).map(|case| {
        let old = case.old_object().map(typed);
        let (deny, warn) = match judge(&typed(case.object()), old.as_ref()) {
            Ok(warnings) => (Vec::new(), warnings),
            Err(errors) => (errors.iter().map(ToString::to_string).collect(), Vec::new()),
        };
        (case.title(), expected(case), json!({"deny": deny, "warn": warn}))
    }));
}

#[tokio::test]
async fn the_table_holds_through_the_router() {
    let router = webhook::router(defaults(), &Metrics::new().webhooks);
    let mut answers = Vec::new();
    for case in cases().iter().filter(|case| case.reaches_the_webhook()) {
        let review = review("7d4c", &case.object(), case.old_object().as_ref());
        let (status, answer) = post(&router, "/validate", review.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{}: {answer}", case.title());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let response = &answer["response"];
        assert_eq!(
            (&response["uid"], &response["allowed"]),
            (&json!("7d4c"), &json!(case.deny.is_empty())),
            "{}",
            case.title()
        );
        let causes = response["status"]["details"]["causes"].as_array().cloned().unwrap_or_default();
        let deny: Vec<String> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause["field"].as_str().unwrap(), cause["message"].as_str().unwrap()))
            .collect();
        let warn = response.get("warnings").cloned().unwrap_or_else(|| json!([]));
        if !deny.is_empty() {
            assert_eq!((&response["status"]["code"], &response["status"]["reason"]), (&json!(422), &json!("Invalid")));
        }
        answers.push((case.title(), expected(case), json!({"deny": deny, "warn": warn})));
    }
    compare(answers.into_iter());
}

#[tokio::test]
async fn the_defaulting_webhook_lets_every_case_pass_and_has_nothing_to_add_the_second_time() {
    let router = webhook::router(defaults(), &Metrics::new().webhooks);
    for case in cases() {
        let mut object = case.object();
        for round in 1..=2 {
            let (status, answer) = post(&router, "/mutate", review("u", &object, None).to_string()).await;
            assert_eq!(status, StatusCode::OK, "{}: {answer}", case.title());
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer["response"]["allowed"], json!(true), "{}", case.title());
            if let Some(patch) = answer["response"]["patch"].as_str() {
                assert_eq!(round, 1, "{}: patched again", case.title());
                assert_eq!(answer["response"]["patchType"], json!("JSONPatch"));
                json_patch::patch(&mut object, &decoded(patch)).unwrap();
            }
        }
        let mut direct = case.object();
        defaults().apply(&mut direct);
        assert_eq!(object, direct, "{}", case.title());
    }
}

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
async fn a_spec_of_junk_is_refused_by_its_length_and_never_taken_apart() {
    let router = webhook::router(defaults(), &Metrics::new().webhooks);
    let junk = format!("[{}{{}}]", "{},".repeat(300_000));
    let review =
        review("u", &broken(), None).to_string().replace("{\"image\":\"Redis:7\"}", &format!("{{\"x\":{junk}}}"));
    assert!(review.len() > 900_000);
    let (_, answer) = post(&router, "/mutate", review.clone()).await;
    assert!(answer.contains("\"allowed\":true") && !answer.contains("patch"), "{answer:.200}");
    let (_, answer) = post(&router, "/validate", review).await;
    assert!(answer.contains("Too long: may not be more than 65536 bytes"), "{answer:.200}");
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
async fn at_most_twenty_faults_are_listed_and_the_rest_counted() {
    let config: serde_json::Map<String, Value> = (0..50).map(|n| (format!("tls-{n:02}"), json!("x"))).collect();
    let object = json!({"metadata": {"name": "cache"}, "spec": {"config": config}});
    let (_, answer) = post(
        &webhook::router(defaults(), &Metrics::new().webhooks),
        "/validate",
        review("u", &object, None).to_string(),
    )
    .await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let causes = answer["response"]["status"]["details"]["causes"].as_array().unwrap().clone();
    assert_eq!((causes.len(), causes[20]["message"].as_str().unwrap()), (21, "and 30 more faults"));
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

/// What the validating webhook says to this object as a new one and as a change of itself with another image.
async fn refusals(object: &Value) -> [Vec<Value>; 2] {
    let router = webhook::router(defaults(), &Metrics::new().webhooks);
    let mut other = object.clone();
    other["spec"]["image"] = json!("redis:7.4");
    let mut causes = [Vec::new(), Vec::new()];
    for (causes, review) in causes.iter_mut().zip([review("u", object, None), review("u", &other, Some(object))]) {
        let (code, answer) = post(&router, "/validate", review.to_string()).await;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{code} {answer}"));
        let listed = answer["response"]["status"]["details"]["causes"].as_array().cloned();
        *causes = listed.unwrap_or_default();
    }
    causes
}

fn of_spec(spec: &Value) -> Value {
    json!({"metadata": {"name": "cache"}, "spec": spec})
}

#[tokio::test]
async fn a_list_longer_than_the_schema_allows_is_refused_by_its_length_alone() {
    let tolerations = vec![json!({}); 20_000];
    let constraints: Vec<Value> = (0..2_500).map(|n| json!({"topologyKey": format!("{n:x}")})).collect();
    for (field, list) in [("tolerations", tolerations), ("topologySpreadConstraints", constraints)] {
        for causes in refusals(&of_spec(&json!({"pod": {field: list}}))).await {
            assert_eq!(causes.len(), 1, "{causes:?}");
            assert_eq!(causes[0]["field"], format!("spec.pod.{field}"));
            assert_eq!(causes[0]["message"], "Too many: must have at most 32 items");
        }
    }
}

#[tokio::test]
async fn checks_stop_at_a_bound_of_faults() {
    let expressions = vec![json!({"key": "a", "operator": "In", "values": vec!["!"; 32]}); 8];
    let term = json!({"topologyKey": "a", "labelSelector": {"matchExpressions": expressions}});
    let affinity = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": vec![term; 32]}});
    let names: serde_json::Map<String, Value> = (0..256).map(|n| (format!("unknown-{n:03}"), json!("1"))).collect();
    for spec in [json!({"pod": {"affinity": affinity}}), json!({"config": names, "image": "team/cache:blue"})] {
        for causes in refusals(&of_spec(&spec)).await {
            assert_eq!((causes.len(), &causes[20]["message"]), (21, &json!("and at least 44 more faults")));
        }
    }
}

#[tokio::test]
async fn an_answer_repeats_no_more_of_a_review_than_a_line() {
    let router = webhook::router(defaults(), &Metrics::new().webhooks);
    let long = "A".repeat(1 << 20);
    let mut named = review("u", &broken(), None);
    named["request"]["object"]["metadata"]["name"] = json!(long);
    let mut numbered = review("u", &broken(), None);
    numbered["request"]["uid"] = json!(long);
    let malformed = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": long});
    let variant = review("u", &of_spec(&json!({"storage": {"retention": "x\n\u{1b}[31mERROR forged line"}})), None);
    for body in [named, numbered, malformed, variant] {
        let (_, answer) = post(&router, "/validate", body.to_string()).await;
        assert!(answer.len() < 2048, "{} bytes", answer.len());
        assert!(!answer.trim_end().contains(['\n', '\u{1b}']), "{answer:?}");
    }
}
