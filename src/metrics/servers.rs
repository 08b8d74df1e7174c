//! Optional metrics of each Redis server. These series carry the names of objects, so there are as many as pods.
//! Independent of how a server is queried.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::{Registry, Unit},
};

/// The metrics of a server, as it last reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerFigures {
    /// Bytes that its data and itself take.
    pub memory_used: u64,
    /// Bytes that its data may take; 0 = as much as there is.
    pub memory_limit: u64,
    /// Connections of clients.
    pub clients: u64,
    /// Whether it is the replica of another.
    pub is_replica: bool,
    /// Seconds since a replica last heard of its primary.
    pub silence: Option<u64>,
    /// Bytes of its primary's history that a replica does not have yet.
    pub lag: Option<u64>,
}

/// Namespace, instance and pod.
type Place = (String, String, String);

/// Metrics of the servers. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct ServerMetrics(Arc<State>);

#[derive(Debug, Default)]
struct State(Mutex<Option<BTreeMap<Place, ServerFigures>>>);

impl State {
    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<Place, ServerFigures>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_collector(Box::new(Arc::clone(&metrics.0)));
        metrics
    }

    /// Enables the export of server metrics.
    pub fn show(&self) {
        self.0.lock().get_or_insert_default();
    }

    /// Records the metrics that a server reported.
    pub fn told(&self, namespace: &str, instance: &str, pod: &str, figures: ServerFigures) {
        if let Some(servers) = self.0.lock().as_mut() {
            servers.insert((namespace.to_owned(), instance.to_owned(), pod.to_owned()), figures);
        }
    }

    /// Sets the lag of an exported server in bytes, which is known more often than the other metrics; absent for the
    /// primary.
    pub fn lags(&self, namespace: &str, instance: &str, pod: &str, lag: Option<u64>) {
        if let Some(servers) = self.0.lock().as_mut()
            && let Some(figures) = servers.get_mut(&(namespace.to_owned(), instance.to_owned(), pod.to_owned()))
        {
            figures.lag = lag;
        }
    }

    /// True if the export is enabled.
    #[must_use]
    pub fn are_shown(&self) -> bool {
        self.0.lock().is_some()
    }

    /// The servers of this instance were deleted or cannot be reached; their last metrics are no longer valid.
    pub fn forget(&self, namespace: &str, instance: &str) {
        if let Some(servers) = self.0.lock().as_mut() {
            servers.retain(|(of, name, _), _| of != namespace || name != instance);
        }
    }

    /// Another process asks them from now on.
    pub fn forget_all(&self) {
        if let Some(servers) = self.0.lock().as_mut() {
            servers.clear();
        }
    }
}

/// A family's name, unit and meaning, and what a server has of it.
type Shown = (&'static str, Option<Unit>, &'static str, fn(&ServerFigures) -> Option<u64>);

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let families: [Shown; 6] = [
            (
                "redis_operator_redis_memory_used",
                Some(Unit::Bytes),
                "Memory that a Redis takes for its data and itself.",
                |figures| Some(figures.memory_used),
            ),
            (
                "redis_operator_redis_memory_limit",
                Some(Unit::Bytes),
                "Memory that the data of a Redis may take, its maxmemory; absent without one.",
                |figures| Some(figures.memory_limit).filter(|limit| *limit > 0),
            ),
            ("redis_operator_redis_clients", None, "Connections of clients to a Redis.", |figures| {
                Some(figures.clients)
            }),
            ("redis_operator_redis_replica", None, "1 for the replica of another Redis, 0 for a primary.", |figures| {
                Some(u64::from(figures.is_replica))
            }),
            (
                "redis_operator_redis_replica_silence",
                Some(Unit::Seconds),
                "Time since a replica last heard of its primary; absent for others.",
                |figures| figures.silence,
            ),
            (
                "redis_operator_redis_replica_lag",
                Some(Unit::Bytes),
                "What a replica does not have yet of what its primary wrote; absent for others.",
                |figures| figures.lag,
            ),
        ];
        let servers = self.lock();
        let Some(servers) = servers.as_ref().filter(|servers| !servers.is_empty()) else { return Ok(()) };
        for (name, unit, help, of) in families {
            let known: Vec<_> = servers.iter().filter_map(|(place, figures)| Some((place, of(figures)?))).collect();
            if known.is_empty() {
                continue;
            }
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            for ((namespace, instance, pod), value) in known {
                let labels =
                    [("namespace", namespace.as_str()), ("redis", instance.as_str()), ("redis_pod", pod.as_str())];
                let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
                gauge.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;

    use super::*;

    #[test]
    fn servers_are_shown_to_those_who_ask_for_it_and_no_longer_than_they_are_there() {
        let metrics = Metrics::new();
        let figures = ServerFigures { memory_used: 7, clients: 2, ..ServerFigures::default() };
        metrics.servers.told("shop", "cache", "cache-0", figures);
        assert!(!metrics.exposition().unwrap().contains("redis_operator_redis_"), "nobody asked for it");
        metrics.servers.show();
        metrics.servers.told("shop", "cache", "cache-0", figures);
        let shown = metrics.exposition().unwrap();
        let line =
            "redis_operator_redis_memory_used_bytes{namespace=\"shop\",redis=\"cache\",redis_pod=\"cache-0\"} 7\n";
        assert!(shown.contains(line) && !shown.contains("memory_limit"), "{shown}");
        assert!(!shown.contains("replica_lag"));
        metrics.servers.lags("shop", "cache", "cache-0", Some(3));
        metrics.servers.lags("shop", "cache", "cache-1", Some(4));
        let lags = metrics.exposition().unwrap().matches("redis_operator_redis_replica_lag_bytes{").count();
        assert_eq!(lags, 1, "only of those that are shown");
        metrics.servers.forget("shop", "other");
        assert!(metrics.exposition().unwrap().contains(line));
        metrics.servers.forget("shop", "cache");
        assert!(!metrics.exposition().unwrap().contains("redis_operator_redis_"));
    }
}
