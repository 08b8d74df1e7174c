//! Metrics of the reconcile loop: instances, reconciles, failures, watches, live changes. Receives numbers only;
//! independent of any instance.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{Failure, Histograms, Kind, Labels, LiveConfig, Reconciled, RoleMetrics, seconds, show};

/// Returns the number of instances in each phase.
type Phases = dyn Fn() -> BTreeMap<String, u64> + Send + Sync;
/// Returns the number of queued instances.
type Waiting = dyn Fn() -> usize + Send + Sync;

/// Metrics of the reconcile loop. Clones share one state.
#[derive(Clone, Debug)]
pub struct ControllerMetrics {
    /// Roles in replicated instances.
    pub roles: RoleMetrics,
    durations: Histograms<Labels<1>>,
    waits: Histogram,
    in_flight: Gauge,
    leader: Gauge,
    failures: Family<Labels<1>, Counter>,
    interruptions: Family<Labels<1>, Counter>,
    live_configs: Family<Labels<1>, Counter>,
    sources: Arc<Sources>,
}

impl ControllerMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            roles: RoleMetrics::register(registry),
            durations: seconds(
                registry,
                "redis_operator_reconcile_duration",
                "Time that one reconcile took, by how it ended",
                || Histogram::new(BUCKETS),
            ),
            waits: Histogram::new(BUCKETS),
            in_flight: Gauge::default(),
            leader: Gauge::default(),
            failures: Family::default(),
            interruptions: Family::default(),
            live_configs: Family::default(),
            sources: Arc::default(),
        };
        let waits = "Time from a change that a watch showed to the beginning of the reconcile it called for";
        registry.register_with_unit("redis_operator_reconcile_wait", waits, Unit::Seconds, metrics.waits.clone());
        let failures = "Reconciles that failed, by class; each is tried again";
        registry.register("redis_operator_reconcile_failures", failures, metrics.failures.clone());
        let in_flight = "Reconciles under way; 16 at work, up to 128 with those that wait for an answer";
        registry.register("redis_operator_reconciles_in_flight", in_flight, metrics.in_flight.clone());
        let leader = "1 on the leader, which reconciles; 0 on a standby";
        registry.register("redis_operator_leader", leader, metrics.leader.clone());
        let interruptions = "Watches that broke off or could not be opened; each is opened again";
        registry.register("redis_operator_watch_interruptions", interruptions, metrics.interruptions.clone());
        let live =
            "Changes of `spec.config` that the running servers of an instance were given without a restart, one a try";
        registry.register("redis_operator_live_config_applications", live, metrics.live_configs.clone());
        registry.register_collector(Box::new(Arc::clone(&metrics.sources)));
        metrics.begin_at_zero();
        metrics
    }

    fn begin_at_zero(&self) {
        for result in Reconciled::ALL {
            show(&self.durations, &[("result", result.word())]);
        }
        for class in Failure::ALL {
            show(&self.failures, &[("class", class.word())]);
        }
        for result in LiveConfig::ALL {
            show(&self.live_configs, &[("result", result.word())]);
        }
    }

    /// Says where the number of instances in each phase can be asked for, and that of those that wait. What is said
    /// last counts.
    pub fn observe(
        &self,
        phases: impl Fn() -> BTreeMap<String, u64> + Send + Sync + 'static,
        waiting: impl Fn() -> usize + Send + Sync + 'static,
    ) {
        *self.sources.lock() = Some((Box::new(phases), Box::new(waiting)));
    }

    /// Whether this process reconciles. A process that stops leading reports no instances.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            *self.sources.lock() = None;
            self.roles.forget_all();
        }
    }

    /// A reconcile begins, after its instance has waited this long, if a watch called it.
    #[must_use]
    pub fn began(&self, waited: Option<Duration>) -> Running {
        if let Some(waited) = waited {
            self.waits.observe(waited.as_secs_f64());
        }
        self.in_flight.inc();
        Running { metrics: self.clone(), begun: Instant::now() }
    }

    /// A watch broke off, or could not be opened.
    pub fn watch_interrupted(&self, kind: Kind) {
        self.interruptions.get_or_create(&[("kind", kind.word())]).inc();
    }

    /// A watch of this kind will be kept open.
    pub fn watching(&self, kind: Kind) {
        show(&self.interruptions, &[("kind", kind.word())]);
    }

    /// The running servers of an instance were given a change without a restart, or could not be.
    pub fn live_config(&self, result: LiveConfig) {
        self.live_configs.get_or_create(&[("result", result.word())]).inc();
    }
}

/// A reconcile under way; it is no longer when this is dropped.
#[derive(Debug)]
pub struct Running {
    metrics: ControllerMetrics,
    begun: Instant,
}

impl Running {
    /// It came to its end, or failed for this reason.
    pub fn ended(self, failure: Option<Failure>) {
        let result = if failure.is_some() { Reconciled::Error } else { Reconciled::Ok };
        let taken = self.begun.elapsed().as_secs_f64();
        self.metrics.durations.get_or_create(&[("result", result.word())]).observe(taken);
        if let Some(class) = failure {
            self.metrics.failures.get_or_create(&[("class", class.word())]).inc();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

/// Values that are read during a scrape; absent before the loop has started.
#[derive(Default)]
struct Sources(Mutex<Option<(Box<Phases>, Box<Waiting>)>>);

impl Sources {
    fn lock(&self) -> MutexGuard<'_, Option<(Box<Phases>, Box<Waiting>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let sources = self.lock();
        let Some((phases, waiting)) = sources.as_ref() else { return Ok(()) };
        let help = "Instances by phase, as the watch last showed them.";
        let mut family = encoder.encode_descriptor("redis_operator_instances", help, None, MetricType::Gauge)?;
        for (phase, count) in phases() {
            let count = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            count.encode(family.encode_family(&[("phase", phase)])?)?;
        }
        let help =
            "Instances that a watch has called and whose reconcile has not begun; repeats by the clock are not in it.";
        let depth = encoder.encode_descriptor("redis_operator_reconcile_queue_depth", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(waiting()).unwrap_or(i64::MAX)).encode(depth)
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sources").field(&self.lock().is_some()).finish()
    }
}

const BUCKETS: [f64; 14] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
