//! What the operator writes into its log, beside a real API server without a node: nothing where nothing happened, and
//! nothing that is secret, however much is asked for.

mod common;

use std::{cell::Cell, time::Duration};

use common::{
    cluster::{Place, eventually},
    operator::{Launch, Operator},
};
use kube::api::{Patch, PatchParams};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;
use tokio::time::Instant;

const INSTANCES: usize = 5;
const RECONCILED: &str = "redis_operator_reconcile_duration_seconds_count{result=\"ok\"}";

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_reconcile_that_changes_nothing_says_nothing() {
    let place = Place::with_crd("quiet").await;
    let operator = Operator::reconciling_only(&place).await;
    for n in 0..INSTANCES {
        place.create(&format!("cache-{n}"), json!({})).await.unwrap();
    }
    for n in 0..INSTANCES {
        place.reaches(&format!("cache-{n}"), Phase::Pending).await;
    }
    settled(&operator).await;

    let (before, reconciled) = (operator.log(), operator.metric(RECONCILED).await);
    for round in 0..4 {
        for n in 0..INSTANCES {
            let touched = json!({"metadata": {"annotations": {"test/round": round.to_string()}}});
            let instances = place.api::<RedisInstance>();
            instances.patch(&format!("cache-{n}"), &PatchParams::default(), &Patch::Merge(touched)).await.unwrap();
        }
        // Calls that come while an instance waits for its turn are answered by one reconcile.
        let at_least = reconciled + f64::from((round + 1) * i32::try_from(INSTANCES).unwrap());
        eventually(&format!("{at_least} reconciles"), || async {
            (operator.metric(RECONCILED).await >= at_least).then_some(())
        })
        .await;
    }
    let log = operator.log();
    let said: Vec<&str> = log[before.len()..].lines().collect();
    assert!(said.is_empty(), "nothing changed, and yet: {said:#?}");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn each_line_of_a_reconcile_names_its_instance_and_the_reconcile() {
    let place = Place::with_crd("span").await;
    let operator = Operator::reconciling_only(&place).await;
    place.create("cache", json!({})).await.unwrap();
    place.reaches("cache", Phase::Pending).await;
    let log = operator.log();
    let created: Vec<&str> =
        log.lines().filter(|line| line.contains(&place.namespace) && line.contains("created")).collect();
    assert_eq!(created.len(), 5, "a line a child: {log}");
    for line in created {
        let span = line.split("reconcile{").nth(1).and_then(|rest| rest.split('}').next()).unwrap_or_default();
        let names = ["instance=\"cache\"", "namespace=", "generation=1", "reconcile_id="];
        assert!(names.iter().all(|name| span.contains(name)), "{line}");
        assert_eq!(line.matches('{').count(), 1, "one span: {line}");
    }
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn nothing_secret_is_logged_at_any_level() {
    let place = Place::with_crd("secrets").await;
    let operator = Operator::launch(&place, Launch { log_filter: "trace", ..Launch::default() }).await;
    let given = "a-password-that-was-chosen";
    place.put_password("chosen", given).await;
    place.create("generated", json!({})).await.unwrap();
    place.create("chosen", json!({"auth": {"secretName": "chosen"}})).await.unwrap();
    place.reaches("generated", Phase::Pending).await;
    place.reaches("chosen", Phase::Pending).await;

    let password = place.password("generated").await;
    let log = operator.log();
    assert!(log.contains("TRACE") && log.contains("generated-auth"), "the log has not everything: {log}");
    let (_, signature) = operator.token.rsplit_once('.').unwrap();
    for secret in [&password, given, &base64(&password), &base64(given), signature] {
        let quoted: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(quoted.is_empty(), "{secret} is in the log: {quoted:#?}");
    }
    place.leave().await;
}

/// As a Secret carries it.
fn base64(text: &str) -> String {
    let encoded = serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap();
    encoded.as_str().unwrap().to_owned()
}

/// Waits until the operator has reconciled nothing for two seconds.
async fn settled(operator: &Operator) {
    let last = Cell::new((operator.metric(RECONCILED).await, Instant::now()));
    eventually("two seconds without a reconcile", || async {
        let count = operator.metric(RECONCILED).await;
        if count > last.get().0 {
            last.set((count, Instant::now()));
        }
        (last.get().1.elapsed() > Duration::from_secs(2)).then_some(())
    })
    .await;
}
