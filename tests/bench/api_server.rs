//! What the webhooks add to a request, by the API server's own clock: its audit log, with and without them.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    common::{
        audit,
        cluster::{Place, eventually, instance},
        operator::Operator,
    },
    figures,
    webhook::Authority,
};

/// Dry-run creations a series.
const REQUESTS: usize = 500;
/// Dry-run creations a second, where they come at their time.
const PACE: u32 = 100;

/// Prints how long creations take at the API server without our webhooks, accepted with them, and refused by them.
pub(crate) async fn added_latency(place: &Place, operator: &Operator, authority: &Authority) {
    println!(
        "\nat the API server (audit log: request received to answered), {REQUESTS} dry-run creations one after another"
    );
    let good = json!({"image": "redis:7.2.5", "config": {"maxmemory": "100mb"}});
    let bad = json!({"image": "Redis:7", "storage": {"size": "10GiB"}, "config": {"requirepass": "x"}});
    series(place, &good, 201).await;
    println!("  without webhooks         {}", figures::quantiles(series(place, &good, 201).await));
    println!("  without, {PACE} a second    {}", figures::quantiles(paced(place, &good).await));
    let (mutating, validating) = configurations(operator, authority);
    let client = &place.client;
    let (mutators, validators) = (Api::all(client.clone()), Api::all(client.clone()));
    mutators.create(&PostParams::default(), &mutating).await.unwrap();
    validators.create(&PostParams::default(), &validating).await.unwrap();
    eventually("refusal by the webhook", || async {
        place.api().create(&dry_run(), &instance("probe", bad.clone())).await.is_err().then_some(())
    })
    .await;
    println!("  accepted, both webhooks  {}", figures::quantiles(series(place, &good, 201).await));
    println!("  both, {PACE} a second       {}", figures::quantiles(paced(place, &good).await));
    println!("  refused with 3 faults    {}", figures::quantiles(series(place, &bad, 422).await));
    mutators.delete("bench", &DeleteParams::default()).await.unwrap();
    validators.delete("bench", &DeleteParams::default()).await.unwrap();
}

fn dry_run() -> PostParams {
    PostParams { dry_run: true, ..PostParams::default() }
}

/// Creations that come at their time, whether those before them were answered or not.
async fn paced(place: &Place, spec: &Value) -> Vec<f64> {
    let begun = Timestamp::now();
    let object = instance("measured", spec.clone());
    let mut beat = tokio::time::interval(Duration::from_secs(1) / PACE);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..REQUESTS * 2 {
        beat.tick().await;
        let (api, object) = (place.api(), object.clone());
        asked.spawn(async move { drop(api.create(&dry_run(), &object).await) });
    }
    asked.join_all().await;
    answered(begun, 201, REQUESTS * 2).await
}

async fn series(place: &Place, spec: &Value, code: u64) -> Vec<f64> {
    let begun = Timestamp::now();
    let object = instance("measured", spec.clone());
    for _ in 0..REQUESTS {
        drop(place.api().create(&dry_run(), &object).await);
    }
    answered(begun, code, REQUESTS).await
}

/// How long so many creations took, once the audit log contains all of them.
async fn answered(begun: Timestamp, code: u64, count: usize) -> Vec<f64> {
    eventually("audit log of the series", || async {
        let measured = |entry: &audit::Entry| {
            entry.verb() == "create" && entry.resource() == "redisinstances" && entry.code() == code
        };
        let samples: Vec<f64> =
            audit::since(begun).iter().filter(|entry| measured(entry)).map(audit::Entry::milliseconds).collect();
        (samples.len() >= count).then_some(samples)
    })
    .await
}

/// The configurations of `manifests/`, pointed at this process instead of a Service.
pub(crate) fn configurations(
    operator: &Operator,
    authority: &Authority,
) -> (MutatingWebhookConfiguration, ValidatingWebhookConfiguration) {
    let webhook = |path: &str, operations: &[&str]| {
        let bundle = k8s_openapi::ByteString(authority.ca.clone().into_bytes());
        json!({
            "name": format!("{path}.redis.github.com"), "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 5,
            "clientConfig": {"url": format!("https://127.0.0.1:{}/{path}", operator.webhook_port), "caBundle": bundle},
            "rules": [{"apiGroups": ["redis.github.com"], "apiVersions": ["v1"], "operations": operations, "resources": ["redisinstances"]}],
        })
    };
    let of = |path: &str| json!({"metadata": {"name": "bench"}, "webhooks": [webhook(path, &["CREATE", "UPDATE"])]});
    (serde_json::from_value(of("mutate")).unwrap(), serde_json::from_value(of("validate")).unwrap())
}
