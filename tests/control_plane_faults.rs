//! What the operator does when the API server refuses, fails, is slow or is away: each class of error, on a real API
//! server without a node, through a proxy that fails on demand.

#[path = "faults/answers.rs"]
mod answers;
mod common;
#[path = "faults/outage.rs"]
mod outage;
#[path = "faults/replies.rs"]
mod replies;
#[path = "faults/watches.rs"]
mod watches;

use std::{future::Future, time::Duration};

use common::{
    cluster::{DEADLINE, Place, eventually},
    manifests::define,
    operator::{Launch, Operator},
    proxy::{Asked, Proxy},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Secret, Service},
    },
};
use kube::{Resource, ResourceExt, api::ListParams};
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
        let place = Place::new(test).await;
        define(&place).await;
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

/// Kind and name of everything that was made for instances in this namespace.
async fn children(place: &Place) -> Vec<String> {
    let mut found = names::<ConfigMap>(place).await;
    found.extend(names::<Secret>(place).await);
    found.extend(names::<Service>(place).await);
    found.extend(names::<StatefulSet>(place).await);
    found
}

async fn names<K>(place: &Place) -> Vec<String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let ours = ListParams::default().labels("redis.github.com/instance");
    let found = place.api::<K>().list(&ours).await.unwrap();
    found.iter().map(|object| format!("{} {}", K::kind(&()), object.name_any())).collect()
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
