//! Children that another client edits or deletes: the operator restores them and restarts nothing.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod, Service},
};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    runtime::wait::conditions::is_pod_running,
};
use redis_operator::api::v1::Phase;
use serde_json::json;

use crate::common::cluster::Place;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn children_that_another_client_changes_or_deletes_are_restored() {
    let place = Place::new("drift").await;
    place.create_running("cache", json!({})).await;
    let pod = place.api::<Pod>().get("cache-0").await.unwrap().uid();

    let edit = Patch::Merge(json!({"metadata": {"labels": {"theirs": "stays"}}, "spec": {"ports": null}}));
    drop(place.api::<Service>().patch("cache", &PatchParams::default(), &edit).await);
    let edit =
        Patch::Merge(json!({"metadata": {"labels": {"theirs": "stays"}}, "spec": {"selector": {"app": "wrong"}}}));
    place.api::<Service>().patch("cache", &PatchParams::default(), &edit).await.unwrap();
    let restored = |service: Option<&Service>| {
        service.is_some_and(|service| {
            let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
            selector.get("app").is_some_and(|app| app == "redis") && service.labels().contains_key("theirs")
        })
    };
    place.until("cache", "restored selector", restored).await;

    place.delete::<ConfigMap>("cache").await;
    place.delete::<Service>("cache-pods").await;
    place.until("cache", "ConfigMap again", |map: Option<&ConfigMap>| map.is_some()).await;
    place.until("cache-pods", "Service again", |service: Option<&Service>| service.is_some()).await;
    place
        .api::<StatefulSet>()
        .delete(
            "cache",
            &DeleteParams { propagation_policy: Some(kube::api::PropagationPolicy::Orphan), ..DeleteParams::default() },
        )
        .await
        .unwrap();
    place
        .until("cache", "adopted pod", |set: Option<&StatefulSet>| {
            set.and_then(|set| set.status.as_ref()).is_some_and(|status| status.ready_replicas == Some(1))
        })
        .await;
    place.reaches("cache", Phase::Running).await;
    let now = place.until("cache-0", "running pod", is_pod_running()).await.unwrap();
    assert_eq!(now.uid(), pod, "a StatefulSet that was deleted without its pods takes them back");
    place.leave().await;
}
