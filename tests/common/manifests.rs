//! The project's manifests as objects, and its CRD in the API server.

use std::{env, fs, path::Path};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use redis_operator::api::v1::RedisInstance;
use serde_json::Value;

use super::cluster::{Place, eventually};

/// Name of the CRD.
pub(crate) const DEFINITION: &str = "redisinstances.redis.github.com";

/// Makes our kind known to the API server.
pub(crate) async fn define(place: &Place) {
    let definitions: Api<CustomResourceDefinition> = Api::all(place.client.clone());
    definitions.patch(DEFINITION, &PatchParams::apply("test").force(), &Patch::Apply(crd())).await.unwrap();
    eventually("established CRD", || async { place.api::<RedisInstance>().list(&ListParams::default()).await.ok() })
        .await;
}

impl Place {
    /// A fresh namespace named after the test, in a cluster where our kind is known.
    pub(crate) async fn with_crd(test: &str) -> Self {
        let place = Self::new(test).await;
        define(&place).await;
        place
    }
}

/// The CRD as the project ships it.
pub(crate) fn crd() -> Value {
    manifest("crd.yaml")
}

/// The first object of a manifest.
pub(super) fn manifest(name: &str) -> Value {
    manifests(name).remove(0)
}

/// Every object of a manifest.
pub(crate) fn manifests(name: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests").join(name);
    let text = fs::read_to_string(file).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}
