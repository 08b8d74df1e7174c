//! Selects the next pod to restart among those whose servers have reached `maxclients`, because only a restart gives
//! them a larger limit. A full primary accepts no replica either, so it is restarted first.

use std::collections::BTreeSet;

use super::{Answer, Member, fence::SILENCE_LIMIT, seen::hearers};

/// The full server to restart now, or what has to come before that, in words that follow "is restarted".
///
/// A full primary is restarted while a replica hears it, which then takes over, or where none can take over: then it is primary
/// again with all that it acknowledged. What a replica has that lost it cannot be asked of a full primary; the election does not
/// promote such a one.
///
/// # Errors
/// What is waited for.
pub fn next_restarted(
    members: &[Member],
    primary: Option<i32>,
    full: &BTreeSet<i32>,
    hearing: u64,
) -> Result<i32, &'static str> {
    let is_there = |member: &Member| !member.leaving && (member.hindered || member.answer != Answer::Absent);
    let Some(primary) = primary else {
        let all = members.iter().all(is_there);
        // A server that did not restart since may be the only replica in sync, and would be in another history after a restart.
        let is_restarted = |member: &Member| full.contains(&member.ordinal) && (member.ended || members.len() == 1);
        let restarted = members.iter().find(|member| is_restarted(member)).filter(|_| all);
        return restarted.map(|member| member.ordinal).ok_or("once there is a primary and the other pods run; where the operator has to choose one, close connections of clients");
    };
    let leader = members.iter().find(|member| member.ordinal == primary);
    if full.contains(&primary) {
        let heard = leader.and_then(|leader| leader.address).map(|at| hearers(members, primary, at, hearing));
        let stays = |ordinal: &i32| members.iter().any(|member| member.ordinal == *ordinal && !member.leaving);
        let is_heard = heard.is_some_and(|heard| heard.keys().any(stays));
        let is_late = |member: &Member| {
            matches!(member.answer, Answer::Silent { seconds } if seconds < SILENCE_LIMIT) && !member.ended
        };
        let known = is_heard || !members.iter().any(is_late);
        return known.then_some(primary).ok_or("once it is known whether a replica can take over");
    }
    if !leader.is_some_and(Member::takes_writes) {
        return Err("once the primary answers the operator");
    }
    let serves = |member: &Member| is_there(member) && (member.unready.is_none() || full.contains(&member.ordinal));
    let last = full.last().copied().filter(|_| members.iter().all(serves));
    last.ok_or("once the other pods are ready")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::replication::{
        Evasion, Role,
        fixtures::{address, member, primary, replica, started, told_mut},
    };

    fn full(ordinal: i32) -> Member {
        Member { address: Some(address(ordinal)), ..member(ordinal, Answer::Evasive(Evasion::Full)) }
    }

    fn unlinked(ordinal: i32) -> Member {
        let mut replica = replica(ordinal, 0, "a", 9);
        let Role::Replica(link) = &mut told_mut(&mut replica).role else { unreachable!() };
        (link.up, link.silence, link.down) = (false, None, Some(9));
        replica
    }

    #[test]
    fn a_full_primary_goes_first_and_then_one_replica_at_a_time() {
        let leaving = |member: Member| Member { leaving: true, ..member };
        let unready = |member: Member| Member { unready: Some(9), ..member };
        let ended = |member: Member| Member { ended: true, ..member };
        let hindered = |ordinal| Member { hindered: true, ..member(ordinal, Answer::Absent) };
        let silent = |seconds| member(1, Answer::Silent { seconds });
        let ok = |ordinal| Some(ordinal);
        let linked = |ordinal| replica(ordinal, 0, "a", 9);
        for (members, lead, without, expected) in [
            // The primary: a replica takes over, or none can.
            (vec![full(0), linked(1), linked(2)], ok(0), vec![0], ok(0)),
            (vec![full(0), unready(linked(1)), member(2, Answer::Absent)], ok(0), vec![0], ok(0)),
            (vec![full(0), unlinked(1)], ok(0), vec![0], ok(0)),
            (vec![full(0), unready(started(1, true))], ok(0), vec![0], ok(0)),
            (vec![full(0), leaving(linked(1))], ok(0), vec![0], ok(0)),
            (vec![full(0), silent(1)], ok(0), vec![0], None),
            (vec![full(0), silent(1), linked(2)], ok(0), vec![0], ok(0)),
            (vec![full(0), silent(SILENCE_LIMIT)], ok(0), vec![0], ok(0)),
            // The primary and replicas, and all.
            (vec![full(0), full(1)], ok(0), vec![0, 1], ok(0)),
            (vec![full(0), linked(1), full(2)], ok(0), vec![0, 2], ok(0)),
            (vec![full(0), full(1), full(2)], ok(0), vec![0, 1, 2], ok(0)),
            // Replicas alone.
            (vec![primary(0, "a", 9), full(1)], ok(0), vec![1], ok(1)),
            (vec![primary(0, "a", 9), full(1), full(2)], ok(0), vec![1, 2], ok(2)),
            (vec![primary(0, "a", 9), full(1), unready(linked(2))], ok(0), vec![1], None),
            (vec![primary(0, "a", 9), full(1), leaving(linked(2))], ok(0), vec![1], None),
            (vec![primary(0, "a", 9), full(1), member(2, Answer::Absent)], ok(0), vec![1], None),
            (vec![primary(0, "a", 9), unready(full(1)), unready(full(2))], ok(0), vec![1, 2], ok(2)),
            // A primary that is full with the larger value too would not take the replica back.
            (vec![full(0), full(1)], ok(0), vec![1], None),
            // Nobody takes writes: one that waits for its role.
            (vec![ended(full(0)), unready(unlinked(1))], None, vec![0], ok(0)),
            (vec![ended(full(0)), member(1, Answer::Absent)], None, vec![0], None),
            (vec![ended(full(0)), hindered(1)], None, vec![0], ok(0)),
            // The only replica in sync of a primary that cannot start.
            (vec![hindered(0), full(1)], None, vec![1], None),
            (vec![full(0)], None, vec![0], ok(0)),
        ] {
            let next = next_restarted(&members, lead, &without.iter().copied().collect(), 3).ok();
            assert_eq!(next, expected, "{lead:?} {without:?} {members:#?}");
        }
    }
}
