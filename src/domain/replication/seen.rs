//! The last observation of the primary and its replicas by this process. It is more recent than the records on the
//! claims, and proves which replicas can take over without loss.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Answer, Evasion, Member, Told};

/// Tolerance in seconds, beyond the ping timeout, between the last contact of a replica with the primary and the last
/// sign of life of the primary: one probe of the replica may be lost.
const UNHEARD_LIMIT: u64 = 2;

/// The observation when the primary last responded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Ordinal of the primary.
    pub primary: i32,
    /// Replication ID of the primary.
    pub history: String,
    /// Minimum replication offset of the primary, in bytes: its own, or that of a replica with a later contact.
    pub offset: u64,
    /// The offset at least one second before that; a replica in sync has reached it.
    pub earlier: u64,
    /// Seconds since the primary last reported its own offset.
    pub ago: u64,
    /// The replicas that were in sync then.
    pub in_sync: BTreeSet<i32>,
    /// Seconds for which the primary is known to have been alive after the last contact of each replica.
    pub unheard: BTreeMap<i32, u64>,
}

impl Seen {
    /// True if this replica was in sync when the primary last responded, has what the primary had one second earlier,
    /// and was connected as long as the primary is known to have been alive: an unreachable primary may accept writes
    /// for hours.
    #[must_use]
    pub(super) fn proves(&self, ordinal: i32, reported: &Told, hearing: u64) -> bool {
        self.in_sync.contains(&ordinal)
            && reported.continues(&self.history)
            && reported.offset >= self.earlier
            && self.is_heard(ordinal, hearing)
    }

    /// True if this replica was connected as long as the primary can have acknowledged writes.
    #[must_use]
    pub fn is_heard(&self, ordinal: i32, hearing: u64) -> bool {
        let limit = hearing.saturating_add(UNHEARD_LIMIT);
        self.unheard.get(&ordinal).is_some_and(|seconds| *seconds <= limit)
    }

    /// Bytes of the replication stream that this server lacks, as far as known.
    #[must_use]
    pub(super) fn lacks(&self, reported: &Told) -> Option<u64> {
        reported.continues(&self.history).then(|| self.offset.saturating_sub(reported.offset))
    }
}

/// The replicas that are connected to the primary at this address, with the seconds since their last contact and their
/// reported state. A primary that runs a script sends nothing and acknowledges nothing, so a connected replica has all
/// its data.
#[must_use]
pub fn hearers(members: &[Member], primary: i32, address: IpAddr, hearing: u64) -> BTreeMap<i32, (u64, &Told)> {
    let busy = members.iter().any(|member| member.ordinal == primary && member.is_busy());
    let heard = |reported: &Told| {
        let link = reported.link().filter(|link| link.of == Some(address) && link.up && !link.syncing)?;
        if busy { Some(0) } else { link.silence.filter(|_| link.hears(hearing)) }
    };
    let others = members.iter().filter(|member| member.ordinal != primary);
    others
        .filter_map(|member| {
            let reported = member.loaded()?;
            Some((member.ordinal, (heard(reported)?, reported)))
        })
        .collect()
}

/// True if the last primary process is still running and may acknowledge more writes. It does not while it runs a
/// script, even if that takes so long that its replicas disconnect (`repl-timeout`).
#[must_use]
pub fn may_acknowledge(primary: &Member) -> bool {
    let evades = matches!(primary.answer, Answer::Evasive(Evasion::Full | Evasion::Other));
    !primary.ended && (primary.takes_writes() || evades)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::replication::{
        Role,
        fixtures::{address, member, primary, replica, started, told_mut},
    };

    #[test]
    fn only_a_replica_that_is_connected_to_the_primary_hears_it() {
        let with = |change: fn(&mut crate::domain::replication::Link)| {
            let mut replica = replica(1, 0, "a", 50);
            let Role::Replica(link) = &mut told_mut(&mut replica).role else { unreachable!() };
            change(link);
            replica
        };
        let heard = |primary: Member, replica: Member| {
            let members = [primary, replica];
            hearers(&members, 0, address(0), 3).get(&1).map(|(seconds, reported)| (*seconds, reported.offset))
        };
        let full = || member(0, Answer::Evasive(Evasion::Full));
        let busy = || member(0, Answer::Evasive(Evasion::Busy));
        for (primary, replica, expected) in [
            (primary(0, "a", 90), replica(1, 0, "a", 50), Some((0, 50))),
            (full(), with(|link| link.silence = Some(2)), Some((2, 50))),
            (full(), with(|link| link.silence = Some(3)), None),
            (full(), with(|link| (link.up, link.down) = (false, Some(0))), None),
            (full(), with(|link| link.syncing = true), None),
            (full(), replica(1, 2, "a", 50), None),
            (full(), started(1, false), None),
            (full(), member(1, Answer::Evasive(Evasion::Full)), None),
            (busy(), with(|link| link.silence = Some(40)), Some((0, 50))),
            (busy(), with(|link| (link.up, link.down) = (false, Some(0))), None),
        ] {
            assert_eq!(heard(primary.clone(), replica.clone()), expected, "{primary:?} {replica:?}");
        }
    }

    #[test]
    fn a_primary_may_acknowledge_while_its_process_answers_and_runs_no_script() {
        let full = || member(0, Answer::Evasive(Evasion::Full));
        assert!(may_acknowledge(&full()) && may_acknowledge(&primary(0, "a", 9)));
        for dead in [
            Member { ended: true, ..full() },
            member(0, Answer::Evasive(Evasion::Busy)),
            replica(0, 1, "a", 9),
            member(0, Answer::Absent),
            member(0, Answer::Silent { seconds: 1 }),
        ] {
            assert!(!may_acknowledge(&dead), "{dead:?}");
        }
    }
}
