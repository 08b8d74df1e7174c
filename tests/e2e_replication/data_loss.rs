//! Killed servers, deleted pods, volumes and instances: no pod with fewer data becomes the primary.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{ResourceExt, api::DeleteParams};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

use crate::common::cluster::{Place, eventually};

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn no_accident_replaces_data_by_less() {
    let place = Place::new("accident").await;
    let members = place.create_cache(3, json!({})).await;
    let all = ["cache-0", "cache-1", "cache-2"];
    let primary = members.primary().await.unwrap();
    assert_eq!(members.ask(&primary, "SET order 4711").await, "+OK");
    let kept = |what: &'static str| {
        let (place, members) = (&place, &members);
        async move {
            place.reaches("cache", Phase::Running).await;
            for pod in all {
                eventually(&format!("data in {pod} after {what}"), || async {
                    members.try_ask(pod, "GET order").await.filter(|held| held == "4711")
                })
                .await;
            }
        }
    };
    kept("the beginning").await;

    for pod in all {
        members.signal(pod, "KILL").await;
    }
    kept("all servers were killed").await;

    for pod in all {
        place.api::<Pod>().delete(pod, &DeleteParams::default().grace_period(0)).await.unwrap();
    }
    kept("all pods were deleted").await;

    for of_primary in [false, true] {
        let primary = members.primary().await.unwrap();
        let pod = all.into_iter().find(|pod| (*pod == primary) == of_primary).unwrap();
        let claim = format!("redis-data-{pod}");
        let uid = place.api::<PersistentVolumeClaim>().get(&claim).await.unwrap().uid();
        place.delete::<PersistentVolumeClaim>(&claim).await;
        place.delete::<Pod>(pod).await;
        place
            .until(&claim, "new claim", move |claim: Option<&PersistentVolumeClaim>| {
                claim.is_some_and(|claim| claim.uid() != uid)
            })
            .await;
        kept(if of_primary { "the primary's volume was deleted" } else { "a replica's volume was deleted" }).await;
    }

    // Two of three volumes go, and every server at the same time: of those that come back only one has the data.
    let primary = members.primary().await.unwrap();
    for pod in all.into_iter().filter(|pod| *pod != primary) {
        place.delete::<PersistentVolumeClaim>(&format!("redis-data-{pod}")).await;
    }
    let before = place.pod_uids().await;
    for pod in all {
        // The operator, which sees the claims go, may be as fast.
        match place.api::<Pod>().delete(pod, &DeleteParams::default().grace_period(0)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => panic!("{error}"),
        }
    }
    eventually("three other pods", || async {
        let now = place.pod_uids().await;
        (now.len() == 3 && now.is_disjoint(&before)).then_some(())
    })
    .await;
    kept("both replicas' volumes were deleted with all pods").await;

    // The instance goes, its volumes stay, and another one of its name takes them up.
    place.delete::<RedisInstance>("cache").await;
    for pod in all {
        place.gone::<Pod>(pod).await;
    }
    place.create_cache(3, json!({})).await;
    kept("the instance was created again over its volumes").await;
    place.leave().await;
}
