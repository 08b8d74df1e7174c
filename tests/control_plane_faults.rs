//! What the operator does when the API server refuses, fails, is slow or is away: each class of error, on a real API
//! server without a node, through a proxy that fails on demand.

#[path = "control_plane_faults/answers.rs"]
mod answers;
mod common;
#[path = "control_plane_faults/outage.rs"]
mod outage;
#[path = "control_plane_faults/replies.rs"]
mod replies;
#[path = "control_plane_faults/watches.rs"]
mod watches;

use std::{future::Future, time::Duration};

use common::{
    cluster::{DEADLINE, Place, eventually},
    operator::{Launch, Operator},
    proxy::{Asked, Proxy},
};
use k8s_openapi::api::apps::v1::StatefulSet;
use redis_operator::api::v1::RedisInstance;

/// As often as it is asked.
const ALWAYS: usize = usize::MAX;

/// An operator that reaches the API server through a proxy, and a namespace.
struct Stage {
    place: Place,
    proxy: Proxy,
    operator: Operator,
}

impl Stage {
    /// Everything in place, the watches open.
    async fn set(test: &str) -> Self {
        let place = Place::with_crd(test).await;
        let proxy = Proxy::start().await;
        let operator = Operator::launch(&place, through(&proxy)).await;
        operator.says("watches are synced").await;
        Self { place, proxy, operator }
    }

    /// How many reconciles failed in this way.
    async fn failures(&self, class: &str) -> f64 {
        self.operator.metric(&format!("redis_operator_reconcile_failures_total{{class=\"{class}\"}}")).await
    }

    /// A condition on requests: writes to this resource in this stage's namespace.
    fn writes(&self, resource: &'static str) -> impl Fn(&Asked) -> bool + Send + Sync + 'static {
        writes(&self.place, resource)
    }
}

fn through(proxy: &Proxy) -> Launch<'static> {
    Launch { server: Some(proxy.url()), ..Launch::default() }
}

fn writes(place: &Place, resource: &'static str) -> impl Fn(&Asked) -> bool + Send + Sync + 'static {
    let namespace = place.namespace.clone();
    move |asked| asked.writes() && asked.namespace == namespace && asked.resource == resource
}

/// Waits longer than [`DEADLINE`], for what takes its time.
async fn patiently<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let begun = tokio::time::Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(100));
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < 4 * DEADLINE, "no {what} within {:?}", 4 * DEADLINE);
        pause.tick().await;
    }
}

/// Children of an instance with this name.
fn expected(name: &str) -> [String; 5] {
    [
        format!("ConfigMap {name}"),
        format!("Secret {name}-auth"),
        format!("Service {name}"),
        format!("Service {name}-pods"),
        format!("StatefulSet {name}"),
    ]
}

/// The image that the StatefulSet's pods are to have.
async fn image(place: &Place, name: &str) -> Option<String> {
    let set = place.api::<StatefulSet>().get_opt(name).await.unwrap()?;
    set.spec?.template.spec?.containers.first()?.image.clone()
}

/// Waits until the StatefulSet has this image.
async fn rolled(place: &Place, name: &str, to: &str) {
    eventually(&format!("StatefulSet {name} with image {to}"), || async {
        (image(place, name).await.as_deref() == Some(to)).then_some(())
    })
    .await;
}

/// What an instance never was.
fn never(instance: &RedisInstance, phase: redis_operator::api::v1::Phase) {
    let history = instance.status.clone().unwrap_or_default().history;
    assert!(history.iter().all(|change| change.phase != phase), "{phase:?} in {history:#?}");
}
