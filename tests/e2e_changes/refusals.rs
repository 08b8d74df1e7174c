//! Changes that Redis or the kubelet refuses: running servers keep the former configuration, and a corrected spec ends the failure.

use k8s_openapi::api::core::v1::ConfigMap;
use redis_operator::api::v1::Phase;
use serde_json::json;

use super::{pod, start};
use crate::common::{cluster::Place, members::Members};

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn what_a_running_redis_refuses_changes_nothing_until_the_spec_is_corrected() {
    let place = Place::new("refused").await;
    place.create_running("cache", json!({"config": {"maxmemory": "100mb"}})).await;
    let before = pod(&place).await;
    // Debian's redis-server is built without the memory allocator that this needs: no table can know.
    place.change("cache", json!({"config": {"activedefrag": "yes", "maxmemory": "64mb"}})).await;
    let status = place.reaches("cache", Phase::Failed).await.status.unwrap();
    let message = status.last_condition_message.unwrap();
    assert!(message.contains("redis refuses spec.config[activedefrag]"), "{message}");
    let conf: ConfigMap = place.api().get("cache").await.unwrap();
    assert!(!conf.data.unwrap()["redis.conf"].contains("activedefrag"), "Redis must be able to start with the file");
    place.wait_for_event("ConfigRejected", "activedefrag").await;

    place.change("cache", json!({"config": {"activedefrag": null}})).await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(place.connect_logged_in("cache").await.ask("CONFIG GET maxmemory").await, "maxmemory 67108864");
    assert_eq!(start(&pod(&place).await), start(&before));
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_directive_that_one_server_refuses_stays_on_none() {
    let place = Place::new("refused-by-one").await;
    let config = json!({"maxclients": "50", "hz": "20"});
    place.create_running("cache", json!({"replicas": 3, "config": config})).await;
    let members = Members { place: &place, instance: "cache" };
    let primary = members.one_takes_writes().await;
    // The primary is asked last. It takes `hz`, which comes first by name, and no more clients than it may have files.
    members.limit_files(&primary, 200).await;
    place.change("cache", json!({"config": {"maxclients": "5000", "hz": "30"}})).await;
    let status = place.reaches("cache", Phase::Failed).await.status.unwrap();
    let message = status.last_condition_message.unwrap();
    assert!(message.contains("redis refuses spec.config[maxclients]"), "{message}");
    assert!(message.contains("nothing was changed and the former configuration holds"), "{message}");
    for pod in ["cache-0", "cache-1", "cache-2"] {
        assert_eq!(members.ask(pod, "CONFIG GET maxclients").await, "maxclients 50", "{pod}");
        assert_eq!(members.ask(pod, "CONFIG GET hz").await, "hz 20", "{pod}");
    }
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_instance_that_never_started_starts_after_its_spec_is_corrected() {
    let place = Place::new("heal").await;
    place.create("cache", json!({"config": {"activedefrag": "yes"}})).await.unwrap();
    let status = place.reaches("cache", Phase::Failed).await.status.unwrap();
    let message = status.last_condition_message.unwrap();
    assert!(message.contains("redis refuses its configuration: 'activedefrag yes'"), "{message}");
    place.change("cache", json!({"config": null})).await;
    place.reaches("cache", Phase::Running).await;

    // A roll of an image that does not exist, with the data of the running one behind it.
    let mut redis = place.connect_logged_in("cache").await;
    assert_eq!(redis.ask("SET order 4711").await, "+OK");
    // Redis 7.0 does not know the directive: it goes with the image.
    let config = json!({"set-max-listpack-entries": "64"});
    place.change("cache", json!({"image": "redis:7.2.99", "config": config})).await;
    let status = place.reaches("cache", Phase::Failed).await.status.unwrap();
    assert!(status.last_condition_message.unwrap().contains("image cannot be pulled"));
    assert!(status.conditions.iter().any(|condition| condition.type_ == "Stalled"));
    place.wait_for_event("RollingUpdate", "to redis:7.2.99").await;
    place.wait_for_event("ImagePullFailed", "image cannot be pulled").await;
    // An image that is left out would stay as it is stored.
    place.change("cache", json!({"image": "redis:7.0.15", "config": null})).await;
    let status = place.reaches("cache", Phase::Running).await.status.unwrap();
    let phases: Vec<Phase> = status.history.iter().map(|change| change.phase).collect();
    let healed = [Phase::Running, Phase::Updating, Phase::Failed, Phase::Updating, Phase::Running];
    assert!(phases.ends_with(&healed), "{:#?}", status.history);
    assert_eq!(place.connect_logged_in("cache").await.ask("GET order").await, "4711");
    place.leave().await;
}
