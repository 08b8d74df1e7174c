//! An instance that this operator cannot read, as one of a later release after a downgrade. A file of its own, because it takes the
//! operator and its webhooks away from everybody.

mod common;

use common::{
    cluster::{Place, eventually},
    deployed::{remove, scale, settled},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    core::DeserializeGuard,
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_instance_that_cannot_be_read_has_failover_and_can_be_corrected() {
    let place = Place::new("later").await;
    let client = place.client.clone();
    settled(&client).await;
    let members = place.create_cache(3, json!({})).await;
    let primary = members.one_takes_writes().await;
    assert_eq!(members.ask(&primary, "SET order 4711").await, "+OK");

    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let values =
        "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/replication/properties/durability/enum";
    change(&crds, json!([{"op": "add", "path": format!("{values}/0"), "value": "OfALaterRelease"}])).await;
    remove(&client).await;
    let later = Patch::Merge(json!({"spec": {"replication": {"durability": "OfALaterRelease"}}}));
    // The API server may still know the schema of before.
    eventually("instance of a later release", || async {
        let instances = place.api::<DeserializeGuard<RedisInstance>>();
        instances.patch("cache", &PatchParams::default(), &later).await.ok()
    })
    .await;
    scale(&client, 2).await;
    settled(&client).await;

    members.signal(&primary, "KILL").await;
    // The status cannot be read by this test either.
    let next = eventually("another primary by its label", || async {
        let labelled = members.labelled_primary().await;
        labelled.iter().map(ResourceExt::name_any).find(|name| *name != primary)
    })
    .await;
    assert_eq!(members.ask(&next, "GET order").await, "4711");

    place.change("cache", json!({"replication": {"durability": null}, "config": {"hz": "20"}})).await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(members.ask(&next, "CONFIG GET hz").await, "hz 20");
    change(&crds, json!([{"op": "remove", "path": format!("{values}/0")}])).await;
    place.leave().await;
}

async fn change(crds: &Api<CustomResourceDefinition>, operations: Value) {
    let patch: json_patch::Patch = serde_json::from_value(operations).unwrap();
    let name = "redisinstances.redis.github.com";
    crds.patch(name, &PatchParams::default(), &Patch::Json::<()>(patch)).await.unwrap();
}
