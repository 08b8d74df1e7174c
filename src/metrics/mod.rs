//! The metrics of the process and their text form at `/metrics` (OpenMetrics). Each component gets the handles of its
//! own metrics. No object name becomes a label, except in `servers`, which is optional.

mod controller;
mod label;
mod listeners;
mod process;
mod requests;
mod roles;
mod servers;
mod webhooks;

use std::{fmt, sync::Arc};

use prometheus_client::{
    encoding::text,
    metrics::{
        family::{Family, MetricConstructor},
        histogram::Histogram,
        info::Info,
    },
    registry::{Registry, Unit},
};

pub use self::{
    controller::{ControllerMetrics, Running},
    label::{
        ConnectionRefusal, Failure, Kind, Listener, LiveConfig, Outcome, Reconciled, Renewal, RequestRefusal,
        RoleChange, Verb, Verdict, Webhook,
    },
    listeners::ListenerMetrics,
    requests::{Pending, RequestMetrics},
    roles::RoleMetrics,
    servers::{ServerFigures, ServerMetrics},
    webhooks::WebhookMetrics,
};

/// The media type of what is shown.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Labels with their values. In a family without labels a metric may be absent.
type Labels<const N: usize> = [(&'static str, &'static str); N];
/// A family of histograms by a label set.
type Histograms<S> = Family<S, Histogram, fn() -> Histogram>;

/// Every metric of the process. Clones share one state.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Metrics of the reconcile loop.
    pub controller: ControllerMetrics,
    /// Metrics of requests to the API server.
    pub requests: RequestMetrics,
    /// Metrics of the webhooks and their certificate.
    pub webhooks: WebhookMetrics,
    /// Metrics of the listeners.
    pub listeners: ListenerMetrics,
    /// Metrics of the Redis servers, if enabled.
    pub servers: ServerMetrics,
    registry: Arc<Registry>,
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("redis_operator_build", "The operator that runs", version);
        let controller = ControllerMetrics::register(&mut registry);
        let requests = RequestMetrics::register(&mut registry);
        let webhooks = WebhookMetrics::register(&mut registry);
        let listeners = ListenerMetrics::register(&mut registry);
        let servers = ServerMetrics::register(&mut registry);
        registry.register_collector(Box::new(process::Process::started_now()));
        Self { controller, requests, webhooks, listeners, servers, registry: Arc::new(registry) }
    }

    /// Everything as it is now, in the text form of OpenMetrics.
    ///
    /// # Errors
    /// When a value cannot be written, which a string takes in any case.
    pub fn exposition(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers a family of histograms of seconds.
fn seconds<S>(registry: &mut Registry, name: &str, help: &str, constructor: fn() -> Histogram) -> Histograms<S>
where
    S: Clone + fmt::Debug + std::hash::Hash + Eq + Send + Sync + prometheus_client::encoding::EncodeLabelSet + 'static,
{
    let family = Family::new_with_constructor(constructor);
    registry.register_with_unit(name, help, Unit::Seconds, family.clone());
    family
}

/// Shows a series before anything is counted: a counter that appears with its first event hides that event from a rate.
fn show<S, M, C>(family: &Family<S, M, C>, labels: &S)
where
    S: Clone + std::hash::Hash + Eq,
    C: MetricConstructor<M>,
{
    drop(family.get_or_create(labels));
}
