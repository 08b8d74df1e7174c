//! Selects the replica to promote after the primary has failed: the most advanced of those that were in sync with it.

use super::Election;
use crate::domain::replication::{Member, Record, Role, Told};

impl<'a> Election<'a> {
    /// The most advanced of the replicas that were in sync when the primary last responded. Of two with the same
    /// offset, a pod that is not terminating is preferred.
    pub(super) fn candidate(&self, record: &Record) -> Option<&'a Member> {
        let follows = |member: &'a Member| {
            let reported = member.loaded().filter(|reported| reported.continues(&record.history))?;
            matches!(reported.role, Role::Replica(_)).then_some((member, reported))
        };
        let candidates: Vec<(&Member, &Told)> = self.members.iter().filter_map(follows).collect();
        // A former primary that kept its history has every write that it acknowledged, or at least those in its
        // snapshot.
        let former = candidates.iter().find(|(member, _)| Some(member.ordinal) == record.primary);
        let seen = self.seen.filter(|seen| Some(seen.primary) == record.primary);
        let safe = |(member, reported): &&(&Member, &Told)| {
            former.is_some_and(|(_, former)| reported.offset >= former.offset)
                || seen.map_or_else(
                    || record.members.contains(&member.ordinal),
                    |seen| seen.proves(member.ordinal, reported, self.limits.hearing),
                )
        };
        let safe = candidates.iter().filter(safe);
        safe.max_by_key(|(member, reported)| {
            (reported.offset, !member.leaving, member.unready.is_none(), -member.ordinal)
        })
        .map(|(member, _)| *member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        reason::Reason,
        replication::{
            Answer, Evasion,
            election::fixtures::{absent, deaf, election, ended, judge, record, silent, stuck},
            fence::{Limits, SILENCE_LIMIT},
            fixtures::{address, member, replica, started, told_mut},
            seen::Seen,
            verdict::{Cause, Verdict},
        },
    };

    #[test]
    fn a_handover_that_was_cut_short_before_the_promotion_ends_with_one_that_has_it_all() {
        let record = record(3, "a", Some(0));
        let mut members = [replica(0, 1, "a", 90), replica(1, 0, "a", 90), replica(2, 0, "a", 80)];
        members[0].leaving = true;
        assert!(matches!(judge(&members, Some(&record), None), Verdict::Promote(1, Cause::Failover(_))));
        members[0].leaving = false;
        assert!(matches!(judge(&members, Some(&record), None), Verdict::Promote(0 | 1, Cause::Failover(_))));
    }

    #[test]
    fn who_may_have_more_is_heard_first() {
        let record = record(1, "a", Some(0));
        let members = |seconds| [absent(0), silent(1, seconds), deaf(replica(2, 0, "a", 50))];
        assert!(matches!(judge(&members(0), Some(&record), None), Verdict::Wait(Reason::PrimaryUnreachable, _)));
        assert!(matches!(judge(&members(SILENCE_LIMIT), Some(&record), None), Verdict::Promote(2, _)));
    }

    #[test]
    fn a_handover_that_nobody_recorded_is_not_undone_while_the_new_primary_is_silent() {
        let mut new_primary = silent(1, 0);
        new_primary.address = Some(address(1));
        let members = [replica(0, 1, "b", 60), new_primary.clone(), replica(2, 0, "a", 60)];
        let only_old = Record { members: [0].into(), ..record(1, "a", Some(0)) };
        let verdict = judge(&members, Some(&only_old), None);
        assert!(matches!(verdict, Verdict::Wait(Reason::PrimaryUnreachable, _)), "{verdict:?}");
    }

    #[test]
    fn a_replica_that_was_not_in_sync_is_not_promoted_silently() {
        let whole = record(3, "a", Some(0));
        let behind = Record { members: [0].into(), ..whole.clone() };
        let seen = |in_sync: &[i32]| Seen {
            primary: 0,
            history: "a".to_owned(),
            offset: 100,
            earlier: 90,
            ago: 2,
            in_sync: in_sync.iter().copied().collect(),
            unheard: [(1, 1)].into(),
        };
        let restarting = Member { hindered: false, ..absent(0) };
        let hindered = Member { hindered: true, ..absent(0) };
        let mut loading = started(0, true);
        told_mut(&mut loading).loading = true;
        // What is recorded, what was seen, how far the replica is, and whether it may take over.
        for (record, seen, offset, safe) in [
            (&whole, None, 40, true),
            (&behind, None, 40, false),
            (&behind, Some(seen(&[1])), 95, true),
            (&whole, Some(seen(&[])), 95, false),
            (&whole, Some(seen(&[1])), 40, false),
            (&whole, Some(seen(&[1])), 90, true),
        ] {
            let judge = |primary: &Member| {
                let mut replica = deaf(replica(1, 0, "a", offset));
                let Role::Replica(link) = &mut told_mut(&mut replica).role else { unreachable!() };
                (link.up, link.down) = (false, Some(70));
                let members = [primary.clone(), replica];
                Election { seen: seen.as_ref(), ..election(&members, Some(record), None) }.judge()
            };
            for primary in [&restarting, &loading] {
                let verdict = judge(primary);
                let waits = matches!(&verdict, Verdict::Wait(Reason::PrimaryMissing, _));
                assert_eq!(waits, !safe, "{seen:?} {verdict:?}");
            }
            let returned = judge(&started(0, false));
            assert_eq!(returned == Verdict::Promote(0, Cause::Restart), !safe, "{returned:?}");
            let lost = judge(&hindered);
            assert_eq!(matches!(lost, Verdict::Stuck(_)), !safe, "{lost:?}");
            if let (Verdict::Stuck(words), Some(_)) = (&lost, &seen) {
                let expected = format!("cache-1 was not in sync: it is at replication offset {offset}, ");
                assert!(words.contains(&expected) && words.contains("without a link to it for 70 s"), "{words}");
            }
        }
        let gone = Record { primary: None, members: [].into(), ..whole };
        let verdict = judge(&[started(0, true), deaf(replica(1, 0, "a", 40))], Some(&gone), None);
        assert!(stuck(&verdict).contains("were not in sync"), "{verdict:?}");
    }

    #[test]
    fn a_replica_that_lost_its_primary_long_before_the_end_is_not_promoted() {
        let record = record(3, "a", Some(0));
        for (unheard, hearing, safe) in [
            (Some(0), 3, true),
            (Some(5), 3, true),
            (Some(6), 3, false),
            (Some(3000), 3, false),
            (None, 3, false),
            (Some(23), 21, true),
            (Some(24), 21, false),
        ] {
            // The primary could not be asked for 50 minutes; then it was restarted. It may be away, or back.
            let seen = Seen {
                primary: 0,
                history: "a".to_owned(),
                offset: 5000,
                earlier: 5000,
                ago: 3000,
                in_sync: [1].into(),
                unheard: unheard.map(|seconds| (1, seconds)).into_iter().collect(),
            };
            let mut replica = deaf(replica(1, 0, "a", 5000));
            let Role::Replica(link) = &mut told_mut(&mut replica).role else { unreachable!() };
            (link.up, link.silence, link.down) = (false, None, Some(3000));
            let limits = Limits { hearing, ..Limits::default() };
            for (primary, otherwise) in [
                (absent(0), None),
                (Member { ended: true, ..member(0, Answer::Evasive(Evasion::Full)) }, None),
                (started(0, false), Some(Verdict::Promote(0, Cause::Restart))),
            ] {
                let members = [primary, replica.clone()];
                let judged = Election { seen: Some(&seen), limits, ..election(&members, Some(&record), None) }.judge();
                match otherwise {
                    _ if safe => assert!(matches!(judged, Verdict::Promote(1, Cause::Failover(_))), "{judged:?}"),
                    Some(expected) => assert_eq!(judged, expected),
                    None => assert!(matches!(judged, Verdict::Wait(Reason::PrimaryMissing, _)), "{judged:?}"),
                }
            }
        }
    }

    #[test]
    fn a_replica_that_never_was_sent_a_write_has_all_there_is() {
        let members = [ended(0, SILENCE_LIMIT), deaf(replica(1, 0, "a", 0)), started(2, true)];
        let verdict = judge(&members, Some(&record(1, "a", Some(0))), None);
        assert!(matches!(verdict, Verdict::Promote(1, Cause::Failover(_))), "{verdict:?}");
    }

    #[test]
    fn a_replica_of_another_history_is_not_chosen_and_one_that_leaves_only_for_what_it_alone_has() {
        let record = record(3, "a", Some(0));
        let record = Record { members: [0, 1, 2, 3].into(), ..record };
        let mut leaving = deaf(replica(2, 0, "a", 60));
        leaving.leaving = true;
        let members =
            |offset| [absent(0), deaf(replica(1, 0, "old", 900)), leaving.clone(), deaf(replica(3, 0, "a", offset))];
        assert!(matches!(judge(&members(60), Some(&record), None), Verdict::Promote(3, _)));
        assert!(matches!(judge(&members(50), Some(&record), None), Verdict::Promote(2, _)), "its role moves on later");
        assert!(
            matches!(judge(&[absent(0), leaving], Some(&record), None), Verdict::Promote(2, _)),
            "rather than none"
        );
    }
}
