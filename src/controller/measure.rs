//! One reconcile as it is counted: how long it waited and took, and how it ended. What it does is `reconcile`'s.

use std::{sync::Arc, time::Instant};

use kube::{ResourceExt, runtime::controller::Action};

use super::{Stored, context::Context, error::Error, reconcile};

/// Reconciles one instance and counts it.
pub(super) async fn reconcile(stored: Arc<Stored>, context: Arc<Context>) -> Result<Action, Error> {
    let waited = context.queue.served(stored.namespace().as_deref(), &stored.name_any(), Instant::now());
    let running = context.metrics.began(waited);
    let outcome = reconcile::reconcile(stored, context).await;
    running.ended(outcome.as_ref().err().map(Error::class));
    outcome
}
