//! Carries out what was decided: promotes, brings the others behind the primary, labels, marks. Each step leaves a state that
//! the next pass understands, whichever operator makes it.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use kube::Resource;

use super::{CHECK, Group, Roles, SOON, address, fence, labels, marks, sync};
use crate::{
    controller::{context::Context, error::Error, events, servers},
    domain::{
        names::PORT,
        observed::Aspect,
        reason::Reason,
        replication::{
            Answer, Member, Role, aspect, astray, in_sync,
            record::{Mark, State},
            verdict::Cause,
        },
    },
    metrics::RoleChange,
    redis::{Server, ServerError},
};

/// How long a server may take to accept a connection, and to answer a command.
const DEADLINES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
/// How long after it lost the role the clients of a server are sent away again: they may have come back to it before the
/// Service led them elsewhere.
const FAREWELL: Duration = Duration::from_secs(2);

/// A connection to the server of a pod, for a command that only one who leads may give.
pub(super) async fn connect(
    group: &Group<'_>,
    ordinal: i32,
    address: IpAddr,
    context: &Context,
) -> Result<Server, Error> {
    if !context.leadership.is_held() {
        return Err(Error::NotLeading);
    }
    let port = u16::try_from(PORT).unwrap_or_default();
    Server::connect_within((address, port), group.credentials(), DEADLINES).await.map_err(failed(group, ordinal))
}

/// What turns a server's failure into an error that names its pod.
pub(super) fn failed(group: &Group<'_>, ordinal: i32) -> impl FnOnce(ServerError) -> Error + use<> {
    let pod = group.pod(ordinal);
    move |source| Error::Server { pod, source: Box::new(source) }
}

/// Makes this one the primary. First the claim says so, then the Service leaves every other, then it is promoted: at no time
/// do two that take writes stand behind the Service.
pub(super) async fn promote(
    group: &Group<'_>,
    members: Vec<Member>,
    ordinal: i32,
    cause: &Cause,
    context: &Context,
) -> Result<Roles, Error> {
    let Some(target) = address(&members, ordinal) else {
        return Ok(Roles::missing(members, Reason::PrimaryMissing, "the pod to be promoted is gone again".to_owned()));
    };
    if let Some(message) = fence::hidden_primary(group, cause, context).await? {
        return Ok(Roles::missing(members, Reason::PrimaryUnreachable, message)); // client
    }
    let begun = Instant::now();
    let former = group.record.as_ref().and_then(|record| record.primary);
    let history = group.record.as_ref().filter(|record| !record.is_unsettled()).map(|record| record.history.clone());
    let history = history.unwrap_or_else(|| history_of(&members, ordinal));
    let term = group.term() + 1;
    tracing::info!(pod = group.pod(ordinal), term, ?cause, "promoting");
    // Until another is promoted, the former primary has the newest data: an operator may die, or all servers restart.
    let state = if former.is_none_or(|former| former == ordinal) { State::Primary } else { State::Promoting };
    marks::ensure(group, ordinal, Mark { term, history, state }, context).await?;
    for other in members.iter().filter(|member| member.ordinal != ordinal) {
        let labelled = labels::present(group, other.ordinal, context).is_some_and(labels::Labels::is_primary);
        if labelled {
            labels::ensure(group, other.ordinal, labels::Labels::new(false, false), context).await?;
        }
        // The recorded one lost the label earlier if its role was being handed over, and nobody came to send its clients away.
        if labelled || group.record.as_ref().is_some_and(|record| record.primary == Some(other.ordinal)) {
            lose_clients(group, other.ordinal, context);
        }
        if other.takes_writes() {
            demote(group, other, (ordinal, target), context).await?;
        }
    }
    let mut server = connect(group, ordinal, target, context).await?;
    server.promote().await.map_err(failed(group, ordinal))?;
    // From now on it may have writes that no other server has, in a history of its own.
    let history = server.standing().await.map_err(failed(group, ordinal))?.history;
    marks::ensure(group, ordinal, Mark::primary(term, history), context).await?;
    context.remember(&group.uid, |memory| {
        (memory.replication.sighting, memory.replication.fenced) = (None, None);
    });
    labels::ensure(group, ordinal, labels::Labels::new(true, true), context).await?;
    told(group, ordinal, cause, begun, context).await;
    for other in members.iter().filter(|member| member.ordinal != ordinal && !member.takes_writes()) {
        follow(group, other, target, context).await;
    }
    let message = format!("the replicas are being brought behind primary {}", group.pod(ordinal));
    let aspect = Aspect { holds: Some(false), reason: Reason::Synchronising, message };
    Ok(Roles { primary: Some(ordinal), in_sync: BTreeSet::new(), members, aspect, again: SOON })
}

/// Counts and tells a promotion.
async fn told(group: &Group<'_>, ordinal: i32, cause: &Cause, begun: Instant, context: &Context) {
    let unserved = context.recall(&group.uid, |memory| memory.replication.primary_seen);
    let pod = group.pod(ordinal);
    let (reason, kind, note) = match cause {
        Cause::First => (Reason::PrimaryElected, RoleChange::Election, format!("{pod} is the first primary")),
        Cause::Restart => (
            Reason::PrimaryElected,
            RoleChange::Restart,
            format!("{pod}, which has the newest data, is primary again after its restart"),
        ),
        Cause::Asked => (Reason::PrimaryElected, RoleChange::Asked, format!("promoted {pod}, as asked for")),
        Cause::Failover(seen) => {
            let took = unserved.map(|since| format!("; no writes for {:.1} s", since.elapsed().as_secs_f64()));
            let note = format!("promoted {pod}: {seen}{}", took.unwrap_or_default());
            (Reason::FailedOver, RoleChange::Failover, note)
        }
    };
    let noticed = unserved.map(|since| begun.saturating_duration_since(since));
    context.metrics.roles.changed(kind, noticed, begun.elapsed());
    tracing::info!(pod, ?cause, "promoted");
    events::role_changed(&group.stored.object_ref(&()), reason, note, context).await;
}

/// Brings everything behind a primary that there is. `renew` begins a new term, so that a word for the present one counts
/// no more.
pub(super) async fn settle(
    group: &Group<'_>,
    members: Vec<Member>,
    primary: i32,
    renew: bool,
    context: &Context,
) -> Result<Roles, Error> {
    let in_sync = in_sync(&members, primary, group.limits.hearing);
    if let Some(target) = address(&members, primary) {
        let term = if renew { group.term() + 1 } else { marks::term(group, primary, context) };
        let history = history_of(&members, primary);
        // Told once: from the next line on the record names the present one, if its claim can be marked.
        let recorded = group.record.as_ref().and_then(|record| record.primary);
        if let Some(former) = recorded.filter(|former| *former != primary && marks::is_lasting(group, primary, context))
        {
            lose_clients(group, former, context);
        }
        marks::ensure(group, primary, Mark::primary(term, history.clone()), context).await?;
        for member in members.iter().filter(|member| member.ordinal != primary && member.takes_writes()) {
            labels::ensure(group, member.ordinal, labels::Labels::new(false, false), context).await?;
            demote(group, member, (primary, target), context).await?;
        }
        for ordinal in astray(&members, primary) {
            if let Some(member) = members.iter().find(|member| member.ordinal == ordinal) {
                follow(group, member, target, context).await;
            }
        }
        sync::record(group, &members, (primary, term), &in_sync, context).await?;
    } else {
        sync::record_lost(group, &members, primary, context).await?;
    }
    let busy = members.iter().any(|member| member.ordinal == primary && matches!(member.answer, Answer::Evasive(_)));
    let steady = &in_sync | &sync::hiccups(group, &members, context);
    let reads = if busy { sync::still_in_sync(group, &members, primary, context) } else { steady.clone() };
    label(group, &members, primary, &reads, context).await?;
    let mut aspect = aspect(&group.name, &members, primary, &steady);
    let is_full = aspect.reason == Reason::MaxClientsReached;
    if let Some(message) = sync::busy_for_long(group, primary, busy && !is_full, context) {
        aspect.message = message;
    }
    context.remember(&group.uid, |memory| memory.replication.aspect = Some(aspect.clone()));
    let again = if aspect.holds == Some(false) { SOON } else { CHECK };
    Ok(Roles { primary: Some(primary), in_sync, members, aspect, again })
}

/// Brings the labels of all pods to their roles: those that lose something first.
pub(super) async fn label(
    group: &Group<'_>,
    members: &[Member],
    primary: i32,
    in_sync: &BTreeSet<i32>,
    context: &Context,
) -> Result<(), Error> {
    if group.running <= 1 {
        return Ok(());
    }
    let others = members.iter().map(|member| member.ordinal).filter(|ordinal| *ordinal != primary);
    for ordinal in others {
        if labels::present(group, ordinal, context).is_some_and(labels::Labels::is_primary) {
            lose_clients(group, ordinal, context);
        }
        labels::ensure(group, ordinal, labels::Labels::new(false, in_sync.contains(&ordinal)), context).await?;
    }
    labels::ensure(group, primary, labels::Labels::new(true, in_sync.is_empty()), context).await
}

/// Makes a server that takes writes beside the primary a replica, whatever it had alone.
async fn demote(
    group: &Group<'_>,
    member: &Member,
    (primary, target): (i32, IpAddr),
    context: &Context,
) -> Result<(), Error> {
    let Some(address) = member.told().map(|told| told.address) else { return Ok(()) };
    let mut server = connect(group, member.ordinal, address, context).await?;
    server.follow((target, u16::try_from(PORT).unwrap_or_default())).await.map_err(failed(group, member.ordinal))?;
    send_away(group, member.ordinal, &mut server, address, context).await;
    let note = format!(
        "{} took writes beside primary {}: it follows it now, and what only it had is gone",
        group.pod(member.ordinal),
        group.pod(primary)
    );
    events::role_changed(&group.stored.object_ref(&()), Reason::Demoted, note, context).await;
    Ok(())
}

/// Ends the connections of the clients of a server that lost the role, now and for a little while.
pub(super) async fn send_away(
    group: &Group<'_>,
    ordinal: i32,
    server: &mut Server,
    address: IpAddr,
    context: &Context,
) {
    if let Err(error) = server.disconnect_clients().await {
        tracing::warn!(pod = group.pod(ordinal), %error, "cannot send the clients of a former primary away");
    }
    dismiss(group, Some(address), context);
}

/// The same for a pod to which the Service led and which is not the primary, in the passes that follow.
pub(super) fn lose_clients(group: &Group<'_>, ordinal: i32, context: &Context) {
    dismiss(group, group.object(ordinal).and_then(servers::address), context);
}

/// Whoever comes to this address while the Service still leads there is sent away, also when nobody answers there yet.
fn dismiss(group: &Group<'_>, address: Option<IpAddr>, context: &Context) {
    let until = Instant::now() + FAREWELL;
    context.remember(&group.uid, |memory| {
        memory.replication.dismissed.extend(address.map(|address| (address, until)));
    });
}

/// The same for those who came back before the Service led them elsewhere; whether there may be more.
pub(super) async fn send_away_again(group: &Group<'_>, roles: &Roles, context: &Context) -> bool {
    let now = Instant::now();
    let due: Vec<IpAddr> = context.remember(&group.uid, |memory| {
        let dismissed = &mut memory.replication.dismissed;
        dismissed.retain(|(_, until)| *until > now);
        dismissed.iter().map(|(address, _)| *address).collect()
    });
    let more = !due.is_empty();
    let replica = |address: IpAddr| {
        roles.members.iter().find(|member| {
            Some(member.ordinal) != roles.primary && member.told().is_some_and(|told| told.address == address)
        })
    };
    for (address, member) in due.into_iter().filter_map(|address| Some((address, replica(address)?))) {
        let sent =
            async { connect(group, member.ordinal, address, context).await.ok()?.disconnect_clients().await.ok() };
        if sent.await.is_none() {
            tracing::debug!(pod = group.pod(member.ordinal), "a former primary cannot be reached any more");
        }
    }
    more
}

/// Makes a replica follow the primary; one that cannot be told now is told in the next pass.
async fn follow(group: &Group<'_>, member: &Member, target: IpAddr, context: &Context) {
    let Some(told) = member.told().filter(|told| !told.loading) else { return };
    if matches!(&told.role, Role::Replica(link) if link.of == Some(target)) {
        return;
    }
    let port = u16::try_from(PORT).unwrap_or_default();
    let followed = async {
        let mut server = connect(group, member.ordinal, told.address, context).await?;
        server.follow((target, port)).await.map_err(failed(group, member.ordinal))
    };
    match followed.await {
        Ok(()) => tracing::info!(pod = group.pod(member.ordinal), primary = %target, "follows"),
        Err(error) => tracing::warn!(%error, "cannot send REPLICAOF to a replica"),
    }
}

pub(super) fn history_of(members: &[Member], ordinal: i32) -> String {
    let member = members.iter().find(|member| member.ordinal == ordinal);
    member.and_then(Member::told).map(|told| told.history.clone()).unwrap_or_default()
}
