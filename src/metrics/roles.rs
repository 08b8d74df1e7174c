//! Metrics of the roles in replicated instances: how often the primary changed, how long that took, and for how long no
//! pod took writes. An instance is identified by an id that is not exported.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{Histograms, Labels, RoleChange, seconds, show};

/// The stages of a failover.
const NOTICED: &str = "noticed";
const PROMOTED: &str = "promoted";

/// Metrics of the roles. Clones share one state.
#[derive(Clone, Debug)]
pub struct RoleMetrics {
    changes: Family<Labels<1>, Counter>,
    stages: Histograms<Labels<1>>,
    without_primary: Gauge,
    unavailable: Counter<f64, std::sync::atomic::AtomicU64>,
    /// Time since which an instance has had no primary, by its id.
    missing: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl RoleMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let stages =
            "Time from the last answer of a primary that died to the decision, and from there to a new one, by stage";
        let metrics = Self {
            changes: Family::default(),
            stages: seconds(registry, "redis_operator_failover_duration", stages, || Histogram::new(BUCKETS)),
            without_primary: Gauge::default(),
            unavailable: Counter::default(),
            missing: Arc::default(),
        };
        let changes = "Times that the role of the primary of a replicated instance moved, by why";
        registry.register("redis_operator_role_changes", changes, metrics.changes.clone());
        let without = "Replicated instances without a primary that takes writes, as the operator last saw them";
        registry.register("redis_operator_instances_without_primary", without, metrics.without_primary.clone());
        let unavailable =
            "Time for which replicated instances had no primary that takes writes, summed over all instances";
        let name = "redis_operator_writes_unavailable";
        registry.register_with_unit(name, unavailable, Unit::Seconds, metrics.unavailable.clone());
        for change in RoleChange::ALL {
            show(&metrics.changes, &[("kind", change.word())]);
        }
        for stage in [NOTICED, PROMOTED] {
            show(&metrics.stages, &[("stage", stage)]);
        }
        metrics
    }

    /// The role of a primary moved. `noticed` is the time from its last answer to the decision, `carried_out` that from there.
    pub fn changed(&self, change: RoleChange, noticed: Option<Duration>, carried_out: Duration) {
        self.changes.get_or_create(&[("kind", change.word())]).inc();
        if change != RoleChange::Failover {
            return;
        }
        for (stage, time) in [(NOTICED, noticed), (PROMOTED, Some(carried_out))] {
            if let Some(time) = time {
                self.stages.get_or_create(&[("stage", stage)]).observe(time.as_secs_f64());
            }
        }
    }

    /// Records whether the instance with this id has a primary; `now` is the time of the observation.
    pub fn looked(&self, id: &str, has_primary: bool, now: Instant) {
        let mut missing = self.lock();
        let since = missing.remove(id);
        if let Some(since) = since {
            self.unavailable.inc_by(now.saturating_duration_since(since).as_secs_f64());
        }
        if !has_primary {
            missing.insert(id.to_owned(), now);
        }
        self.without_primary.set(i64::try_from(missing.len()).unwrap_or(i64::MAX));
    }

    /// The instance with this id was deleted, or is no longer reconciled by this process.
    pub fn forget(&self, id: &str) {
        let mut missing = self.lock();
        missing.remove(id);
        self.without_primary.set(i64::try_from(missing.len()).unwrap_or(i64::MAX));
    }

    /// Another process reconciles all instances from now on.
    pub fn forget_all(&self) {
        self.lock().clear();
        self.without_primary.set(0);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const BUCKETS: [f64; 12] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_without_a_primary_is_summed_while_it_lasts() {
        let metrics = RoleMetrics::register(&mut Registry::default());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (id, has_primary, seconds) in
            [("a", true, 0), ("a", false, 1), ("b", false, 1), ("a", false, 3), ("a", true, 4)]
        {
            metrics.looked(id, has_primary, at(seconds));
        }
        assert_eq!((metrics.unavailable.get(), metrics.without_primary.get()), (3.0, 1));
        metrics.forget("b");
        assert_eq!(metrics.without_primary.get(), 0);
    }
}
