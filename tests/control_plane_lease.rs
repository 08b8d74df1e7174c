//! Several operators, one Lease: one of them reconciles; another takes over when it ends, dies or sleeps; and one that wakes
//! writes nothing. On a real API server without a node.

mod common;

use std::time::Instant;

use common::{
    account::admit,
    audit,
    cluster::{Place, eventually},
    operator::{Launch, Operator},
    proxy::{Fault, Proxy},
};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use redis_operator::api::v1::Phase;
use serde_json::json;

/// An operator with an account of its own that contends for the Lease in the namespace of `home`.
async fn contender(identity: &str, home: &Place) -> (Place, Operator) {
    let place = Place::new(identity).await;
    admit(&place, home).await;
    let arguments = vec![format!("--namespace={}", home.namespace), format!("--identity={identity}")];
    let operator = Operator::launch(&place, Launch { arguments, ..Launch::default() }).await;
    (place, operator)
}

/// The same with a certificate to serve with, and with the API server behind this proxy.
async fn serving_contender(identity: &str, home: &Place, proxy: &Proxy) -> (Place, Operator) {
    let place = Place::new(identity).await;
    admit(&place, home).await;
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["webhook".to_owned()]).unwrap().self_signed(&key).unwrap();
    let launch = Launch {
        certificate: &certificate.pem(),
        key: &key.serialize_pem(),
        server: Some(proxy.url()),
        arguments: vec![format!("--namespace={}", home.namespace), format!("--identity={identity}")],
        ..Launch::default()
    };
    let operator = Operator::launch(&place, launch).await;
    (place, operator)
}

/// A namespace for the Lease, and an operator that holds it and has synced its watches, with the namespace of its account.
async fn home_with_leader(identity: &str) -> (Place, Place, Operator) {
    let home = Place::with_crd("home").await;
    let (place, operator) = contender(identity, &home).await;
    is_held_by(&home, identity).await;
    operator.says("watches are synced").await;
    (home, place, operator)
}

/// The operator that the Lease names.
async fn holder(home: &Place) -> Option<String> {
    let leases: Api<Lease> = home.api();
    let lease = leases.get_opt("redis-operator").await.unwrap()?;
    lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
}

/// Waits until the Lease names this operator.
async fn is_held_by(home: &Place, identity: &str) {
    eventually(&format!("lease held by {identity}"), || async {
        (holder(home).await.as_deref() == Some(identity)).then_some(())
    })
    .await;
}

/// Whether the operator reports itself as the leader.
async fn leads(operator: &Operator) -> bool {
    operator.metric("redis_operator_leader").await > 0.0
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_standby_takes_over_when_the_leader_is_killed_or_stopped() {
    let (home, first_place, mut first) = home_with_leader("first").await;
    let (second_place, mut second) = contender("second", &home).await;
    second.says("first reconciles; second stands by").await;
    home.create("one", json!({})).await.unwrap();
    home.reaches("one", Phase::Pending).await;
    assert!(leads(&first).await && !leads(&second).await);
    let by_second = audit::since(Timestamp::UNIX_EPOCH).into_iter().filter(|entry| entry.user() == second.user);
    let other: Vec<_> = by_second.filter(|entry| entry.resource() != "leases").collect();
    assert!(other.is_empty(), "a standby requests its Lease only: {other:?}");

    let died = Instant::now();
    first.kill();
    home.create("two", json!({})).await.unwrap();
    home.reaches("two", Phase::Pending).await;
    eprintln!("SIGKILL to the first write of the next leader and its end: {:.1} s", died.elapsed().as_secs_f64());
    is_held_by(&home, "second").await;

    let (third_place, third) = contender("third", &home).await;
    third.says("second reconciles; third stands by").await;
    let stopped = Instant::now();
    second.signal("TERM");
    home.create("three", json!({})).await.unwrap();
    home.reaches("three", Phase::Pending).await;
    eprintln!("SIGTERM to the first write of the next leader and its end: {:.1} s", stopped.elapsed().as_secs_f64());
    second.ended().await;
    assert!(second.log().contains("gave the lease back"), "{}", second.log());
    assert!(leads(&third).await);
    for place in [first_place, second_place, third_place, home] {
        place.leave().await;
    }
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_leader_that_slept_through_its_lease_writes_nothing_when_it_wakes() {
    let (home, sleeper_place, mut sleeper) = home_with_leader("sleeper").await;
    let (next_place, next) = contender("next", &home).await;
    next.says("sleeper reconciles; next stands by").await;
    sleeper.signal("STOP");
    // Work for an operator that wakes and believes that it leads.
    for n in 0..20 {
        home.create(&format!("cache-{n}"), json!({})).await.unwrap();
    }
    next.says("next reconciles").await;
    let woken = Timestamp::now();
    sleeper.signal("CONT");
    sleeper.says("next reconciles; sleeper stands by").await;
    for n in 0..20 {
        home.reaches(&format!("cache-{n}"), Phase::Pending).await;
    }
    let writes: Vec<_> = audit::since(woken)
        .into_iter()
        .filter(|entry| entry.user() == sleeper.user && entry.is_write())
        .map(|entry| (entry.verb().to_owned(), entry.resource(), entry.code()))
        .collect();
    // It may try to renew the Lease, and is refused.
    assert!(writes.iter().all(|(_, resource, code)| resource == "leases" && *code == 409), "{writes:?}");
    assert!(!leads(&sleeper).await && leads(&next).await);
    // It serves on, and is there when it is needed.
    assert_eq!(sleeper.admin("/livez").await.unwrap().0, 200);
    drop(next);
    is_held_by(&home, "sleeper").await;
    home.create("after", json!({})).await.unwrap();
    home.reaches("after", Phase::Pending).await;
    sleeper.kill();
    for place in [sleeper_place, next_place, home] {
        place.leave().await;
    }
}

#[tokio::test]
#[ignore = "needs a control plane"]
async fn a_standby_that_takes_over_stays_ready_while_it_lists() {
    let (home, first_place, mut first) = home_with_leader("first").await;
    let proxy = Proxy::start().await;
    proxy.fail(Fault::Hang, usize::MAX, |asked| asked.reads_all("pods"));
    let (second_place, second) = serving_contender("second", &home, &proxy).await;
    eventually("readiness of the standby", || async {
        second.admin("/readyz").await.filter(|(status, _)| *status == 200)
    })
    .await;
    first.signal("TERM");
    first.ended().await;
    // Its other watches are there, the one on pods is not: admission is answered as before.
    eventually("instances listed by the next leader", || async {
        (second.metric("redis_operator_leader").await > 0.0 && !proxy.asked(|asked| asked.reads_all("pods")).is_empty())
            .then_some(())
    })
    .await;
    assert_eq!(second.admin("/readyz").await, Some((200, "ok".to_owned())));
    assert!(!second.log().contains("watches are synced"), "{}", second.log());
    proxy.heal();
    drop(second);
    for place in [first_place, second_place, home] {
        place.leave().await;
    }
}
