//! Who takes the writes: the server that rightly does, or the one to be promoted, or why there is nobody to promote. Never
//! decides by ordinal where there is data: an older or empty data set is not put over a newer one.

use super::{
    Answer, Member, Record, Role, Told,
    fence::{Fence, Limits, RETURN_LIMIT, fence},
    seen::Seen,
    verdict::{Cause, Verdict, Word},
};
use crate::domain::{names, reason::Reason};

/// What an election goes by.
#[derive(Clone, Copy, Debug)]
pub struct Election<'a> {
    /// Name of the instance.
    pub instance: &'a str,
    /// Its members, in order of ordinal.
    pub members: &'a [Member],
    /// What the claims tell; `None` for an instance that was never replicated.
    pub record: Option<&'a Record>,
    /// The primary as this process last saw it; `None` when it never did.
    pub seen: Option<&'a Seen>,
    /// What a person asks for where there is no safe choice: a pod and the term that it is asked for in, `cache-1@4`, so that
    /// a word counts once.
    pub named: Option<&'a str>,
    /// Whether pod 0 may still be waited for where any pod would do.
    pub patient: bool,
    /// How long servers may be silent.
    pub limits: Limits,
}

impl<'a> Election<'a> {
    /// Judges the members. An administrator's word decides only where there is no safe choice.
    #[must_use]
    pub fn judge(&self) -> Verdict {
        let verdict = self.unasked();
        match self.named_member().filter(|_| verdict.is_open()) {
            Some(member) if member.takes_writes() => Verdict::Primary(member.ordinal),
            Some(member) if member.loaded().is_some() => Verdict::Promote(member.ordinal, Cause::Asked),
            _ => verdict,
        }
    }

    /// What became of the administrator's word for this term.
    #[must_use]
    pub fn word(&self) -> Word {
        let Some(named) = self.named_member() else { return Word::None };
        match self.unasked() {
            verdict if verdict.is_open() && named.loaded().is_some() => {
                Word::Used(format!("{} takes the writes, as the annotation asks for", self.pod(named)))
            }
            Verdict::Primary(primary) | Verdict::Promote(primary, _) => Word::Refused(format!(
                "annotation {}={} is ignored: {} takes the writes; it counts only while the reason is NoSafePrimary",
                names::PROMOTE_ANNOTATION,
                self.word_for(named),
                names::pod(self.instance, primary)
            )),
            _ => Word::None,
        }
    }

    fn unasked(&self) -> Verdict {
        let recorded = self.recorded().filter(|primary| primary.takes_writes() && !self.is_wiped(primary));
        if let Some(primary) = recorded {
            return self.sole(primary);
        }
        let rightful: Vec<&Member> = self.members.iter().filter(|member| self.is_rightful(member)).collect();
        match rightful.as_slice() {
            [] => self.elect(),
            [one] => self.sole(one),
            several => self.undecided(several, "take writes, each its own"),
        }
    }

    /// One that takes writes. It may have run alone, and have become one of several over volumes of an earlier life.
    fn sole(&self, one: &Member) -> Verdict {
        let alone = self.record.is_none_or(Record::is_unsettled) && one.told().is_some_and(|told| told.empty);
        if !alone {
            return Verdict::Primary(one.ordinal);
        }
        let others = self.with_data(|member| member.ordinal != one.ordinal);
        let unheard: Vec<&Member> = self.unheard(|member| member.inherited && member.ordinal != one.ordinal);
        if !others.is_empty() {
            self.undecided(&others, &format!("hold data, and {}, which takes the writes, is empty", self.pod(one)))
        } else if unheard.is_empty() {
            Verdict::Primary(one.ordinal)
        } else {
            self.missing(&unheard)
        }
    }

    /// The pod that was primary last: the recorded one, or the one that it was made to follow, by a handover that nobody
    /// came to record.
    fn recorded(&self) -> Option<&'a Member> {
        let ordinal = self.record?.primary?;
        let recorded = self.members.iter().find(|member| member.ordinal == ordinal)?;
        let heir = recorded.followed().and_then(|of| self.members.iter().find(|member| member.address == Some(of)));
        Some(heir.unwrap_or(recorded))
    }

    /// Whether a recorded primary came back without its data while another server has them: it began a new history.
    fn is_wiped(&self, primary: &Member) -> bool {
        let Some(record) = self.record.filter(|record| !record.is_unsettled()) else { return false };
        let is_new = |told: &Told| told.empty && !told.continues(&record.history);
        let holds = |member: &Member| member.loaded().is_some_and(|t| !t.empty && t.continues(&record.history));
        primary.loaded().is_some_and(is_new) && self.members.iter().any(holds)
    }

    /// Whether a server takes writes in the history that is recorded: one that was cut off while another was promoted
    /// does so in a history that ended.
    fn is_rightful(&self, member: &Member) -> bool {
        let continues = |told: &Told| self.record.is_none_or(|record| told.continues(&record.history));
        member.takes_writes() && member.told().is_some_and(continues)
    }

    fn named_member(&self) -> Option<&'a Member> {
        let named = self.named?;
        self.members.iter().find(|member| named == self.word_for(member))
    }

    fn elect(&self) -> Verdict {
        if self.is_blind() {
            let message = "the operator reaches none of the servers at port 6379; look for a NetworkPolicy or a network \
                           fault between the operator and the pods";
            return Verdict::Wait(Reason::PrimaryUnreachable, message.to_owned());
        }
        let Some(record) = self.record else { return self.first() };
        if record.primary.is_some_and(|ordinal| self.members.iter().all(|member| member.ordinal != ordinal)) {
            return self.out_of_range(record);
        }
        let primary = self.recorded();
        let seen = match primary.map(|primary| (primary, self.death(primary))) {
            Some((primary, Ok(seen))) => format!("{} {seen}", self.pod(primary)),
            Some((_, Err(verdict))) => return verdict,
            None => "the volume of the primary is gone".to_owned(),
        };
        // One that may have more than all others is heard first.
        let unheard = |member: &&Member| {
            let silent = matches!(member.answer, Answer::Silent { seconds } if seconds < self.limits.silence);
            silent && !member.ended && record.members.contains(&member.ordinal)
        };
        if let Some(silent) = self.members.iter().find(unheard) {
            let message = format!("{} does not answer; it is asked again", self.pod(silent));
            return Verdict::Wait(Reason::PrimaryUnreachable, message);
        }
        match (self.successor(record), primary) {
            (Some(best), Some(primary)) => self.fenced(primary, best, seen),
            (Some(best), None) => Verdict::Promote(best.ordinal, Cause::Failover(seen)),
            (None, _) => self.restarted(record),
        }
    }

    /// Whether every server that runs has been silent for longer than the limit: that is the network's fault, or the
    /// operator's own.
    fn is_blind(&self) -> bool {
        let answers = |member: &Member| matches!(member.answer, Answer::Told(_) | Answer::Evasive(_));
        let silent =
            |member: &Member| matches!(member.answer, Answer::Silent { seconds } if seconds >= self.limits.silence);
        self.members.iter().any(silent) && !self.members.iter().any(answers)
    }

    /// What shows that the recorded primary does not serve any more; or what follows from that it may.
    fn death(&self, primary: &Member) -> Result<&'static str, Verdict> {
        let heard = || {
            let why = "does not answer the operator while its replicas hear it: look at the network between the two";
            if self.is_heard(primary) { Err(self.unreachable(primary, why)) } else { Ok(()) }
        };
        match &primary.answer {
            // It waits for its role like every server that starts, and cannot be asked for more.
            Answer::Evasive(_) if primary.ended => heard().map(|()| "was restarted"),
            // It lives, and has the role as far as anybody knows; what it runs ends some time.
            Answer::Evasive(_) => Err(Verdict::Primary(primary.ordinal)),
            Answer::Told(told) if told.loading => Ok("was restarted and reads its data"),
            Answer::Told(_) => Ok("was restarted"),
            Answer::Absent => heard().map(|()| "is gone"),
            Answer::Silent { .. } if primary.ended => heard().map(|()| "has ended"),
            Answer::Silent { seconds } if *seconds < self.limits.silence => {
                Err(self.unreachable(primary, "does not answer; it is asked again"))
            }
            Answer::Silent { .. } => heard().map(|()| "does not answer"),
        }
    }

    /// Whether any replica hears the primary. A replica that follows another pod says nothing about it.
    fn is_heard(&self, primary: &Member) -> bool {
        let others = || self.members.iter().filter(|member| member.ordinal != primary.ordinal);
        let elsewhere = |of| of != primary.address && others().any(|member| member.address == of);
        let hears =
            |told: &Told| told.link().is_some_and(|link| link.hears(self.limits.hearing) && !elsewhere(link.of));
        others().filter_map(Member::loaded).any(hears)
    }

    /// The promotion of a replica, once the former primary cannot acknowledge writes any more.
    fn fenced(&self, primary: &Member, best: &Member, seen: String) -> Verdict {
        match fence(primary, self.limits) {
            Fence::Done => Verdict::Promote(best.ordinal, Cause::Failover(seen)),
            Fence::Ask => Verdict::Fence(
                primary.ordinal,
                format!("{seen}; its kubelet ends it before {} is promoted", self.pod(best)),
            ),
            Fence::Confirm => {
                self.unreachable(primary, "does not answer; waiting for its kubelet to confirm that it ended")
            }
            Fence::Expire => self.unreachable(
                primary,
                "does not answer and its node is away; waiting until it cannot acknowledge writes any more",
            ),
        }
    }

    fn unreachable(&self, primary: &Member, why: &str) -> Verdict {
        Verdict::Wait(Reason::PrimaryUnreachable, format!("primary {} {why}", self.pod(primary)))
    }

    /// The replica that got furthest, of those that were in sync when the primary was last seen. Of two that got as far, one
    /// that stays goes before one that leaves.
    fn successor(&self, record: &Record) -> Option<&'a Member> {
        let follows = |member: &'a Member| {
            let told = member.loaded().filter(|told| told.continues(&record.history))?;
            matches!(told.role, Role::Replica(_)).then_some((member, told))
        };
        let candidates: Vec<(&Member, &Told)> = self.members.iter().filter_map(follows).collect();
        // A former primary that kept its history has all that it acknowledged, or what its snapshot has of it.
        let former = candidates.iter().find(|(member, _)| Some(member.ordinal) == record.primary);
        let seen = self.seen.filter(|seen| Some(seen.primary) == record.primary);
        let safe = |(member, told): &&(&Member, &Told)| {
            former.is_some_and(|(_, former)| told.offset >= former.offset)
                || seen.map_or_else(
                    || record.members.contains(&member.ordinal),
                    |seen| seen.proves(member.ordinal, told, self.limits.hearing),
                )
        };
        let safe = candidates.iter().filter(safe);
        safe.max_by_key(|(member, told)| (told.offset, !member.leaving, member.unready.is_none(), -member.ordinal))
            .map(|(member, _)| *member)
    }

    /// No replica can take over safely; the one that was primary has all that it acknowledged.
    fn restarted(&self, record: &Record) -> Verdict {
        let Some(primary) = self.recorded() else { return self.without_volume(record) };
        let others = self.with_data(|member| member.ordinal != primary.ordinal);
        let unheard = self.unheard(|_| true);
        match (primary.loaded(), &primary.answer) {
            (Some(told), _) if !told.empty => Verdict::Promote(primary.ordinal, Cause::Restart),
            (Some(_), _) if !others.is_empty() => {
                self.undecided(&others, &format!("hold data, and the volume of primary {} is empty", self.pod(primary)))
            }
            (Some(_), _) if unheard.is_empty() => Verdict::Promote(primary.ordinal, Cause::Restart),
            (Some(_), _) => self.missing(&unheard),
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
        // One that cannot start is not waited for where the administrator has a choice.
        let unheard = self.unheard(|member| all.is_empty() || !member.hindered);
        match (members.as_slice(), all.as_slice()) {
            _ if !unheard.is_empty() => self.missing(&unheard),
            ([one], _) if self.unheard(|_| true).is_empty() => Verdict::Promote(one.ordinal, Cause::Restart),
            ([], []) => Verdict::Promote(self.members.first().map_or(0, |member| member.ordinal), Cause::Restart),
            ([], all) => self.undecided(all, "hold data but were not in sync, and the volume of the primary is gone"),
            (members, _) => self.undecided(members, "hold data, and the volume of the primary is gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::replication::{
        Evasion,
        fence::SILENCE_LIMIT,
        record::Mark,
        tests::{address, member, primary, replica, started, told_mut},
    };

    fn record(term: u64, history: &str, primary: Option<i32>) -> Record {
        Record { term, latest: term, history: history.to_owned(), primary, members: [0, 1, 2].into() }
    }

    fn judge(members: &[Member], record: Option<&Record>, named: Option<&str>) -> Verdict {
        election(members, record, named).judge()
    }

    fn election<'a>(members: &'a [Member], record: Option<&'a Record>, named: Option<&'a str>) -> Election<'a> {
        Election { instance: "cache", members, record, seen: None, named, patient: true, limits: Limits::default() }
    }

    /// A silent primary of which the kubelet confirms that it ended.
    fn ended(ordinal: i32, seconds: u64) -> Member {
        Member { ended: true, ..silent(ordinal, seconds) }
    }

    fn silent(ordinal: i32, seconds: u64) -> Member {
        member(ordinal, Answer::Silent { seconds })
    }

    fn deaf(mut replica: Member) -> Member {
        let Role::Replica(link) = &mut told_mut(&mut replica).role else { unreachable!() };
        link.silence = Some(9);
        replica
    }

    fn absent(ordinal: i32) -> Member {
        member(ordinal, Answer::Absent)
    }

    /// What the words of a verdict that needs a person are.
    fn stuck(verdict: &Verdict) -> &str {
        match verdict {
            Verdict::Stuck(words) => words,
            other => panic!("not stuck: {other:?}"),
        }
    }

    #[test]
    fn who_takes_the_writes_keeps_them() {
        let members = [primary(0, "a", 9), replica(1, 0, "a", 9), started(2, false)];
        assert_eq!(judge(&members, None, None), Verdict::Primary(0), "it ran alone before");
        assert_eq!(judge(&members, Some(&record(1, "a", Some(0))), None), Verdict::Primary(0));
        assert_eq!(judge(&members, Some(&record(2, "a", Some(1))), None), Verdict::Primary(0), "1 was never promoted");
        assert_eq!(judge(&members, Some(&record(1, "a", Some(0))), Some("cache-1@1")), Verdict::Primary(0));
    }

    #[test]
    fn of_two_that_take_writes_the_recorded_one_is_right() {
        let mut new = primary(1, "b", 9);
        told_mut(&mut new).former_history = "a".to_owned();
        let both = [primary(0, "a", 99), new, absent(2)];
        for record in [record(2, "a", Some(1)), record(2, "b", Some(1))] {
            assert_eq!(judge(&both, Some(&record), None), Verdict::Primary(1), "{record:?}");
        }
        // The one that was promoted is away, and the one that was cut off before that is back.
        let returned = [primary(0, "a", 99), silent(1, 1), absent(2)];
        assert!(matches!(judge(&returned, Some(&record(2, "b", Some(1))), None), Verdict::Wait(..)));
        let unrecorded = judge(&both, None, None);
        assert!(stuck(&unrecorded).contains("cache-0, cache-1 take writes"), "{unrecorded:?}");
        assert_eq!(judge(&both, None, Some("cache-1@0")), Verdict::Primary(1));
    }

    #[test]
    fn a_handover_that_nobody_recorded_is_recognised() {
        let mut new = primary(2, "b", 9);
        told_mut(&mut new).former_history = "a".to_owned();
        let members = [replica(0, 2, "b", 9), replica(1, 0, "a", 9), new];
        assert_eq!(judge(&members, Some(&record(1, "a", Some(0))), None), Verdict::Primary(2));
    }

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
        let mut heir = silent(1, 0);
        heir.address = Some(address(1));
        let members = [replica(0, 1, "b", 60), heir.clone(), replica(2, 0, "a", 60)];
        let only_old = Record { members: [0].into(), ..record(1, "a", Some(0)) };
        let verdict = judge(&members, Some(&only_old), None);
        assert!(matches!(verdict, Verdict::Wait(Reason::PrimaryUnreachable, _)), "{verdict:?}");
    }

    #[test]
    fn the_most_advanced_replica_follows_a_dead_primary() {
        let record = record(1, "a", Some(0));
        let promoted = |dead: Member| {
            let members = [dead, deaf(replica(1, 0, "a", 50)), deaf(replica(2, 0, "a", 60))];
            match judge(&members, Some(&record), None) {
                Verdict::Promote(ordinal, Cause::Failover(seen)) => Some((ordinal, seen)),
                _ => None,
            }
        };
        let mut loading = started(0, true);
        told_mut(&mut loading).loading = true;
        for (dead, seen) in [
            (absent(0), "cache-0 is gone"),
            (ended(0, 1), "cache-0 has ended"),
            (Member { fenced: Some(60), ..silent(0, 70) }, "cache-0 does not answer"),
            (started(0, false), "cache-0 was restarted"),
            (started(0, true), "cache-0 was restarted"),
            (loading, "cache-0 was restarted and reads its data"),
        ] {
            assert_eq!(promoted(dead), Some((2, seen.to_owned())));
        }
        assert_eq!(promoted(silent(0, SILENCE_LIMIT - 1)), None, "it may be slow");
        let evasive = [member(0, Answer::Evasive(Evasion::Full)), deaf(replica(1, 0, "a", 50))];
        assert_eq!(judge(&evasive, Some(&record), None), Verdict::Primary(0), "it lives");
    }

    #[test]
    fn a_primary_that_its_replicas_hear_lives() {
        for primary in [silent(0, 60), ended(0, 60), absent(0)] {
            let members = [primary.clone(), replica(1, 0, "a", 50), deaf(replica(2, 0, "a", 50))];
            let verdict = judge(&members, Some(&record(1, "a", Some(0))), None);
            assert!(matches!(verdict, Verdict::Wait(Reason::PrimaryUnreachable, _)), "{primary:?}: {verdict:?}");
            // A replica of another pod says nothing about this one.
            let chained = [primary, deaf(replica(1, 0, "a", 50)), replica(2, 1, "a", 50)];
            let verdict = judge(&chained, Some(&record(1, "a", Some(0))), None);
            assert!(!matches!(verdict, Verdict::Wait(..)), "{verdict:?}");
        }
        // A primary that speaks seldom is heard for longer.
        let limits = Limits::new(None, 10, (0, 10));
        let members = [silent(0, 60), deaf(replica(1, 0, "a", 50))];
        let record = record(1, "a", Some(0));
        let verdict = Election { limits, ..election(&members, Some(&record), None) }.judge();
        assert!(matches!(verdict, Verdict::Wait(Reason::PrimaryUnreachable, _)), "{verdict:?}");
    }

    #[test]
    fn a_silent_primary_is_ended_before_another_is_promoted() {
        let record = record(1, "a", Some(0));
        let verdict = |primary| judge(&[primary, deaf(replica(1, 0, "a", 50))], Some(&record), None);
        assert!(matches!(verdict(silent(0, SILENCE_LIMIT)), Verdict::Fence(0, _)));
        let asked = Member { fenced: Some(1), ..silent(0, SILENCE_LIMIT + 1) };
        assert!(matches!(verdict(asked), Verdict::Wait(Reason::PrimaryUnreachable, _)));
        assert!(matches!(verdict(ended(0, SILENCE_LIMIT + 4)), Verdict::Promote(1, _)));
        // Where nobody can take over, ending it would help nobody.
        let alone = [silent(0, SILENCE_LIMIT), started(1, false)];
        assert!(matches!(judge(&alone, Some(&record), None), Verdict::Wait(Reason::PrimaryUnreachable, _)));
    }

    #[test]
    fn an_operator_that_reaches_no_server_draws_no_conclusion() {
        for record in [None, Some(record(4, "a", Some(0)))] {
            for members in [[silent(0, 60), silent(1, 60), silent(2, 60)], [silent(0, 60), absent(1), silent(2, 60)]] {
                let verdict = judge(&members, record.as_ref(), Some("cache-1@4"));
                assert!(
                    matches!(&verdict, Verdict::Wait(Reason::PrimaryUnreachable, words) if words.contains("none of the servers")),
                    "{verdict:?}"
                );
            }
        }
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
    fn a_recorded_primary_that_lost_its_data_is_not_rightful() {
        let mut wiped = primary(0, "new", 9);
        told_mut(&mut wiped).empty = true;
        let record = record(2, "a", Some(0));
        let members = [wiped.clone(), deaf(replica(1, 0, "a", 50))];
        assert!(matches!(judge(&members, Some(&record), None), Verdict::Promote(1, Cause::Failover(_))));
        assert_eq!(judge(&[wiped, started(1, true)], Some(&record), None), Verdict::Primary(0), "nobody has more");
    }

    #[test]
    fn a_word_counts_only_where_it_was_asked_for() {
        let record = record(4, "a", Some(0));
        let word = |members: &[Member], named| election(members, Some(&record), Some(named)).word();
        let healthy = [primary(0, "a", 9), replica(1, 0, "a", 9)];
        assert!(matches!(word(&healthy, "cache-1@4"), Word::Refused(_)));
        assert_eq!(word(&healthy, "cache-1@3"), Word::None, "of an earlier term");
        for primary in [silent(0, 1), silent(0, SILENCE_LIMIT)] {
            let members = [primary, deaf(replica(1, 0, "a", 9))];
            assert_eq!(word(&members, "cache-1@4"), Word::None);
            let verdict = judge(&members, Some(&record), Some("cache-1@4"));
            assert!(!matches!(verdict, Verdict::Promote(..)), "{verdict:?}");
        }
        let busy = [member(0, Answer::Evasive(Evasion::Full)), replica(1, 0, "a", 9)];
        assert_eq!(judge(&busy, Some(&record), Some("cache-1@4")), Verdict::Primary(0));
        let lost = [Member { hindered: true, ..absent(0) }, started(1, false)];
        assert!(matches!(word(&lost, "cache-1@4"), Word::Used(_)));
        assert_eq!(judge(&lost, Some(&record), Some("cache-1@4")), Verdict::Promote(1, Cause::Asked));
    }

    #[test]
    fn a_primary_that_was_started_anew_and_is_full_does_not_keep_its_role() {
        for (is_restarted, promoted) in [(false, false), (true, true)] {
            let primary = Member { ended: is_restarted, ..member(0, Answer::Evasive(Evasion::Full)) };
            let verdict = judge(&[primary, deaf(replica(1, 0, "a", 50))], Some(&record(1, "a", Some(0))), None);
            assert_eq!(matches!(verdict, Verdict::Promote(1, Cause::Failover(_))), promoted, "{verdict:?}");
        }
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
        let unheard = [absent(0), started(1, true), started(2, true)];
        assert!(matches!(judge(&unheard, Some(&record), None), Verdict::Wait(..)), "pod 0 may hold data");
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
    fn the_first_is_pod_0_unless_it_cannot_start_or_another_has_data() {
        let mut zero = absent(0);
        let new = |zero: &Member| [zero.clone(), started(1, true), started(2, true)];
        assert!(matches!(judge(&new(&zero), None, None), Verdict::Wait(..)));
        assert_eq!(judge(&new(&started(0, true)), None, None), Verdict::Promote(0, Cause::First));
        let members = new(&zero);
        let hasty = Election { patient: false, ..election(&members, None, None) };
        assert_eq!(hasty.judge(), Verdict::Promote(1, Cause::First));
        zero.hindered = true;
        assert_eq!(judge(&new(&zero), None, None), Verdict::Promote(1, Cause::First));
        let mut inherited = [started(0, true), absent(1), started(2, false)];
        assert_eq!(judge(&inherited, None, None), Verdict::Promote(2, Cause::First));
        inherited[1].inherited = true;
        assert!(matches!(judge(&inherited, None, None), Verdict::Wait(..)), "1 may have newer data");
        let verdict = judge(&[started(0, false), started(1, false)], None, None);
        assert!(stuck(&verdict).starts_with("cache-0, cache-1 hold data that cannot be compared"), "{verdict:?}");
        let copies = [replica(0, 2, "a", 7), replica(1, 2, "a", 9)];
        assert_eq!(judge(&copies, None, None), Verdict::Promote(1, Cause::First));
    }

    #[test]
    fn an_empty_server_that_ran_alone_does_not_erase_what_an_old_volume_has() {
        let mut alone = primary(0, "a", 9);
        told_mut(&mut alone).empty = true;
        let members = [alone, started(1, false)];
        let verdict = judge(&members, None, None);
        assert!(stuck(&verdict).starts_with("cache-1 hold data, and cache-0, which takes the writes, is empty"));
        assert_eq!(judge(&members, None, Some("cache-0@0")), Verdict::Primary(0));
        assert_eq!(judge(&members, None, Some("cache-1@0")), Verdict::Promote(1, Cause::Asked));
        assert_eq!(
            judge(&members, Some(&record(1, "a", Some(0))), None),
            Verdict::Primary(0),
            "it was emptied on purpose"
        );
    }

    #[test]
    fn data_beyond_the_number_of_replicas_is_not_passed_over() {
        let verdict = judge(&[started(0, false), started(1, false)], Some(&record(4, "a", Some(2))), None);
        assert!(stuck(&verdict).contains("the volume of cache-2, which spec.replicas leaves out: set it to 3"));
    }
}
