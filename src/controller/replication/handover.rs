//! Moves the role of the primary while its holder is well: the old one takes no writes until the new one has all of them, so
//! none is lost. Why and to whom is `domain::replication::handover`'s.

use std::time::{Duration, Instant};

use kube::Resource;

use super::{Group, Roles, SOON, act, address, gather, labels, marks};
use crate::{
    api::v1::RedisInstance,
    controller::{context::Context, error::Error, events},
    domain::{
        names::PORT,
        observed::Aspect,
        reason::Reason,
        replication::{
            handover::{Occasion, occasion, successor},
            record::Mark,
        },
    },
    metrics::RoleChange,
    redis::Server,
};

/// How long the old primary may stand still for the new one to catch up, before it goes on as it was.
const STANDSTILL: Duration = Duration::from_secs(2);
/// How long the whole may take; what is not done by then the next pass finds out.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often the old primary is asked whether it is done.
const STEP: Duration = Duration::from_millis(20);

/// Hands the role on when the primary's pod is being deleted.
pub(super) async fn from_one_that_leaves(group: &Group<'_>, roles: Roles, context: &Context) -> Result<Roles, Error> {
    let why = roles.primary.and_then(|primary| occasion(&roles.members, primary, group.running, None));
    match why {
        Some(why) => hand_over(group, roles, why, group.running, context).await,
        None => Ok(roles),
    }
}

/// Hands the role on where the primary's pod is to go, or is the next to be restarted.
pub(in crate::controller) async fn make_way(
    stored: &RedisInstance,
    roles: Roles,
    wanted: i32,
    next: Option<i32>,
    context: &Context,
) -> Result<Roles, Error> {
    let Some(why) = roles.primary.and_then(|primary| occasion(&roles.members, primary, wanted, next)) else {
        return Ok(roles);
    };
    match gather(stored, context).await? {
        Some(group) => hand_over(&group, roles, why, wanted, context).await,
        None => Ok(roles),
    }
}

async fn hand_over(
    group: &Group<'_>,
    mut roles: Roles,
    why: Occasion,
    wanted: i32,
    context: &Context,
) -> Result<Roles, Error> {
    let Some(old) = roles.primary else { return Ok(roles) };
    let to = successor(&roles.members, &roles.in_sync, wanted);
    let places = to.and_then(|to| Some((to, address(&roles.members, old)?, address(&roles.members, to)?)));
    let Some((new, from, target)) = places else {
        let message = format!(
            "primary {} keeps its role though {}: no other pod that stays is in sync",
            group.pod(old),
            why.words()
        );
        roles.aspect = Aspect { holds: Some(false), reason: Reason::Synchronising, message };
        roles.again = SOON;
        return Ok(roles);
    };
    let begun = Instant::now();
    tracing::info!(
        from = group.pod(old),
        to = group.pod(new),
        why = why.words(),
        "handing the role of the primary over"
    );
    let mut server = act::connect(group, old, from, context).await?;
    let port = u16::try_from(PORT).unwrap_or_default();
    server.begin_handover((target, port), STANDSTILL).await.map_err(act::failed(group, old))?;
    if !is_handed_over(group, old, &mut server).await? {
        tracing::warn!(
            from = group.pod(old),
            to = group.pod(new),
            "the new primary did not catch up in time; tried again"
        );
        roles.again = SOON;
        return Ok(roles);
    }
    // Who connects now finds the new one, then nobody finds the old one, which takes no writes any more.
    labels::ensure(group, new, labels::Labels::new(true, true), context).await?;
    labels::ensure(group, old, labels::Labels::new(false, false), context).await?;
    act::send_away(group, old, &mut server, from, context).await;
    let history = act::history_of(&roles.members, old);
    marks::ensure(group, new, Mark { term: group.term() + 1, history, primary: true }, context).await?;
    context.metrics.roles.changed(RoleChange::Handover, None, begun.elapsed());
    let note = format!(
        "{} handed the role of the primary to {}: {}; no writes for {:.1} s, none lost",
        group.pod(old),
        group.pod(new),
        why.words(),
        begun.elapsed().as_secs_f64()
    );
    events::role_changed(&group.stored.object_ref(&()), Reason::HandedOver, note, context).await;
    let message = format!("the replicas are being brought behind primary {}", group.pod(new));
    roles.aspect = Aspect { holds: Some(false), reason: Reason::Synchronising, message };
    roles.primary = Some(new);
    // Whether they follow is seen in the next pass.
    roles.in_sync.clear();
    roles.again = SOON;
    Ok(roles)
}

/// Waits until the old primary follows; not so when it goes on taking writes.
async fn is_handed_over(group: &Group<'_>, old: i32, server: &mut Server) -> Result<bool, Error> {
    let until = Instant::now() + DEADLINE;
    let mut step = tokio::time::interval(STEP);
    loop {
        step.tick().await;
        let standing = server.standing().await.map_err(act::failed(group, old))?;
        if !standing.is_primary {
            return Ok(true);
        }
        if !standing.handing_over || Instant::now() > until {
            return Ok(false);
        }
    }
}
