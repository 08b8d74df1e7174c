//! What `/metrics` shows of a real Redis, where that is asked for, and that it is gone with the instance.

mod common;

use common::{
    cluster::{Place, eventually},
    operator::{Launch, Operator},
};
use kube::api::DeleteParams;
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_redis_that_is_looked_after_is_shown_until_it_is_deleted() {
    let place = Place::new("shown").await;
    let arguments = vec![
        "--leader-election=false".to_owned(),
        "--redis-metrics".to_owned(),
        format!("--watch-namespaces={}", place.namespace),
    ];
    let operator = Operator::launch(&place, Launch { arguments, ..Launch::default() }).await;
    place.create("cache", json!({"config": {"maxmemory": "64mb"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    let series =
        |name: &str| format!("{name}{{namespace=\"{}\",redis=\"cache\",redis_pod=\"cache-0\"}}", place.namespace);
    let limit = series("redis_operator_redis_memory_limit_bytes");
    eventually("the limit that Redis reports", || async {
        (operator.metric(&limit).await.to_bits() == 67_108_864_f64.to_bits()).then_some(())
    })
    .await;
    assert!(operator.metric(&series("redis_operator_redis_memory_used_bytes")).await > 0.0);
    assert!(operator.metric(&series("redis_operator_redis_clients")).await > 0.0);

    place.api::<RedisInstance>().delete("cache", &DeleteParams::foreground()).await.unwrap();
    place.gone::<RedisInstance>("cache").await;
    eventually("metrics without the Redis that is gone", || async {
        let (_, text) = operator.admin("/metrics").await?;
        (!text.contains("redis_pod=")).then_some(())
    })
    .await;
    place.leave().await;
}
