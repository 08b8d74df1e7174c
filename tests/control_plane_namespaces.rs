//! An operator that watches two namespaces and may do nothing outside of them, on a real API server without a node.

mod common;

use common::{
    audit,
    cluster::Place,
    manifests::define,
    operator::{Launch, Operator},
};
use jiff::Timestamp;
use kube::api::{DeleteParams, ListParams};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

#[tokio::test]
#[ignore = "needs a control plane"]
async fn instances_of_the_named_namespaces_are_looked_after_and_no_others() {
    let (one, two, other) = (Place::new("one").await, Place::new("two").await, Place::new("other").await);
    define(&one).await;
    other.create("cache", json!({})).await.unwrap();
    one.create("before", json!({})).await.unwrap();
    let begun = Timestamp::now();
    let named = [one.namespace.as_str(), two.namespace.as_str()];
    let arguments = vec!["--leader-election=false".to_owned(), format!("--watch-namespaces={}", named.join(","))];
    let operator = Operator::launch(&one, Launch { arguments, namespaces: named.to_vec(), ..Launch::default() }).await;
    one.reaches("before", Phase::Pending).await;
    for place in [&one, &two] {
        place.create("after", json!({})).await.unwrap();
        place.reaches("after", Phase::Pending).await;
        place.api::<RedisInstance>().delete("after", &DeleteParams::foreground()).await.unwrap();
        place.gone::<RedisInstance>("after").await;
    }
    let asked: Vec<_> = audit::since(begun).into_iter().filter(|entry| entry.user() == operator.user).collect();
    let outside: Vec<_> = asked.iter().filter(|entry| !named.contains(&entry.namespace())).collect();
    assert!(outside.is_empty() && !asked.is_empty(), "asked for outside of {named:?}: {outside:?}");
    let refused: Vec<_> = asked.iter().filter(|entry| entry.code() == 403).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let left = other.api::<RedisInstance>().list(&ListParams::default()).await.unwrap();
    assert!(left.iter().all(|instance| instance.status.is_none()), "{left:?}");
    drop(operator);
    for place in [one, two, other] {
        place.leave().await;
    }
}
