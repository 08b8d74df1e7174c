//! Moves the role of the primary while its holder is well: the Services lead to the new one first, and then the old one takes
//! no writes until the new one has all of them, so none is lost. Why and to whom is `domain::replication::handover`'s.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::Resource;

use super::{Group, Roles, SOON, act, address, ask, gather, labels, marks};
use crate::{
    api::v1::RedisInstance,
    controller::{context::Context, error::Error, events, turns},
    domain::{
        names::PORT,
        observed::Aspect,
        reason::Reason,
        replication::{
            handover::{Occasion, heir, leads, occasion},
            record::Mark,
        },
    },
    metrics::RoleChange,
    redis::{Server, replication::Standing},
};

/// How long the Services lead to the new primary before it is one. Nodes follow a changed Service once a second (kube-proxy's
/// `minSyncPeriod`): clients that are sent away from the old primary earlier than that come back to it.
const LEAD: Duration = Duration::from_millis(1200);
/// How long it rests after it failed: each try costs clients a moment. A pod that leaves cannot wait.
const REST: Duration = Duration::from_secs(30);
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
    // The one that could not take over counts as out of sync a moment later.
    let failed = context.recall(&group.uid, |memory| {
        memory.replication.unfinished.filter(|(at, _)| at.elapsed() < REST).map(|(_, heir)| heir)
    });
    if let Some(heir) = failed.filter(|_| why != Occasion::Leaving) {
        let message = format!(
            "primary {} keeps its role for now though {}: the handover to {} failed; it is tried again",
            group.pod(old),
            why.words(),
            group.pod(heir)
        );
        roles.aspect = Aspect { holds: Some(false), reason: Reason::Synchronising, message };
        return Ok(roles);
    }
    let to = heir(&roles.members, &roles.in_sync, wanted, old, why);
    let places = to.and_then(|to| Some((to, address(&roles.members, old)?, address(&roles.members, to)?)));
    let Some((new, from, target)) = places else {
        let message = format!(
            "primary {} keeps its role though {}: no other pod that stays is in sync and can write to its volume",
            group.pod(old),
            why.words()
        );
        roles.aspect = Aspect { holds: Some(false), reason: Reason::Synchronising, message };
        roles.again = SOON;
        return Ok(roles);
    };
    tracing::info!(
        from = group.pod(old),
        to = group.pod(new),
        why = why.words(),
        "handing the role of the primary over"
    );
    let mut server = act::connect(group, old, from, context).await?;
    let mut next = act::connect(group, new, target, context).await?;
    // Unless this comes to its end, it is not begun again soon.
    context.remember(&group.uid, |memory| memory.replication.unfinished = Some((Instant::now(), new)));
    let leads = failed.is_none() && leads(why, group.object(old), Timestamp::now());
    if leads {
        lead(group, (old, new), context).await?;
    }
    let begun = Instant::now();
    let moved = moves(group, (old, &mut server), (new, target, &mut next), context).await;
    if !matches!(moved, Ok(true)) {
        if leads {
            lead_back(group, (old, new), context).await?;
        }
        moved?;
        tracing::warn!(from = group.pod(old), to = group.pod(new), "the new primary did not catch up in time");
        roles.again = SOON;
        return Ok(roles);
    }
    context.remember(&group.uid, |memory| memory.replication.unfinished = None);
    // Unless the Services lead to it already: who connects now finds the new one, then nobody finds the old one.
    labels::ensure(group, new, labels::Labels::new(true, true), context).await?;
    labels::ensure(group, old, labels::Labels::new(false, false), context).await?;
    act::send_away(group, old, &mut server, from, context).await;
    let history = act::history_of(&roles.members, old);
    marks::ensure(group, new, Mark::primary(group.term() + 1, history), context).await?;
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

/// Has the Services lead to the new primary, and waits until the nodes do. Connections that are there stay with the old one,
/// which takes writes as ever; of those that begin now the writes are refused until the role has moved.
async fn lead(group: &Group<'_>, (old, new): (i32, i32), context: &Context) -> Result<(), Error> {
    labels::ensure(group, new, labels::Labels::new(true, true), context).await?;
    labels::ensure(group, old, labels::Labels::new(false, false), context).await?;
    turns::rest(LEAD).await;
    if context.leadership.is_held() { Ok(()) } else { Err(Error::NotLeading) }
}

/// Has them lead to the old primary again, which is still the one.
async fn lead_back(group: &Group<'_>, (old, new): (i32, i32), context: &Context) -> Result<(), Error> {
    if !context.leadership.is_held() {
        return Err(Error::NotLeading);
    }
    labels::ensure(group, old, labels::Labels::new(true, false), context).await?;
    act::lose_clients(group, new, context);
    labels::ensure(group, new, labels::Labels::new(false, true), context).await
}

/// Has writes wait on the old primary, and moves the role when the new one has all that came before; whether it did.
async fn moves(
    group: &Group<'_>,
    (old, server): (i32, &mut Server),
    (new, target, heir): (i32, IpAddr, &mut Server),
    context: &Context,
) -> Result<bool, Error> {
    let led = || if context.leadership.is_held() { Ok(()) } else { Err(Error::NotLeading) };
    server.pause_writes(STANDSTILL).await.map_err(act::failed(group, old))?;
    if !catches_up(group, (old, server), (new, heir)).await? {
        led()?;
        server.resume_writes().await.map_err(act::failed(group, old))?;
        return Ok(false);
    }
    led()?;
    // Up to here the old one is what it was. It takes no more writes before the new one takes any: clients may reach both. An
    // operator that dies before the new one is promoted leaves nobody who does: the next one promotes who has most.
    let port = u16::try_from(PORT).unwrap_or_default();
    server.follow((target, port)).await.map_err(act::failed(group, old))?;
    // The pause may have been over before its time, by a clock or another operator.
    let all = has_all(group, (old, server), (new, heir)).await;
    led()?;
    let (pod, primary) = if matches!(all, Ok(true)) { (new, heir) } else { (old, &mut *server) };
    primary.promote().await.map_err(act::failed(group, pod))?;
    server.resume_writes().await.map_err(act::failed(group, old))?;
    all
}

/// Whether the new primary has the last write that the old one took, which takes none any more.
async fn has_all(
    group: &Group<'_>,
    (old, server): (i32, &mut Server),
    (new, heir): (i32, &mut Server),
) -> Result<bool, Error> {
    let last = server.standing().await.map_err(act::failed(group, old))?.offset;
    comes_to(group, (new, heir), |heir| (heir.offset >= last).then_some(true)).await
}

/// Whether the new primary comes to have all that the old one has, whose writes wait.
async fn catches_up(
    group: &Group<'_>,
    (old, server): (i32, &mut Server),
    (new, heir): (i32, &mut Server),
) -> Result<bool, Error> {
    let leader = server.standing().await.map_err(act::failed(group, old))?;
    comes_to(group, (new, heir), |heir| {
        let follows = leader.is_primary && !heir.is_primary && heir.link_up;
        let has_all = heir.history == leader.history && heir.offset >= leader.offset;
        if follows { has_all.then_some(true) } else { Some(false) }
    })
    .await
}

/// Asks the new primary until that is decided; no when it is not in time.
async fn comes_to(
    group: &Group<'_>,
    (new, heir): (i32, &mut Server),
    decided: impl Fn(&Standing) -> Option<bool>,
) -> Result<bool, Error> {
    let until = Instant::now() + CATCHING_UP;
    let mut step = tokio::time::interval(STEP);
    while Instant::now() < until {
        step.tick().await;
        if let Some(decided) = decided(&heir.standing().await.map_err(act::failed(group, new))?) {
            return Ok(decided);
        }
    }
    Ok(false)
}
