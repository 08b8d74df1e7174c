//! Moves the role of the primary while its holder is well: the old one takes no writes until the new one has all of them, so
//! none is lost. Why and to whom is `domain::replication::handover`'s.

use std::time::{Duration, Instant};

use kube::Resource;

use super::{Group, Roles, SOON, act, address, ask, gather, labels, marks};
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

/// How long the new primary may take to have all that the old one has, while writes wait.
const CATCHING_UP: Duration = Duration::from_secs(1);
/// How long the old primary has writes wait if nobody says otherwise: the operator may be gone.
const STANDSTILL: Duration = Duration::from_secs(3);
/// How often the new primary is asked whether it has everything.
const STEP: Duration = Duration::from_millis(5);

/// Hands the role on when the primary's pod is being deleted.
pub(super) async fn from_one_that_leaves(group: &Group<'_>, roles: Roles, context: &Context) -> Result<Roles, Error> {
    let why = roles.primary.and_then(|primary| occasion(&roles.members, &roles.in_sync, primary, group.running, None));
    match why {
        Some(why) => hand_over(group, roles, why, group.running, context).await,
        None => Ok(roles),
    }
}

/// Hands the role on where the primary's pod is to go, or is the next to be restarted.
pub(in crate::controller) async fn make_way(
    stored: &RedisInstance,
    mut roles: Roles,
    wanted: i32,
    next: Option<i32>,
    context: &Context,
) -> Result<Roles, Error> {
    let Some(why) = roles.primary.and_then(|primary| occasion(&roles.members, &roles.in_sync, primary, wanted, next))
    else {
        return Ok(roles);
    };
    match gather(stored, context).await? {
        Some(group) => {
            // By what the roll goes by, or the role would go to a pod whose turn is still to come, and move twice.
            ask::refresh(&mut roles.members, &group, context);
            hand_over(&group, roles, why, wanted, context).await
        }
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
    let mut heir = act::connect(group, new, target, context).await?;
    server.pause_writes(STANDSTILL).await.map_err(act::failed(group, old))?;
    if !catches_up(group, (old, &mut server), (new, &mut heir)).await? {
        server.resume_writes().await.map_err(act::failed(group, old))?;
        tracing::warn!(
            from = group.pod(old),
            to = group.pod(new),
            "the new primary did not catch up in time; tried again"
        );
        roles.again = SOON;
        return Ok(roles);
    }
    if !context.leadership.is_held() {
        return Err(Error::NotLeading);
    }
    // Up to here the old one is what it was. From here to the next line two take writes, and clients reach only the old one,
    // where they wait; an operator that dies here leaves the claim's word for it.
    heir.promote().await.map_err(act::failed(group, new))?;
    let port = u16::try_from(PORT).unwrap_or_default();
    server.follow((target, port)).await.map_err(act::failed(group, old))?;
    server.resume_writes().await.map_err(act::failed(group, old))?;
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

/// Whether the new primary comes to have all that the old one has, whose writes wait.
async fn catches_up(
    group: &Group<'_>,
    (old, server): (i32, &mut Server),
    (new, heir): (i32, &mut Server),
) -> Result<bool, Error> {
    let leader = server.standing().await.map_err(act::failed(group, old))?;
    let until = Instant::now() + CATCHING_UP;
    let mut step = tokio::time::interval(STEP);
    while Instant::now() < until {
        step.tick().await;
        let follower = heir.standing().await.map_err(act::failed(group, new))?;
        if !leader.is_primary || follower.is_primary || !follower.link_up {
            return Ok(false);
        }
        if follower.history == leader.history && follower.offset >= leader.offset {
            return Ok(true);
        }
    }
    Ok(false)
}
