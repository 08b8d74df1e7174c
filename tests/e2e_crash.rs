//! The operator's pod is taken away in the middle of a creation on a real cluster: by SIGKILL, and by an ordinary deletion.

mod common;

use common::{
    cluster::{Namespaced, Place},
    deployed,
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
};
use kube::api::{DeleteParams, ListParams};
use redis_operator::api::v1::Phase;
use serde_json::json;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_operator_that_is_taken_away_leaves_no_trace_in_what_is_created() {
    for (way, deletion) in [("killed", DeleteParams::default().grace_period(0)), ("deleted", DeleteParams::default())] {
        let place = Place::new(way).await;
        let old = deployed::settled(&place.client).await;
        for n in 0..3 {
            place.create(&format!("cache-{n}"), json!({})).await.unwrap();
        }
        deployed::pods(&place.client).delete(&old, &deletion).await.unwrap();
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

async fn count<K: Namespaced>(place: &Place) -> usize {
    let ours = ListParams::default().labels("redis.github.com/instance");
    place.api::<K>().list(&ours).await.unwrap().items.len()
}
