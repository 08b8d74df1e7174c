//! How fast it is: the webhooks over TLS, what they add to a request at the API server, and many instances at once; from
//! creation to a serving Redis. Run by `just bench`, first on a control plane without a node, then on a whole cluster
//! with the operator deployed. Every figure stands beside the machine's load. Asserts nothing.
//!
//! Arguments name the parts to run, `webhooks`, `limits`, `admission` or `scale`; without one, all are.

mod admission;
mod api_server;
#[path = "../common/mod.rs"]
mod common;
mod figures;
#[path = "../webhook_tls/fixture.rs"]
#[expect(dead_code, reason = "the tests of the webhooks use all of it")]
mod fixture;
mod hostile;
mod limits;
mod nginx;
mod nodes;
mod process;
mod ready;
mod scale;
mod webhook;

use std::sync::Arc;

use common::{
    cluster::{Place, eventually},
    manifests::crd,
    operator::Operator,
};
use k8s_openapi::{
    api::apps::v1::Deployment, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use redis_operator::api::v1::RedisInstance;

#[tokio::main]
async fn main() {
    let place = Place::new("bench").await;
    let deployed: Api<Deployment> = Api::namespaced(place.client.clone(), "redis-operator-system");
    if deployed.get_opt("redis-operator").await.unwrap().is_some() {
        ready::creations(&place).await;
    } else {
        Box::pin(control_plane(&place)).await;
    }
    place.leave().await;
}

/// What needs no node: the operator runs beside the API server.
async fn control_plane(place: &Place) {
    let definitions: Api<CustomResourceDefinition> = Api::all(place.client.clone());
    let name = "redisinstances.redis.github.com";
    definitions.patch(name, &PatchParams::apply("bench").force(), &Patch::Apply(crd())).await.unwrap();
    eventually("established CRD", || async { place.api::<RedisInstance>().list(&ListParams::default()).await.ok() })
        .await;
    println!("{}", figures::machine());
    if asked_for("webhooks") {
        webhooks(place).await;
    }
    if asked_for("limits") {
        limits::measure(place, &Arc::new(webhook::Authority::new())).await;
    }
    if asked_for("admission") {
        Box::pin(admission::measure(place)).await;
    }
    if asked_for("scale") {
        Box::pin(scale::measure(place)).await;
    }
}

/// Whether the command line names this part, or none.
fn asked_for(part: &str) -> bool {
    let parts: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    parts.is_empty() || parts.iter().any(|named| named == part)
}

/// What judges, without a network; the webhooks, alone and behind the API server.
async fn webhooks(place: &Place) {
    process::typical().await;
    process::hostile();
    let authority = Arc::new(webhook::Authority::new());
    let operator = Operator::start(place, &authority.certificate, &authority.key).await;
    operator.says("serving the admission webhooks").await;
    webhook::round_trips(&operator, &authority).await;
    webhook::paced(&operator, &authority).await;
    hostile::junk(&operator, &authority).await;
    hostile::slow_clients(&operator, &authority).await;
    api_server::added_latency(place, &operator, &authority).await;
}
