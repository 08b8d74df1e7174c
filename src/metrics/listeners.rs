//! Metrics of connections that the listeners refuse before a request was read.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{ConnectionRefusal, Labels, Listener, show};

/// Connections that were not taken. Clones share one state.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    refusals: Family<Labels<2>, Counter>,
}

impl ListenerMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let refusals: Family<_, Counter> = Family::default();
        let help = "Connections that were not taken";
        registry.register("redis_operator_connections_refused", help, refusals.clone());
        for listener in Listener::ALL {
            for reason in ConnectionRefusal::ALL {
                show(&refusals, &[("listener", listener.word()), ("reason", reason.word())]);
            }
        }
        Self { refusals }
    }

    /// A connection was not taken.
    pub fn refused(&self, listener: Listener, reason: ConnectionRefusal) {
        self.refusals.get_or_create(&[("listener", listener.word()), ("reason", reason.word())]).inc();
    }
}
