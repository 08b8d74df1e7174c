//! What is remembered and recorded of the replicas: which are in sync with the primary, before that matters. The memory is
//! always newer than the marks, which outlive this process; a mark is written when a state has lasted.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{Group, Memory, Roles, SOON, labels, marks, process, sighting::Sighting};
use crate::{
    controller::{context::Context, error::Error},
    domain::replication::{
        Answer, Member, Role,
        record::{Mark, State},
        seen::{Seen, hearers},
    },
};

/// How long a replica is in sync or out of sync before its mark says so: a mark is not written for every hiccup.
const LASTING: Duration = Duration::from_secs(3);
/// How long a server may not answer before its role, its labels and the status follow: two questions.
const HICCUP: Duration = Duration::from_secs(2);
/// How long a primary may be busy before that is reported, and the replicas leave the Service for reads.
const BUSY_LIMIT: Duration = Duration::from_mins(1);

/// What was seen of the primary of this group.
pub(super) fn seen(group: &Group<'_>, context: &Context) -> Option<Seen> {
    context.recall(&group.uid, |memory| memory.replication.sighting.as_ref().map(Sighting::seen))
}

/// Updates what was seen of the primary by the answers to questions that were sent after `asked`.
pub(super) fn listen(group: &Group<'_>, members: &[Member], asked: Instant, context: &Context) {
    context.remember(&group.uid, |memory| {
        if let Some(sighting) = &mut memory.replication.sighting {
            sighting.listen(members, group.limits, asked, Instant::now());
        }
    });
}

/// Remembers which replicas are in sync with a primary that answers, and marks the claims of those whose state has lasted.
pub(super) async fn record(
    group: &Group<'_>,
    members: &[Member],
    (primary, term): (i32, u64),
    in_sync: &BTreeSet<i32>,
    context: &Context,
) -> Result<(), Error> {
    let Some(told) = members.iter().find(|member| member.ordinal == primary).and_then(Member::told) else {
        return Ok(());
    };
    let now = Instant::now();
    let process = group.object(primary).and_then(process);
    let lasting: Vec<(i32, bool)> = context.remember(&group.uid, |memory| {
        let memory = &mut memory.replication;
        let former =
            memory.sighting.take().filter(|former| former.primary == primary && former.history == told.history);
        let mut sighting = former.unwrap_or_else(|| Sighting::new(primary, told, now));
        sighting.answers(told, process, in_sync.clone(), now);
        sighting.listen(members, group.limits, now, now);
        memory.sighting = Some(sighting);
        memory.fenced = None;
        let others = members.iter().map(|member| member.ordinal).filter(|ordinal| *ordinal != primary);
        others
            .filter_map(|ordinal| {
                let state = in_sync.contains(&ordinal);
                let since = turn(&mut memory.turned, ordinal, state, now);
                // What was recorded of an earlier term says nothing about this one.
                let marked = marks::of(group, ordinal, &memory.marks, context).filter(|mark| mark.term == term);
                let fresh = state && marked.is_none();
                let differs = marked.is_some_and(|mark| state != (mark.state == State::Replica));
                (fresh || if differs { now - since >= LASTING } else { state }).then_some((ordinal, state))
            })
            .collect()
    });
    for (ordinal, state) in lasting {
        let state = if state { State::Replica } else { State::Behind };
        marks::ensure(group, ordinal, Mark { term, history: told.history.clone(), state }, context).await?;
    }
    Ok(())
}

/// Marks the claims of replicas that are not known to hear a primary which cannot be asked: it may take writes meanwhile. A replica
/// that is in sync again is recorded when the primary answers.
pub(super) async fn record_lost(
    group: &Group<'_>,
    members: &[Member],
    primary: i32,
    context: &Context,
) -> Result<(), Error> {
    let address = members.iter().find(|member| member.ordinal == primary).and_then(|member| member.address);
    let record = group.record.as_ref().filter(|record| record.primary == Some(primary) && !record.is_unsettled());
    let Some((address, record)) = address.zip(record) else { return Ok(()) };
    let now = Instant::now();
    let heard = hearers(members, primary, address, group.limits.hearing);
    let others = members.iter().map(|member| member.ordinal).filter(|ordinal| *ordinal != primary);
    let lost: Vec<i32> = context.remember(&group.uid, |memory| {
        let Memory { turned, sighting, .. } = &mut memory.replication;
        let sighting = sighting.as_ref().filter(|sighting| sighting.primary == primary);
        let lasts = |ordinal: &i32| {
            let has_all = || sighting.is_some_and(|sighting| sighting.has_heard_all(*ordinal, group.limits, now));
            if heard.contains_key(ordinal) || has_all() {
                // From here on the time counts; whether it is in sync is not known.
                turned.insert(*ordinal, (false, now));
                return false;
            }
            now - turn(turned, *ordinal, false, now) >= LASTING
        };
        others.filter(lasts).filter(|ordinal| record.members.contains(ordinal)).collect()
    });
    for ordinal in lost {
        let mark = Mark { term: record.term, history: record.history.clone(), state: State::Behind };
        marks::ensure(group, ordinal, mark, context).await?;
    }
    Ok(())
}

/// Since when a replica has been as it is.
fn turn(turned: &mut BTreeMap<i32, (bool, Instant)>, ordinal: i32, state: bool, now: Instant) -> Instant {
    let turned = turned.entry(ordinal).or_insert((state, now));
    if turned.0 != state {
        *turned = (state, now);
    }
    turned.1
}

/// The replicas that were in sync with a primary that is busy, and are still connected to it: it takes no writes meanwhile.
pub(super) fn still_in_sync(group: &Group<'_>, members: &[Member], primary: i32, context: &Context) -> BTreeSet<i32> {
    let seen = context.recall(&group.uid, |memory| memory.replication.sighting.clone());
    let Some(seen) = seen.filter(|seen| seen.primary == primary && seen.at.elapsed() < BUSY_LIMIT) else {
        return BTreeSet::new();
    };
    let follows = |member: &&Member| {
        let told = member.told().filter(|told| !told.loading);
        told.is_some_and(|told| matches!(&told.role, Role::Replica(link) if link.up && !link.syncing))
    };
    let members = members.iter().filter(|member| seen.in_sync.contains(&member.ordinal));
    members.filter(follows).map(|member| member.ordinal).collect()
}

/// The replicas that were in sync and did not answer a single question: one may get lost, or be late.
pub(super) fn hiccups(group: &Group<'_>, members: &[Member], context: &Context) -> BTreeSet<i32> {
    let serves = |ordinal| labels::present(group, ordinal, context).is_some_and(labels::Labels::reads);
    let short = |member: &&Member| matches!(member.answer, Answer::Silent { seconds } if seconds < HICCUP.as_secs());
    let short = members.iter().filter(short).map(|member| member.ordinal);
    short.filter(|ordinal| serves(*ordinal)).collect()
}

/// The roles as they were, while the primary has not answered for a moment only. No replica counts as in sync meanwhile.
pub(super) fn steady(group: &Group<'_>, members: &[Member], context: &Context) -> Option<Roles> {
    let former =
        context.recall(&group.uid, |memory| memory.replication.sighting.clone().zip(memory.replication.aspect.clone()));
    let (seen, aspect) = former.filter(|(seen, _)| seen.at.elapsed() < HICCUP)?;
    let silent = |member: &Member| member.ordinal == seen.primary && matches!(member.answer, Answer::Silent { .. });
    let waits = members.iter().any(|member| silent(member) && !member.ended && !member.leaving);
    let members = members.to_vec();
    waits.then(|| Roles { primary: Some(seen.primary), in_sync: BTreeSet::new(), members, aspect, again: SOON })
}

/// What to do about a primary that has been busy for longer than it should be.
pub(super) fn busy_for_long(group: &Group<'_>, primary: i32, busy: bool, context: &Context) -> Option<String> {
    let now = Instant::now();
    let since = context.remember(&group.uid, |memory| {
        let since = &mut memory.replication.busy;
        *since = busy.then(|| since.unwrap_or(now));
        *since
    });
    let seconds = since.map(|since| now - since).filter(|busy| *busy >= BUSY_LIMIT)?.as_secs() / 60 * 60;
    let pod = group.pod(primary);
    Some(format!("primary {pod} has been busy for over {seconds} s: end a script with SCRIPT KILL, or delete the pod"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_lasts_from_when_it_began() {
        let (begun, mut turned) = (Instant::now(), BTreeMap::new());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut since = |second, state| turn(&mut turned, 1, state, at(second));
        assert_eq!(
            [since(0, true), since(3, true), since(4, false), since(9, false), since(10, true)],
            [at(0), at(0), at(4), at(4), at(10)]
        );
    }
}
