//! The API server is away for minutes.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use redis_operator::api::v1::Phase;
use serde_json::json;

use crate::{
    ALWAYS, Stage,
    common::{cluster::eventually, proxy::Fault},
    patiently, rolled,
};

/// The backoff after the seventh failure is at least this long: recovery within it did not wait for the backoff.
const BACKOFF: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn after_minutes_without_an_api_server_everything_is_in_step_within_seconds() {
    let stage = Stage::set("away").await;
    for name in ["changed", "damaged"] {
        stage.place.create(name, json!({})).await.unwrap();
        stage.place.reaches(name, Phase::Pending).await;
    }
    // One is in the middle of its creation when it happens.
    stage.proxy.fail(Fault::Reset, ALWAYS, stage.writes("statefulsets"));
    stage.place.create("unfinished", json!({})).await.unwrap();
    eventually("a failed write", || async {
        (!stage.proxy.asked(stage.writes("statefulsets")).is_empty()).then_some(())
    })
    .await;
    stage.proxy.leave().await;
    stage.proxy.heal();
    stage.place.change("changed", json!({"image": "redis:7.0.14"})).await;
    stage.place.delete::<ConfigMap>("damaged").await;
    // 1 + 2 + 4 + 8 + 16 + 32 seconds, and then it would wait for more than a minute.
    patiently("seventh failure of the unfinished instance", || async {
        stage.operator.log().contains("failures=7 ").then_some(())
    })
    .await;
    assert_eq!(stage.operator.admin("/livez").await, Some((200, "ok".to_owned())), "restarting would not help");

    // Of this test's own: the namespaces of others may be on their way out.
    let failures = || {
        let log = stage.operator.log();
        log.lines().filter(|line| line.contains("reconcile failed") && line.contains(&stage.place.namespace)).count()
    };
    let (back, tries) = (std::time::Instant::now(), failures());
    stage.proxy.come_back().await;
    let recovered = async {
        stage.place.reaches("unfinished", Phase::Pending).await;
        rolled(&stage.place, "changed", "redis:7.0.14").await;
        eventually("ConfigMap deleted meanwhile", || async {
            stage.place.api::<ConfigMap>().get_opt("damaged").await.unwrap()
        })
        .await;
    };
    tokio::time::timeout(BACKOFF, recovered).await.expect("the instances waited for their backoff");
    eprintln!("all instances recovered {:?} after the API server was back", back.elapsed());
    let failed = failures() - tries;
    assert!(failed <= 3, "{failed} failures after it was back");
    stage.place.leave().await;
}
