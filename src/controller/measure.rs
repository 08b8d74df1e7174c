//! One reconcile as it is run, told and counted: its task, the span of its log lines, how long it waited and took, how it
//! ended. What it does is `reconcile`'s.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use kube::{Resource, ResourceExt, runtime::controller::Action};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{
    Stored,
    context::Context,
    error::{self, Error},
    reconcile,
};

/// Reconciles one instance, in its turn. It is a task of its own: kube polls every reconcile under way whenever anything
/// happens at all, and of a task that asks no more than whether it has ended. It ends with whoever waits for it.
pub(super) async fn reconcile(stored: Arc<Stored>, context: Arc<Context>) -> Result<Action, Error> {
    // What waits for its turn is small.
    let work = async move { context.turns.take(|| Box::pin(in_turn(&stored, &context))).await };
    AbortOnDropHandle::new(tokio::spawn(work)).await.unwrap_or(Err(Error::Panicked))
}

async fn in_turn(called: &Stored, context: &Arc<Context>) -> Result<Action, Error> {
    let (namespace, name) = (called.namespace().unwrap_or_default(), called.name_any());
    let waited = context.queue.served(&namespace, &name, Instant::now());
    // It may have changed while it waited.
    let Some(stored) = context.latest(called) else {
        context.servers.forget(&namespace, &name);
        context.metrics.roles.forget(&called.meta().uid.clone().unwrap_or_default());
        return Ok(Action::await_change());
    };
    let running = context.metrics.began(waited);
    let generation = stored.meta().generation;
    let span = tracing::info_span!("reconcile", instance = name, namespace, generation, reconcile_id = next_id());
    let work = async {
        let outcome = reconcile::reconcile(Arc::clone(&stored), Arc::clone(context)).await;
        if let Err(failure) = &outcome {
            error::record(&stored, failure, context);
        }
        outcome
    };
    let outcome = work.instrument(span).await;
    running.ended(outcome.as_ref().err().map(Error::class));
    outcome
}

/// Tells the lines of one reconcile from those of the next. Counted from a random number, so that two processes whose
/// logs are read together do not meet.
fn next_id() -> String {
    static NEXT: OnceLock<AtomicU64> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU64::new(getrandom::u64().unwrap_or_default()));
    format!("{:016x}", next.fetch_add(1, Ordering::Relaxed))
}
