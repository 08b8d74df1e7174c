//! The roles of three pods: labels, Services, what each server accepts, and the condition Replicated.

use k8s_openapi::{
    api::{core::v1::Service, policy::v1::PodDisruptionBudget},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use redis_operator::api::v1::RedisInstance;
use serde_json::json;

use crate::common::{cluster::Place, members::ROLE};

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn three_pods_are_one_primary_and_two_replicas() {
    let place = Place::new("three").await;
    let members = place.create_cache(3, json!({})).await;
    let named = members.primary().await.unwrap();
    let mut primary = place.connect("cache").await;
    primary.ask(&format!("AUTH {}", place.password("cache").await)).await;
    assert_eq!(primary.ask("SET order 4711").await, "+OK");
    assert_eq!(primary.ask("WAIT 2 2000").await, ":2");
    for pod in ["cache-0", "cache-1", "cache-2"] {
        let role = if pod == named { "primary" } else { "replica" };
        assert_eq!(members.pod(pod).await.unwrap().labels()[ROLE], role);
        assert_eq!(members.ask(pod, "GET order").await, "4711");
        let answer = members.ask(pod, "SET order 1").await;
        assert_eq!(answer.starts_with("-READONLY"), role == "replica", "{pod}: {answer}");
        members.try_ask(pod, "SET order 4711").await;
    }
    let reads: Service = place.api().get("cache-replicas").await.unwrap();
    assert!(reads.spec.unwrap().selector.unwrap().contains_key("redis.github.com/reads"));
    // A budget that another client widens is restored: it would let a drain take the primary and its replicas at once.
    let wide = Patch::Merge(json!({"spec": {"maxUnavailable": 3}}));
    place.api::<PodDisruptionBudget>().patch("cache", &PatchParams::default(), &wide).await.unwrap();
    place
        .until("cache", "budget of one pod", |budget: Option<&PodDisruptionBudget>| {
            let most = budget.and_then(|budget| budget.spec.as_ref()?.max_unavailable.clone());
            most == Some(IntOrString::Int(1))
        })
        .await;
    let instance: RedisInstance = place.api().get("cache").await.unwrap();
    let replicated = instance.status.unwrap().conditions.into_iter().find(|condition| condition.type_ == "Replicated");
    assert_eq!(replicated.unwrap().message, format!("all replicas are in sync with primary {named}"));
    place.leave().await;
}
