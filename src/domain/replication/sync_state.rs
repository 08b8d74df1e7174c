//! Determines which replicas are in sync with the primary, how far each one lags, and the condition `Replicated`.

use std::collections::BTreeSet;

use super::{Answer, Evasion, Member, Role, Told};
use crate::domain::{names, observed::Aspect, reason::Reason};

/// Maximum lag of a replica in sync, in bytes. Primary and replica are not probed at the same instant, so writes in
/// between must not count.
pub const LAG_LIMIT: u64 = 16 << 20;

/// Bytes of the primary's history that this replica does not have yet, as both were asked, which is not in the same instant;
/// `None` for the primary, and for one whose history is another.
#[must_use]
pub fn lag(members: &[Member], primary: i32, ordinal: i32) -> Option<u64> {
    let loaded = |at: i32| members.iter().find(|member| member.ordinal == at).and_then(Member::loaded);
    let (leader, replica) = (loaded(primary)?, loaded(ordinal)?);
    (ordinal != primary && leader.history == replica.history).then(|| leader.offset.saturating_sub(replica.offset))
}

/// The replicas that have all data of the primary, except for writes in flight, and that heard from it within this many
/// seconds.
#[must_use]
pub fn in_sync(members: &[Member], primary: i32, hearing: u64) -> BTreeSet<i32> {
    let Some(leader) = members.iter().find(|member| member.ordinal == primary).and_then(Member::loaded) else {
        return BTreeSet::new();
    };
    let synced = |reported: &Told| match &reported.role {
        Role::Replica(link) => {
            link.of == Some(leader.address)
                && link.hears(hearing)
                && !link.syncing
                && reported.history == leader.history
                && leader.offset.saturating_sub(reported.offset) < LAG_LIMIT
        }
        Role::Primary => false,
    };
    let others = members.iter().filter(|member| member.ordinal != primary);
    others.filter(|member| member.loaded().is_some_and(synced)).map(|member| member.ordinal).collect()
}

/// The condition `Replicated`: true if every replica has the primary's data.
#[must_use]
pub fn aspect(instance: &str, members: &[Member], primary: i32, in_sync: &BTreeSet<i32>) -> Aspect {
    let leader = names::pod(instance, primary);
    let silent = members.iter().find(|member| member.ordinal == primary && member.told().is_none());
    if let Some(silent) = silent {
        let (reason, why) = match silent.answer {
            Answer::Evasive(Evasion::Full) => {
                (Reason::MaxClientsReached, "all connections that maxclients allows are in use")
            }
            Answer::Evasive(Evasion::Busy) => (Reason::Busy, "it is busy"),
            _ => (Reason::Busy, "it is busy, or has another password"),
        };
        let message = format!("primary {leader} does not say how its replicas are: {why}");
        return Aspect { holds: None, reason, message };
    }
    let others = members.iter().map(|member| member.ordinal).filter(|ordinal| *ordinal != primary);
    let behind: Vec<String> =
        others.filter(|ordinal| !in_sync.contains(ordinal)).map(|ordinal| names::pod(instance, ordinal)).collect();
    if behind.is_empty() {
        let message = format!("all replicas are in sync with primary {leader}");
        return Aspect { holds: Some(true), reason: Reason::InSync, message };
    }
    let message = format!("not in sync with primary {leader} yet: {}", behind.join(", "));
    Aspect { holds: Some(false), reason: Reason::Synchronising, message }
}

/// The replicas that follow another address than the primary's.
#[must_use]
pub fn astray(members: &[Member], primary: i32) -> Vec<i32> {
    let Some(address) =
        members.iter().find(|m| m.ordinal == primary).and_then(|m| m.told()).map(|reported| reported.address)
    else {
        return Vec::new();
    };
    let astray = |reported: &Told| matches!(&reported.role, Role::Replica(link) if link.of != Some(address));
    let others = members.iter().filter(|member| member.ordinal != primary);
    others.filter(|member| member.loaded().is_some_and(astray)).map(|member| member.ordinal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::replication::fixtures::{member, primary, replica, started, told_mut};

    #[test]
    fn a_replica_is_in_sync_when_it_follows_closely_in_the_same_history() {
        let far = LAG_LIMIT + 100;
        let mut syncing = replica(4, 0, "a", far);
        let Role::Replica(link) = &mut told_mut(&mut syncing).role else { unreachable!() };
        link.syncing = true;
        let mut deaf = replica(7, 0, "a", far);
        let Role::Replica(link) = &mut told_mut(&mut deaf).role else { unreachable!() };
        link.silence = Some(3);
        let members = [
            primary(0, "a", far),
            replica(1, 0, "a", far - 10),
            replica(2, 0, "a", 50),
            replica(3, 0, "b", far),
            syncing,
            replica(5, 1, "a", far),
            started(6, false),
            deaf,
        ];
        assert_eq!(in_sync(&members, 0, 3), [1].into());
        assert_eq!(astray(&members, 0), [5, 6]);
        assert!(in_sync(&members, 8, 3).is_empty() && astray(&members, 8).is_empty());
        assert_eq!(
            [0, 1, 2, 3, 6].map(|ordinal| lag(&members, 0, ordinal)),
            [None, Some(10), Some(far - 50), None, None]
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let members = [primary(0, "a", 9), replica(1, 0, "a", 9), started(2, true)];
        let condition = |members: &[Member], in_sync: &[i32]| {
            let aspect = aspect("cache", members, 0, &in_sync.iter().copied().collect());
            (aspect.holds, aspect.message)
        };
        assert_eq!(
            condition(&members, &[1]),
            (Some(false), "not in sync with primary cache-0 yet: cache-2".to_owned())
        );
        assert_eq!(
            condition(&members, &[1, 2]),
            (Some(true), "all replicas are in sync with primary cache-0".to_owned())
        );
        for (evasion, reason) in
            [(Evasion::Full, Reason::MaxClientsReached), (Evasion::Busy, Reason::Busy), (Evasion::Other, Reason::Busy)]
        {
            let aspect = aspect("cache", &[member(0, Answer::Evasive(evasion))], 0, &BTreeSet::new());
            assert_eq!((aspect.holds, aspect.reason), (None, reason));
        }
    }
}
