//! Certificates of cert-manager's own controllers: issued, injected, and renewed while the API server calls.

mod common;

use std::time::Instant;

use common::{
    cluster::{Place, eventually},
    crowd::Crowd,
    deployed,
};
use k8s_openapi::{
    ByteString,
    api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Secret},
};
use kube::{Api, api::DeleteParams};

#[tokio::test]
#[ignore = "needs a cluster with the operator and cert-manager"]
async fn a_renewal_by_cert_manager_costs_no_caller_anything() {
    let place = Place::new("renewal").await;
    let client = place.client.clone();
    deployed::settled(&client).await;
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let bundle = |found: ValidatingWebhookConfiguration| found.webhooks?.first()?.client_config.ca_bundle.clone();
    let injected = bundle(configurations.get("redis-operator").await.unwrap()).expect("a caBundle from the injector");
    assert!(!injected.0.is_empty());

    let secrets: Api<Secret> = Api::namespaced(client.clone(), deployed::SYSTEM);
    let chain = || async { secrets.get_opt("redis-operator-webhook-cert").await.unwrap()?.data?.remove("tls.crt") };
    let first: ByteString = chain().await.unwrap();
    let before = deployed::reloads(&client).await;
    let crowd = Crowd::begin(&place);
    let begun = Instant::now();
    secrets.delete("redis-operator-webhook-cert", &DeleteParams::default()).await.unwrap();
    eventually("another certificate", || async { chain().await.filter(|issued| *issued != first) }).await;
    // The kubelet brings it into the pods when it next looks, and then the operator takes it up.
    tokio::select! {
        () = deployed::reloaded(&client, &before) => {}
        () = deployed::remount(&client) => {}
    }
    eprintln!("issued again to shown: {:.1} s", begun.elapsed().as_secs_f64());
    crowd.goes_on(200).await;
    let failures = crowd.end("a renewal by cert-manager").await;
    assert!(failures.is_empty(), "{failures:?}");
    place.leave().await;
}
