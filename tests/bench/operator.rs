//! How fast it is: the webhooks over TLS, what they add to a request at the API server, and a hundred instances at once.
//! Run by `just bench`, first on a control plane without a node, then on a whole cluster with the operator deployed.
//! Every figure stands beside the machine's load. Asserts nothing.

mod api_server;
#[path = "../common/mod.rs"]
mod common;
mod figures;
mod ready;
mod storm;
mod webhook;

use common::{
    cluster::{Place, eventually},
    operator::{Operator, crd},
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
        control_plane(&place).await;
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

    let authority = webhook::Authority::new();
    let operator = Operator::start(place, &authority.certificate, &authority.key).await;
    operator.says("serving the admission webhooks").await;
    operator.says("watches are synced").await;
    println!("{}", figures::machine());
    webhook::round_trips(&operator, &authority).await;
    api_server::added_latency(place, &operator, &authority).await;
    storm::hundred_instances(place, &operator).await;
}
