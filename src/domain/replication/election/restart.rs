//! Determines the primary after a restart of all servers, when no replica can take over: the last primary, or the pods that have
//! its data if its volume is gone.

use super::Election;
use crate::domain::replication::{
    Answer, Record,
    fence::RETURN_LIMIT,
    verdict::{Cause, Verdict},
};

impl Election<'_> {
    /// No replica can take over safely; the last primary has every acknowledged write.
    pub(super) fn restarted(&self, record: &Record) -> Verdict {
        let Some(primary) = self.recorded() else { return self.without_volume(record) };
        let others = self.with_data(|member| member.ordinal != primary.ordinal);
        let unknown = self.with_unknown_data(|_| true);
        match (primary.loaded(), &primary.answer) {
            (Some(reported), _) if !reported.empty => Verdict::Promote(primary.ordinal, Cause::Restart),
            (Some(_), _) if !others.is_empty() => {
                self.undecided(&others, &format!("hold data, and the volume of primary {} is empty", self.pod(primary)))
            }
            (Some(_), _) if unknown.is_empty() => Verdict::Promote(primary.ordinal, Cause::Restart),
            (Some(_), _) => self.missing(&unknown),
            (None, _) if primary.hindered => self.lost(primary, &others),
            (None, Answer::Silent { seconds }) if *seconds >= RETURN_LIMIT => self.lost(primary, &others),
            (None, Answer::Silent { .. }) => {
                self.unreachable(primary, "does not answer, and no replica was in sync with it; waiting for it")
            }
            (None, _) => self.waiting(primary),
        }
    }

    /// The claim of the primary is gone, and no replica kept running.
    fn without_volume(&self, record: &Record) -> Verdict {
        let all = self.with_data(|_| true);
        let members = self.with_data(|member| record.members.contains(&member.ordinal));
        // A pod that cannot start is not waited for if the administrator has a choice.
        let unknown = self.with_unknown_data(|member| all.is_empty() || !member.hindered);
        match (members.as_slice(), all.as_slice()) {
            _ if !unknown.is_empty() => self.missing(&unknown),
            ([one], _) if self.with_unknown_data(|_| true).is_empty() => Verdict::Promote(one.ordinal, Cause::Restart),
            ([], []) => Verdict::Promote(self.members.first().map_or(0, |member| member.ordinal), Cause::Restart),
            ([], all) => self.undecided(all, "hold data but were not in sync, and the volume of the primary is gone"),
            (members, _) => self.undecided(members, "hold data, and the volume of the primary is gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        reason::Reason,
        replication::{
            Evasion, Member,
            election::fixtures::{absent, judge, record, silent, stuck},
            fixtures::{member, primary, replica, started, told_mut},
            record::Mark,
        },
    };

    #[test]
    fn new_pods_wait_for_the_one_that_ran_alone() {
        let alone = Record::of(&[(0, Mark::alone())]).unwrap();
        let new = [started(1, true), started(2, true)];
        let mut unfenced = primary(1, "b", 9);
        told_mut(&mut unfenced).empty = true;
        let mut loading = started(0, true);
        told_mut(&mut loading).loading = true;
        for (zero, one, verdict) in [
            (silent(0, 1), &new[0], None),
            (silent(0, 30), &new[0], None),
            (absent(0), &new[0], None),
            (loading, &new[0], None),
            (silent(0, 1), &unfenced, None),
            (member(0, Answer::Evasive(Evasion::Full)), &unfenced, Some(Verdict::Primary(0))),
            (primary(0, "x", 9), &unfenced, Some(Verdict::Primary(0))),
            (started(0, false), &new[0], Some(Verdict::Promote(0, Cause::Restart))),
        ] {
            let found = judge(&[zero.clone(), one.clone(), new[1].clone()], Some(&alone), None);
            match verdict {
                Some(verdict) => assert_eq!(found, verdict, "{zero:?}"),
                None => assert!(matches!(found, Verdict::Wait(..)), "{zero:?}: {found:?}"),
            }
        }
        let hindered = Member { hindered: true, ..absent(0) };
        let verdict = judge(&[hindered, new[0].clone()], Some(&alone), None);
        assert!(stuck(&verdict).starts_with("cache-0 has the newest data"), "{verdict:?}");
    }

    #[test]
    fn when_all_were_started_anew_the_last_primary_has_the_newest_data() {
        let record = record(4, "a", Some(1));
        let all = [started(0, false), started(1, false), started(2, false)];
        assert_eq!(judge(&all, Some(&record), None), Verdict::Promote(1, Cause::Restart));
        let without = [started(0, false), absent(1), started(2, false)];
        assert!(matches!(judge(&without, Some(&record), None), Verdict::Wait(Reason::PrimaryMissing, _)));
        assert_eq!(judge(&without, Some(&record), Some("cache-2@4")), Verdict::Promote(2, Cause::Asked));
        assert!(matches!(judge(&without, Some(&record), Some("cache-2@3")), Verdict::Wait(..)), "asked for before");
        let mut lost = without.clone();
        lost[1].hindered = true;
        let verdict = judge(&lost, Some(&record), None);
        assert!(stuck(&verdict).ends_with("kubectl annotate redisinstance cache redis.github.com/promote=cache-0@4"));
    }

    #[test]
    fn an_empty_volume_never_replaces_data() {
        let record = record(4, "a", Some(1));
        let wiped = [started(0, false), started(1, true), started(2, true)];
        let verdict = judge(&wiped, Some(&record), None);
        assert!(stuck(&verdict).starts_with("cache-0 hold data, and the volume of primary cache-1 is empty"));
        let unknown = [absent(0), started(1, true), started(2, true)];
        assert!(matches!(judge(&unknown, Some(&record), None), Verdict::Wait(..)), "pod 0 may hold data");
        let empty = [started(0, true), started(1, true), started(2, true)];
        assert_eq!(judge(&empty, Some(&record), None), Verdict::Promote(1, Cause::Restart));
    }

    #[test]
    fn a_primary_whose_claim_is_gone_is_followed_by_one_that_had_its_data() {
        let record = Record { members: [2].into(), ..record(4, "a", None) };
        let running = [started(0, true), started(1, true), replica(2, 1, "a", 7)];
        assert!(matches!(judge(&running, Some(&record), None), Verdict::Promote(2, Cause::Failover(_))));
        let all = [started(0, false), started(1, true), started(2, false)];
        assert_eq!(judge(&all, Some(&record), None), Verdict::Promote(2, Cause::Restart), "0 has older data");
    }

    #[test]
    fn a_primary_that_was_started_again_and_is_full_without_a_successor_is_named_with_a_way_out() {
        let primary = |evasion| Member { ended: true, ..member(0, Answer::Evasive(evasion)) };
        let waits = |evasion| match judge(&[primary(evasion), started(1, true)], Some(&record(1, "a", Some(0))), None) {
            Verdict::Wait(Reason::PrimaryMissing, words) => words,
            other => panic!("{other:?}"),
        };
        assert!(waits(Evasion::Full).contains("cache-0, which has the newest data and accepts no connection"));
        assert!(waits(Evasion::Full).contains("raise spec.config[maxclients]"));
        assert!(waits(Evasion::Busy).ends_with("cache-0, which has the newest data"));
    }
}
