//! Requests that are carried out and whose answer is lost, and requests that are not and look the same.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use redis_operator::api::v1::Phase;
use serde_json::json;

use crate::{
    Stage,
    common::{
        children::children,
        cluster::Place,
        operator::{Launch, Operator},
        proxy::{Asked, Fault},
    },
    expected, never, rolled, through,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn whichever_answer_to_a_write_is_lost_the_end_is_the_same() {
    every_write_once(&Fault::LoseReply).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn whichever_write_is_reset_the_end_is_the_same() {
    every_write_once(&Fault::Reset).await;
}

/// Runs a creation and a change, and does this to the first write, then again to the second, until there are no more.
async fn every_write_once(fault: &Fault) {
    let stage = Stage::set("lost").await;
    for lost in 0.. {
        let place = Place::new("lost").await;
        let writes = Arc::new(AtomicUsize::new(0));
        stage.proxy.heal();
        stage.proxy.fail(fault.clone(), 1, nth(lost, &place, &writes));
        place.create("cache", json!({})).await.unwrap();
        place.reaches("cache", Phase::Pending).await;
        let password = place.password("cache").await;
        place.change("cache", json!({"image": "redis:7.0.14"})).await;
        rolled(&place, "cache", "redis:7.0.14").await;
        // Without a node its pod never serves, so the roll does not end.
        let instance = place.reaches("cache", Phase::Updating).await;
        assert_eq!(children(&place).await, expected("cache"), "{fault:?} of write {lost}");
        assert_eq!(place.password("cache").await, password, "a password that was given out must stay");
        never(&instance, Phase::Failed);
        let phases: Vec<Phase> = instance.status.unwrap().history.iter().map(|change| change.phase).collect();
        assert!(phases.windows(2).all(|pair| pair[0] != pair[1]), "a phase twice: {phases:?}");
        place.leave().await;
        if writes.load(Ordering::Relaxed) <= lost {
            assert!(lost >= 8, "only {lost} writes");
            eprintln!("{lost} writes, {fault:?} of each");
            return;
        }
    }
}

/// Whether a request is the n-th write in this namespace.
fn nth(n: usize, place: &Place, writes: &Arc<AtomicUsize>) -> impl Fn(&Asked) -> bool + Send + Sync + 'static {
    let (namespace, writes) = (place.namespace.clone(), Arc::clone(writes));
    move |asked| asked.writes() && asked.namespace == namespace && writes.fetch_add(1, Ordering::Relaxed) == n
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a control plane"]
async fn a_secret_in_an_answer_that_cannot_be_read_is_not_logged() {
    let mut stage = Stage::set("cut").await;
    stage.place.create("cache", json!({})).await.unwrap();
    stage.place.reaches("cache", Phase::Pending).await;
    let password = stage.place.password("cache").await;
    stage.operator.kill();

    // A new operator looks at the Secrets of instances that are there.
    let ours = stage.place.namespace.clone();
    let reads = move |asked: &Asked| asked.resource == "secrets" && !asked.writes() && asked.namespace == ours;
    stage.proxy.fail(Fault::CutReply, 2, reads);
    let launch = Launch { log_filter: "trace", ..through(&stage.proxy) };
    let operator = Operator::launch(&stage.place, launch).await;
    operator.says("failures=2").await;
    let log = operator.log();
    let encoded = serde_json::to_value(k8s_openapi::ByteString(password.clone().into_bytes())).unwrap();
    for secret in [password.as_str(), encoded.as_str().unwrap()] {
        let quoted: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(quoted.is_empty(), "the password is in the log: {quoted:#?}");
    }
    stage.place.leave().await;
}
