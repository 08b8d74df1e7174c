//! Two operators in a real cluster, which calls their webhooks: a rolling update, a leader that dies, certificates that are
//! lost, damaged or deleted. A file of its own, because it takes the operator away from everybody.

mod common;

use std::time::Instant;

use common::{
    certificates::{expired_leaf, foreign_authority},
    cluster::{Place, eventually, instance},
    crowd::{Crowd, Patient},
    deployed,
};
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        core::v1::Secret,
    },
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use redis_operator::api::v1::Phase;
use serde_json::json;
use tokio::sync::Mutex;

const NAME: &str = "redis-operator";
/// Each of these tests does to the operators what the others cannot bear.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn two_operators_lose_no_admission_and_no_work_whatever_happens_to_one_of_them() {
    let _alone = ALONE.lock().await;
    let place = Place::new("operators").await;
    let client = place.client.clone();
    let before = deployed::settled(&client).await;
    place.create("before", json!({})).await.unwrap();
    place.reaches("before", Phase::Running).await;

    let crowd = Crowd::begin(&place);
    crowd.goes_on(200).await;
    deployed::restart(&client, &place.namespace).await;
    let after = deployed::settled(&client).await;
    crowd.goes_on(200).await;
    let failures = crowd.end("a rolling update of the operator").await;
    assert!(failures.is_empty(), "{failures:?}");
    assert_ne!(before, after);

    let patient = Patient::begin(&place);
    let died = Instant::now();
    deployed::pods(&client).delete(&after, &DeleteParams::default().grace_period(0)).await.unwrap();
    eventually("creation after the leader died", || async { place.create("orphan", json!({})).await.ok() }).await;
    place.reaches("orphan", Phase::Running).await;
    eprintln!("the leader's pod killed to an instance Running under the next: {:.1} s", died.elapsed().as_secs_f64());
    assert_ne!(deployed::settled(&client).await, after);
    patient.goes_on(100).await;
    patient.met_at_most_one_failure("the leader killed").await;

    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn certificates_that_are_lost_damaged_or_deleted_are_put_right_under_load() {
    let _alone = ALONE.lock().await;
    let place = Place::new("certificates").await;
    let client = place.client.clone();
    deployed::settled(&client).await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), deployed::SYSTEM);
    let shown = || async { secrets.get_opt("redis-operator-webhook-cert").await.unwrap()?.data?.remove("tls.crt") };
    let first = shown().await.unwrap();
    let before = deployed::reloads(&client).await;

    let crowd = Crowd::begin(&place);
    secrets.delete("redis-operator-webhook-cert", &DeleteParams::default()).await.unwrap();
    eventually("another certificate", || async { shown().await.filter(|chain| *chain != first) }).await;
    deployed::reloaded(&client, &before).await;
    crowd.goes_on(100).await;
    let failures = crowd.end("the Secret of the certificates deleted").await;
    assert!(failures.is_empty(), "{failures:?}");

    let (second, before) = (shown().await.unwrap(), deployed::reloads(&client).await);
    let crowd = Crowd::begin(&place);
    let garbage = json!({"stringData": {"tls.crt": "damaged"}});
    let secret = "redis-operator-webhook-cert";
    secrets.patch(secret, &PatchParams::default(), &Patch::Merge(garbage)).await.unwrap();
    eventually("a certificate in place of the damaged one", || async {
        shown().await.filter(|chain| *chain != second && chain.0.starts_with(b"-----BEGIN"))
    })
    .await;
    deployed::reloaded(&client, &before).await;
    let failures = crowd.end("the Secret of the certificates damaged").await;
    assert!(failures.is_empty(), "{failures:?}");

    let crowd = Crowd::begin(&place);
    let (third, before) = (secrets.get(secret).await.unwrap().data.unwrap(), deployed::reloads(&client).await);
    let text = |key: &str| std::str::from_utf8(&third[key].0).unwrap();
    let (chain, key) = expired_leaf(text("ca.crt"), text("ca.key"), deployed::SYSTEM);
    let expired = json!({"stringData": {"tls.crt": chain, "tls.key": key}});
    secrets.patch(secret, &PatchParams::default(), &Patch::Merge(expired)).await.unwrap();
    eventually("a certificate in place of the expired one", || async {
        shown().await.filter(|shown| shown.0 != chain.as_bytes())
    })
    .await;
    deployed::reloaded(&client, &before).await;
    let failures = crowd.end("a leaf that has run out").await;
    assert!(failures.is_empty(), "{failures:?}");

    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let patient = Patient::begin(&place);
    let foreign = ByteString(foreign_authority().into_bytes());
    let damaged = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": foreign}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(damaged).unwrap());
    let begun = Instant::now();
    validating.patch(NAME, &PatchParams::default(), &patch).await.unwrap();
    eventually("caBundle as it was", || async {
        let webhooks = validating.get(NAME).await.unwrap().webhooks?;
        (webhooks.first()?.client_config.ca_bundle.as_ref()? != &foreign).then_some(())
    })
    .await;
    deployed::admits(&client).await;
    eprintln!("caBundle replaced by another to admission again: {:.2} s", begun.elapsed().as_secs_f64());
    patient.goes_on(100).await;
    patient.met_at_most_one_failure("the caBundle replaced by another").await;

    let patient = Patient::begin(&place);
    let begun = Instant::now();
    Api::<MutatingWebhookConfiguration>::all(client.clone()).delete(NAME, &DeleteParams::default()).await.unwrap();
    validating.delete(NAME, &DeleteParams::default()).await.unwrap();
    bundled(&client).await;
    eventually("refusal of an invalid spec", || async {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        place.api().create(&dry, &instance("bad", json!({"config": {"maxmemroy": "1gb"}}))).await.err()
    })
    .await;
    eventually("defaults", || async {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        place.api().create(&dry, &instance("good", json!({}))).await.ok()?.spec.image
    })
    .await;
    eprintln!("webhook configurations deleted to both in force again: {:.2} s", begun.elapsed().as_secs_f64());
    patient.goes_on(100).await;
    patient.met_at_most_one_failure("the webhook configurations deleted").await;
    place.leave().await;
}

/// Waits until the validating webhook is registered with a caBundle.
async fn bundled(client: &Client) {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    eventually("caBundle", || async {
        let webhooks = api.get_opt(NAME).await.unwrap()?.webhooks?;
        webhooks.first()?.client_config.ca_bundle.as_ref().filter(|bundle| !bundle.0.is_empty()).map(|_| ())
    })
    .await;
}
