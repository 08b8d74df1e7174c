//! The operator's pod is taken away in the middle of a creation on a real cluster: by SIGKILL, and by an ordinary deletion.

mod common;

use common::cluster::{Place, eventually, instance};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use redis_operator::api::v1::Phase;
use serde::de::DeserializeOwned;
use serde_json::json;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_operator_that_is_taken_away_leaves_no_trace_in_what_is_created() {
    for (way, deletion) in [("killed", DeleteParams::default().grace_period(0)), ("deleted", DeleteParams::default())] {
        let place = Place::new(way).await;
        let operators: Api<Pod> = Api::namespaced(place.client.clone(), "redis-operator-system");
        let old = only_pod(&operators).await;
        // A ready pod is not yet a reachable one: the Service's routes follow a moment later.
        eventually("admission that answers", || async {
            let dry = PostParams { dry_run: true, ..PostParams::default() };
            place.api().create(&dry, &instance("probe", json!({}))).await.ok()
        })
        .await;
        for n in 0..3 {
            place.create(&format!("cache-{n}"), json!({})).await.unwrap();
        }
        operators.delete(&old, &deletion).await.unwrap();
        for n in 0..3 {
            place.reaches(&format!("cache-{n}"), Phase::Running).await;
        }
        assert_eq!(count::<ConfigMap>(&place).await, 3, "{way}");
        assert_eq!(count::<Secret>(&place).await, 3, "{way}");
        assert_eq!(count::<Service>(&place).await, 6, "{way}");
        assert_eq!(count::<StatefulSet>(&place).await, 3, "{way}");
        assert_eq!(count::<PersistentVolumeClaim>(&place).await, 3, "{way}");
        assert_eq!(count::<Pod>(&place).await, 3, "{way}");
        let mut redis = place.connect("cache-2").await;
        assert_eq!(redis.ask(&format!("AUTH {}", place.password("cache-2").await)).await, "+OK");
        place.leave().await;
    }
}

/// The name of the operator's pod, once there is just one and it is ready: admission answers again.
async fn only_pod(operators: &Api<Pod>) -> String {
    eventually("one ready operator", || async {
        let mut pods = operators.list(&ListParams::default()).await.unwrap().items;
        let pod = pods.pop().filter(|_| pods.is_empty())?;
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        let ready =
            conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        ready.then(|| pod.name_any())
    })
    .await
}

async fn count<K>(place: &Place) -> usize
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let ours = ListParams::default().labels("redis.github.com/instance");
    place.api::<K>().list(&ours).await.unwrap().items.len()
}
