//! Metrics of the requests to the API server and of its responses. Receives kind and verb; independent of paths.

use std::time::Instant;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::{Histograms, Kind, Labels, Outcome, Verb, seconds};

/// Requests to the API server. Clones share one state.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    answers: Family<Labels<3>, Counter>,
    durations: Histograms<Labels<2>>,
}

impl RequestMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let answers = Family::default();
        let help = "Requests to the API server";
        registry.register("redis_operator_api_requests", help, Family::clone(&answers));
        let durations = seconds(
            registry,
            "redis_operator_api_request_duration",
            "Time until the API server's answer began, or until there was none",
            || Histogram::new(BUCKETS),
        );
        Self { answers, durations }
    }

    /// Starts to measure a request. If it is dropped without a response, it is counted as `unreachable`.
    #[must_use]
    pub fn sent(&self, kind: Kind, verb: Verb) -> Pending {
        Pending { metrics: self.clone(), kind, verb, begun: Instant::now(), outcome: Outcome::Unreachable }
    }
}

/// A request under way.
#[derive(Debug)]
pub struct Pending {
    metrics: RequestMetrics,
    kind: Kind,
    verb: Verb,
    begun: Instant,
    outcome: Outcome,
}

impl Pending {
    /// Records the response, or that there was none.
    pub fn answered(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let [kind, verb] = [("kind", self.kind.word()), ("verb", self.verb.word())];
        self.metrics.durations.get_or_create(&[kind, verb]).observe(self.begun.elapsed().as_secs_f64());
        self.metrics.answers.get_or_create(&[kind, verb, ("result", self.outcome.word())]).inc();
    }
}

const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
