//! Who takes the writes: the server that rightly does, or the one to be promoted, or why there is nobody to promote. Never
//! decides by ordinal where there is data: an older or empty data set is not put over a newer one.

use super::{Answer, Member, Record, Role, SILENCE_LIMIT, Told};
use crate::domain::{
    names::{self, PROMOTE_ANNOTATION},
    reason::Reason,
};

/// What is to be done about the role of the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This one has it. Others that take writes as well were passed over and have to follow.
    Primary(i32),
    /// Nobody has it: this one gets it.
    Promote(i32, Cause),
    /// Nobody can be given it yet, and a sentence about it.
    Wait(Reason, String),
    /// Nobody can be given it but by a person's word; a sentence with the command that gives it.
    Stuck(String),
}

/// Why a server is promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The instance begins, or goes on with the volumes of an earlier life.
    First,
    /// The primary died; what was seen of it.
    Failover(String),
    /// Every server was started anew, and this one had the newest data.
    Restart,
    /// A person named it.
    Asked,
}

/// What an election goes by.
#[derive(Clone, Copy, Debug)]
pub struct Election<'a> {
    /// Name of the instance.
    pub instance: &'a str,
    /// Its members, in order of ordinal.
    pub members: &'a [Member],
    /// What the claims tell; `None` for an instance that was never replicated.
    pub record: Option<&'a Record>,
    /// What a person asks for where there is no safe choice: a pod and the term that it is asked for in, `cache-1@4`, so that
    /// a word counts once.
    pub named: Option<&'a str>,
    /// Whether pod 0 may still be waited for where any pod would do.
    pub patient: bool,
}

impl<'a> Election<'a> {
    /// Judges the members.
    #[must_use]
    pub fn judge(&self) -> Verdict {
        if let Some(primary) = self.recorded().filter(|primary| primary.takes_writes()) {
            return Verdict::Primary(primary.ordinal);
        }
        let rightful: Vec<&Member> = self.members.iter().filter(|member| self.is_rightful(member)).collect();
        match rightful.as_slice() {
            [] => self.elect(),
            [one] => self.sole(one),
            several => match several.iter().find(|member| self.is_named(member)) {
                Some(one) => Verdict::Primary(one.ordinal),
                None => self.undecided(several, "take writes, each its own"),
            },
        }
    }

    /// One that ran alone, and may have become one of several over volumes of an earlier life.
    fn sole(&self, one: &Member) -> Verdict {
        let others = self.with_data(|member| member.ordinal != one.ordinal);
        let erases = self.record.is_none() && one.told().is_some_and(|told| told.empty) && !others.is_empty();
        if !erases || self.is_named(one) {
            return Verdict::Primary(one.ordinal);
        }
        match others.iter().find(|member| self.is_named(member)) {
            Some(named) => Verdict::Promote(named.ordinal, Cause::Asked),
            None => {
                self.undecided(&others, &format!("hold data, and {}, which takes the writes, is empty", self.pod(one)))
            }
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

    /// Whether a server takes writes in the history that is recorded: one that was cut off while another was promoted
    /// does so in a history that ended.
    fn is_rightful(&self, member: &Member) -> bool {
        let continues = |told: &Told| self.record.is_none_or(|record| told.continues(&record.history));
        member.takes_writes() && member.told().is_some_and(continues)
    }

    fn is_named(&self, member: &Member) -> bool {
        self.named.is_some_and(|named| named == self.word_for(member))
    }

    fn word_for(&self, member: &Member) -> String {
        format!("{}@{}", self.pod(member), self.record.map_or(0, |record| record.term))
    }

    fn pod(&self, member: &Member) -> String {
        names::pod(self.instance, member.ordinal)
    }

    fn elect(&self) -> Verdict {
        if let Some(one) = self.members.iter().find(|member| self.is_named(member) && member.loaded().is_some()) {
            return Verdict::Promote(one.ordinal, Cause::Asked);
        }
        let Some(record) = self.record else { return self.first() };
        if record.primary.is_some_and(|ordinal| self.members.iter().all(|member| member.ordinal != ordinal)) {
            return self.out_of_range(record);
        }
        let seen = match self.recorded() {
            Some(primary) => match self.death(primary) {
                Ok(seen) => format!("{} {seen}", self.pod(primary)),
                Err(verdict) => return verdict,
            },
            None => "the volume of the primary is gone".to_owned(),
        };
        // One that may have more than all others is heard first.
        let unheard = |member: &&Member| {
            let silent = matches!(member.answer, Answer::Silent { seconds } if seconds < SILENCE_LIMIT);
            silent && record.members.contains(&member.ordinal)
        };
        if let Some(silent) = self.members.iter().find(unheard) {
            let message = format!("{} does not answer; it is asked again", self.pod(silent));
            return Verdict::Wait(Reason::PrimaryUnreachable, message);
        }
        match self.most_advanced(&record.history) {
            Some(best) => Verdict::Promote(best.ordinal, Cause::Failover(seen)),
            None => self.restarted(record),
        }
    }

    /// What shows that the recorded primary does not serve any more; or what follows from that it may.
    fn death(&self, primary: &Member) -> Result<&'static str, Verdict> {
        let heard = || self.members.iter().filter_map(Member::loaded).any(Told::hears);
        match &primary.answer {
            Answer::Absent => Ok("is gone"),
            // It lives, and has the role as far as anybody knows; what it runs ends some time.
            Answer::Evasive => Err(Verdict::Primary(primary.ordinal)),
            Answer::Silent { seconds } if *seconds < SILENCE_LIMIT => {
                Err(self.unreachable(primary, "does not answer; it is asked again"))
            }
            Answer::Silent { .. } if heard() => Err(self.unreachable(
                primary,
                "does not answer the operator while its replicas hear it: look at the network between the two",
            )),
            Answer::Silent { .. } => Ok("does not answer"),
            Answer::Told(told) if told.loading => Ok("was started anew and reads its data"),
            Answer::Told(_) => Ok("was started anew"),
        }
    }

    fn unreachable(&self, primary: &Member, why: &str) -> Verdict {
        Verdict::Wait(Reason::PrimaryUnreachable, format!("primary {} {why}", self.pod(primary)))
    }

    /// The replica that got furthest in this history. Of two that got as far, one that stays goes before one that leaves.
    fn most_advanced(&self, history: &str) -> Option<&'a Member> {
        let candidates = self.members.iter().filter_map(|member| {
            // A server that was started anew is in a history of its own, however much it has.
            let told = member.loaded().filter(|told| told.continues(history))?;
            matches!(told.role, Role::Replica(_)).then_some((member, told.offset))
        });
        candidates.max_by_key(|(member, offset)| (*offset, !member.leaving, -member.ordinal)).map(|(member, _)| member)
    }

    /// No replica kept running, so none can tell how far it got; the one that was primary has all that it acknowledged.
    fn restarted(&self, record: &Record) -> Verdict {
        let unheard: Vec<&Member> = self.members.iter().filter(|member| member.loaded().is_none()).collect();
        let Some(primary) = self.recorded() else {
            let candidates = self.with_data(|member| record.members.contains(&member.ordinal));
            return match candidates.as_slice() {
                _ if !unheard.is_empty() => self.missing(&unheard),
                [] => Verdict::Promote(self.members.first().map_or(0, |member| member.ordinal), Cause::Restart),
                [one] => Verdict::Promote(one.ordinal, Cause::Restart),
                several => self.undecided(several, "hold data, and the volume of the primary is gone"),
            };
        };
        let others = self.with_data(|member| member.ordinal != primary.ordinal);
        match primary.loaded() {
            Some(told) if !told.empty => Verdict::Promote(primary.ordinal, Cause::Restart),
            Some(_) if !others.is_empty() => {
                self.undecided(&others, &format!("hold data, and the volume of primary {} is empty", self.pod(primary)))
            }
            Some(_) if unheard.is_empty() => Verdict::Promote(primary.ordinal, Cause::Restart),
            Some(_) => self.missing(&unheard),
            None if primary.hindered || matches!(primary.answer, Answer::Silent { .. }) => self.lost(primary, &others),
            None => {
                let message = format!("waiting for {}, which has the newest data", self.pod(primary));
                Verdict::Wait(Reason::PrimaryMissing, message)
            }
        }
    }

    fn with_data(&self, among: impl Fn(&Member) -> bool) -> Vec<&'a Member> {
        let full = |member: &&Member| member.loaded().is_some_and(|told| !told.empty);
        self.members.iter().filter(full).filter(|member| among(member)).collect()
    }

    /// Nothing is recorded: the instance begins, perhaps with the volumes of an earlier life.
    fn first(&self) -> Verdict {
        let missing: Vec<&Member> =
            self.members.iter().filter(|member| member.inherited && member.loaded().is_none()).collect();
        if !missing.is_empty() {
            return self.missing(&missing);
        }
        let full = self.with_data(|_| true);
        match full.as_slice() {
            [] => self.first_of_the_empty(),
            [one] => Verdict::Promote(one.ordinal, Cause::First),
            several => match furthest(several) {
                Some(best) => Verdict::Promote(best.ordinal, Cause::First),
                None => self.undecided(several, "hold data that cannot be compared"),
            },
        }
    }

    /// Pod 0, if nothing keeps it from starting, since that is where people look first.
    fn first_of_the_empty(&self) -> Verdict {
        let awaited = |member: &&Member| member.loaded().is_some() || (self.patient && !member.hindered);
        let begun = self.members.iter().find(awaited);
        match begun.filter(|member| member.loaded().is_some()) {
            Some(one) => Verdict::Promote(one.ordinal, Cause::First),
            None => Verdict::Wait(Reason::PrimaryMissing, "waiting for the first pod to start".to_owned()),
        }
    }

    fn missing(&self, members: &[&Member]) -> Verdict {
        let message = format!("waiting for {}, whose volumes may have the newest data", self.list(members));
        Verdict::Wait(Reason::PrimaryMissing, message)
    }

    fn lost(&self, primary: &Member, others: &[&Member]) -> Verdict {
        let cure = others
            .first()
            .map_or_else(String::new, |other| format!(", or give up what only it has: {}", self.command(other)));
        Verdict::Stuck(format!(
            "{} has the newest data and cannot be reached; the others were started anew and cannot tell what they lack; \
             bring it back{cure}",
            self.pod(primary)
        ))
    }

    fn out_of_range(&self, record: &Record) -> Verdict {
        let newest = record.primary.unwrap_or_default();
        let cure = self
            .with_data(|_| true)
            .first()
            .map_or_else(String::new, |other| format!(", or give up what only it has: {}", self.command(other)));
        Verdict::Stuck(format!(
            "the newest data is in the volume of {}, which spec.replicas leaves out: set it to {} at least{cure}",
            names::pod(self.instance, newest),
            newest + 1
        ))
    }

    fn undecided(&self, members: &[&Member], what: &str) -> Verdict {
        let example = members.first().map_or_else(String::new, |member| self.command(member));
        Verdict::Stuck(format!("{} {what}; decide whose data the others get: {example}", self.list(members)))
    }

    fn list(&self, members: &[&Member]) -> String {
        members.iter().map(|member| self.pod(member)).collect::<Vec<_>>().join(", ")
    }

    fn command(&self, member: &Member) -> String {
        format!("kubectl annotate redisinstance {} {PROMOTE_ANNOTATION}={}", self.instance, self.word_for(member))
    }
}

/// The one furthest in the history that all of them belong to, if it is one.
fn furthest<'a>(members: &[&'a Member]) -> Option<&'a Member> {
    let told: Vec<(&Member, &Told)> = members.iter().filter_map(|member| Some((*member, member.loaded()?))).collect();
    let (_, one) = told.first()?;
    let comparable = told.iter().all(|(_, other)| other.history == one.history && other.offset > 0);
    let best = told.iter().max_by_key(|(member, told)| (told.offset, -member.ordinal));
    best.filter(|_| comparable).map(|(member, _)| *member)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::replication::tests::{address, member, primary, replica, started, told_mut};

    fn record(term: u64, history: &str, primary: Option<i32>) -> Record {
        Record { term, history: history.to_owned(), primary, members: [0, 1, 2].into() }
    }

    fn judge(members: &[Member], record: Option<&Record>, named: Option<&str>) -> Verdict {
        Election { instance: "cache", members, record, named, patient: true }.judge()
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
        let members = |seconds| [absent(0), silent(1, seconds), replica(2, 0, "a", 50)];
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
            (silent(0, SILENCE_LIMIT), "cache-0 does not answer"),
            (started(0, false), "cache-0 was started anew"),
            (started(0, true), "cache-0 was started anew"),
            (loading, "cache-0 was started anew and reads its data"),
        ] {
            assert_eq!(promoted(dead), Some((2, seen.to_owned())));
        }
        assert_eq!(promoted(silent(0, SILENCE_LIMIT - 1)), None, "it may be slow");
        let evasive = [member(0, Answer::Evasive), deaf(replica(1, 0, "a", 50))];
        assert_eq!(judge(&evasive, Some(&record), None), Verdict::Primary(0), "it lives");
    }

    #[test]
    fn a_primary_that_its_replicas_hear_lives() {
        let members = [silent(0, 60), replica(1, 0, "a", 50), deaf(replica(2, 0, "a", 50))];
        let verdict = judge(&members, Some(&record(1, "a", Some(0))), None);
        assert!(matches!(verdict, Verdict::Wait(Reason::PrimaryUnreachable, _)), "{verdict:?}");
    }

    #[test]
    fn a_replica_that_never_was_sent_a_write_has_all_there_is() {
        let members = [silent(0, SILENCE_LIMIT), deaf(replica(1, 0, "a", 0)), started(2, true)];
        let verdict = judge(&members, Some(&record(1, "a", Some(0))), None);
        assert!(matches!(verdict, Verdict::Promote(1, Cause::Failover(_))), "{verdict:?}");
    }

    #[test]
    fn a_replica_of_another_history_is_not_chosen_and_one_that_leaves_only_for_what_it_alone_has() {
        let record = record(3, "a", Some(0));
        let mut leaving = replica(2, 0, "a", 60);
        leaving.leaving = true;
        let members = |offset| [absent(0), replica(1, 0, "old", 900), leaving.clone(), replica(3, 0, "a", offset)];
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
        let hasty = Election { instance: "cache", members: &new(&zero), record: None, named: None, patient: false };
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
