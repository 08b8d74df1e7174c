//! Each case of `tests/data/admission.yaml`, as pure functions and through the router.

use axum::http::StatusCode;
use redis_operator::{api::v1::RedisInstance, domain::judgement::judge, metrics::Metrics, webhook};
use serde_json::{Value, json};

use super::{decoded, defaults, post, review};
use crate::common::admission_table::{Case, cases};

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
