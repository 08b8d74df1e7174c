//! What is told before a change is carried out: events for a new spec, and the phase. Carries out nothing.

use super::{context::Context, error::Error, events, replication::Roles, status};
use crate::{
    api::v1::RedisInstance,
    domain::{
        change::{Change, Class},
        instance::ValidatedInstance,
        reason::Reason,
        status::Finding,
    },
};

/// Says what is about to happen before it does: events for a new spec, and phase Updating for every change that touches pods
/// or volumes.
pub(super) async fn announce(
    stored: &RedisInstance,
    instance: &ValidatedInstance,
    changes: &[Change],
    roles: Option<&Roles>,
    context: &Context,
) -> Result<(), Error> {
    let told = status::latest(stored, context);
    let unseen = told.observed_generation != stored.metadata.generation;
    let announced = context.remember(&instance.uid, |memory| {
        // A new word of the user's: what was refused before is tried again.
        memory.growth_refused.take_if(|_| unseen);
        std::mem::replace(&mut memory.announced, changes.to_vec())
    });
    // What cannot be carried out differs in every pass; it is told once a spec.
    let lasting = |change: &Change| matches!(change.class, Class::Refused | Class::Expand | Class::Migrate);
    let fresh: Vec<Change> =
        changes.iter().filter(|change| !announced.contains(change) && (unseen || !lasting(change))).cloned().collect();
    events::changing(instance, &fresh, context).await;
    match underway(&fresh) {
        Some(finding) => status::record(stored, Some(instance), &finding, roles, context).await.map(drop),
        None => Ok(()),
    }
}

/// The most disruptive of the changes, as a phase tells of it.
fn underway(changes: &[Change]) -> Option<Finding> {
    let acted = changes.iter().filter(|change| !matches!(change.class, Class::Live | Class::Refused));
    let change = acted.max_by_key(|change| change.class)?;
    let reason = match change.class {
        Class::Persistence => Reason::PersistenceChange,
        Class::Expand => Reason::Expanding,
        Class::Scale => Reason::Scaling,
        Class::Migrate => Reason::Migrating,
        Class::Recreate => Reason::Recreating,
        _ => Reason::RollingOut,
    };
    Some(Finding::Changing(reason, change.reason.clone()))
}
