//! Two operators that are their own CA: they agree on one authority, and they replace whatever is deleted, damaged or expired, while
//! callers that trust the webhook configurations are answered. On a real API server without a node.

mod common;
#[path = "control_plane_certificates/fixture.rs"]
mod fixture;

use std::fmt::Debug;

use common::{
    account::admit,
    certificates::{expired_leaf, old_authority},
    cluster::{Place, eventually},
    operator::{Launch, Operator},
};
use fixture::{Caller, Fixture};
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        core::v1::Secret,
    },
};
use kube::{
    Api, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const NAME: &str = "redis-operator";

const SECRET: &str = "redis-operator-webhook-cert";

/// The configurations judge nothing but what is in `home`: other tests' instances are none of theirs.
fn arguments(home: &Place) -> Vec<String> {
    vec![
        "--certificates=self-managed".to_owned(),
        format!("--namespace={}", home.namespace),
        format!("--watch-namespaces={}", home.namespace),
    ]
}

async fn configuration(place: &Place) -> Option<Value> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(place.client.clone());
    Some(serde_json::to_value(api.get_opt(NAME).await.unwrap()?).unwrap())
}

/// The caBundle, PEM.
async fn trusted(place: &Place) -> Option<String> {
    let configuration = configuration(place).await?;
    let coded = configuration.pointer("/webhooks/0/clientConfig/caBundle")?.clone();
    Some(String::from_utf8(serde_json::from_value::<ByteString>(coded).unwrap().0).unwrap())
}

async fn delete<
    K: Resource<Scope = kube::core::ClusterResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
>(
    place: &Place,
) {
    Api::<K>::all(place.client.clone()).delete(NAME, &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn two_operators_agree_on_one_authority_and_replace_what_is_lost_or_damaged() {
    let fixture = Fixture::new().await;
    let first = eventually("a certificate", || fixture.text("tls.crt")).await;
    fixture.both_show(&first).await;
    assert_eq!(fixture.text("tls.crt").await.unwrap(), first, "the second operator took the existing certificate");
    for operator in &fixture.operators {
        let log = operator.log();
        assert!(!log.contains("PRIVATE") && log.contains("serving the admission webhooks"), "{log}");
    }

    let caller = Caller::begin(&fixture);
    fixture.home.delete::<Secret>(SECRET).await;
    let second =
        eventually("another certificate", || async { fixture.text("tls.crt").await.filter(|chain| *chain != first) })
            .await;
    fixture.both_show(&second).await;
    let failures = caller.end().await;
    assert!(failures.is_empty(), "a lost Secret costs no caller anything: {failures:?}");

    // A leaf that ran out never gets to be shown.
    let caller = Caller::begin(&fixture);
    let (ca, key) = (fixture.text("ca.crt").await.unwrap(), fixture.text("ca.key").await.unwrap());
    let (chain, leaf_key) = expired_leaf(&ca, &key, &fixture.home.namespace);
    fixture.write(&[("tls.crt", &chain), ("tls.key", &leaf_key)]).await;
    let third = eventually("a certificate in place of the expired one", || async {
        fixture.text("tls.crt").await.filter(|text| *text != chain)
    })
    .await;
    fixture.both_show(&third).await;
    let failures = caller.end().await;
    assert!(failures.is_empty(), "a leaf that ran out costs no caller anything: {failures:?}");

    // An authority near its end: a new one, and both are trusted until the leaves of the old one are gone.
    let caller = Caller::begin(&fixture);
    let (old, old_key) = old_authority();
    fixture.write(&[("ca.crt", &old), ("ca.key", &old_key)]).await;
    let fourth = eventually("a certificate by a new authority", || async {
        fixture.text("tls.crt").await.filter(|text| *text != third)
    })
    .await;
    fixture.both_show(&fourth).await;
    let failures = caller.end().await;
    assert!(failures.is_empty(), "a new authority costs no caller anything: {failures:?}");
    fixture.leave().await;
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn webhook_configurations_that_are_damaged_or_deleted_are_put_right() {
    let fixture = Fixture::new().await;
    let chain = eventually("a certificate", || fixture.text("tls.crt")).await;
    fixture.both_show(&chain).await;
    let whole = configuration(&fixture.home).await.unwrap();
    let (good, report) = checked(fixture.operators[0].webhook_port);
    assert!(good && report.matches("answers a review in").count() == 2, "{report}");
    let service = checked_as_is();
    assert!(service.contains("FAULT  ") && service.contains("does not exist"), "{service}");

    let damaged = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": ""}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(damaged).unwrap());
    let api: Api<ValidatingWebhookConfiguration> = Api::all(fixture.home.client.clone());
    api.patch(NAME, &PatchParams::default(), &patch).await.unwrap();
    fixture.both_show(&chain).await;
    let stranger = fixture.operators[0].admin_port;
    let (good, report) = checked(stranger);
    assert!(!good && report.contains("FAULT  validate.redis.github.com: 127.0.0.1:"), "no TLS there: {report}");

    // Emptied, as by half a file that was applied: the API server would call no webhook.
    let emptied = Patch::Merge(json!({"webhooks": []}));
    api.patch(NAME, &PatchParams::default(), &emptied).await.unwrap();
    fixture.both_show(&chain).await;
    assert_eq!(configuration(&fixture.home).await.unwrap()["webhooks"], whole["webhooks"]);

    delete::<MutatingWebhookConfiguration>(&fixture.home).await;
    delete::<ValidatingWebhookConfiguration>(&fixture.home).await;
    fixture.both_show(&chain).await;
    let back = configuration(&fixture.home).await.unwrap();
    assert_eq!(back["webhooks"], whole["webhooks"]);
    let owner = &back["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["name"]), (&json!("ClusterRole"), &json!("redis-operator-webhooks")));
    let api: Api<MutatingWebhookConfiguration> = Api::all(fixture.home.client.clone());
    eventually("the defaulting webhook's configuration", || async { api.get_opt(NAME).await.unwrap() }).await;
    fixture.leave().await;
}

/// What `check-webhook` says of a webhook at this port, and whether it finds no fault.
fn checked(port: u16) -> (bool, String) {
    check_webhook(&[format!("--connect=127.0.0.1:{port}")])
}

fn checked_as_is() -> String {
    check_webhook(&[]).1
}

fn check_webhook(arguments: &[String]) -> (bool, String) {
    let program = env!("CARGO_BIN_EXE_redis-operator");
    let output = std::process::Command::new(program).arg("check-webhook").args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn what_cert_manager_keeps_is_left_to_it() {
    let home = Place::with_crd("home").await;
    let kept = json!({"metadata": {"name": SECRET, "annotations": {"cert-manager.io/certificate-name": "webhook"}},
        "type": "kubernetes.io/tls", "stringData": {"tls.crt": "", "tls.key": ""}});
    home.put::<Secret>(kept).await;
    let api: Api<ValidatingWebhookConfiguration> = Api::all(home.client.clone());
    if api.get_opt(NAME).await.unwrap().is_none() {
        let configuration = serde_json::from_value(json!({"metadata": {"name": NAME}})).unwrap();
        api.create(&PostParams::default(), &configuration).await.unwrap();
    }
    admit(&home, &home).await;
    let operator = Operator::launch(&home, Launch { arguments: arguments(&home), ..Launch::default() }).await;
    operator.says("is kept by cert-manager; start the operator with --certificates=provided").await;
    let secret: Secret = home.api().get(SECRET).await.unwrap();
    assert!(secret.data.unwrap().values().all(|bytes| bytes.0.is_empty()));
    assert!(secret.metadata.managed_fields.unwrap_or_default().len() == 1, "no other client wrote it");
    drop(operator);
    delete::<ValidatingWebhookConfiguration>(&home).await;
    home.leave().await;
}
