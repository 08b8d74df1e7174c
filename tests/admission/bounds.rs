//! Bounds of what a review costs and of what its answer repeats.

use redis_operator::{metrics::Metrics, webhook};
use serde_json::{Value, json};

use super::{broken, defaults, post, review};

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
