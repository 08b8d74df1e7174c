//! Determines the primary: the pod that takes writes, the replica to promote, or the reason why none can be promoted.
//! Never decides by ordinal where there is data, so that an older or empty data set does not replace a newer one.

mod candidate;
mod initial;
mod messages;
mod primary_failure;
mod restart;

use crate::domain::{
    names,
    reason::Reason,
    replication::{
        Answer, Member, Record, Told,
        fence::Limits,
        seen::Seen,
        verdict::{Cause, Verdict, Word},
    },
};

/// The input of an election.
#[derive(Clone, Copy, Debug)]
pub struct Election<'a> {
    /// Name of the instance.
    pub instance: &'a str,
    /// Its members, in order of ordinal.
    pub members: &'a [Member],
    /// The record on the claims; `None` for an instance that was never replicated.
    pub record: Option<&'a Record>,
    /// The last observation of the primary by this process; `None` if there is none.
    pub seen: Option<&'a Seen>,
    /// The promote annotation: a pod and the term in which it was requested, such as `cache-1@4`, so that it takes
    /// effect at most once.
    pub named: Option<&'a str>,
    /// True if pod 0 may still be waited for although any pod could be promoted.
    pub patient: bool,
    /// The time limits for unreachable servers.
    pub limits: Limits,
}

impl<'a> Election<'a> {
    /// Decides the election. The promote annotation takes effect only if there is no safe choice.
    #[must_use]
    pub fn judge(&self) -> Verdict {
        let verdict = self.without_annotation();
        match self.named_member().filter(|_| verdict.is_open()) {
            Some(member) if member.takes_writes() => Verdict::Primary(member.ordinal),
            Some(member) if member.loaded().is_some() => Verdict::Promote(member.ordinal, Cause::Asked),
            _ => verdict,
        }
    }

    /// The outcome of the promote annotation in this term.
    #[must_use]
    pub fn word(&self) -> Word {
        let Some(named) = self.named_member() else { return Word::None };
        match self.without_annotation() {
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

    fn without_annotation(&self) -> Verdict {
        let recorded = self.recorded().filter(|primary| primary.takes_writes() && !self.is_wiped(primary));
        if let Some(primary) = recorded {
            return self.only_writer(primary);
        }
        let writers: Vec<&Member> = self.members.iter().filter(|member| self.is_in_current_history(member)).collect();
        match writers.as_slice() {
            [] => self.elect(),
            [one] => self.only_writer(one),
            several => self.undecided(several, "take writes, each its own"),
        }
    }

    /// Decides for the only server that takes writes. It may have been the only pod, while the others reuse volumes of
    /// an earlier instance.
    fn only_writer(&self, one: &Member) -> Verdict {
        let alone = self.record.is_none_or(Record::is_unsettled) && one.told().is_some_and(|reported| reported.empty);
        if !alone {
            return Verdict::Primary(one.ordinal);
        }
        let others = self.with_data(|member| member.ordinal != one.ordinal);
        let unknown: Vec<&Member> = self.with_unknown_data(|member| member.inherited && member.ordinal != one.ordinal);
        if !others.is_empty() {
            self.undecided(&others, &format!("hold data, and {}, which takes the writes, is empty", self.pod(one)))
        } else if unknown.is_empty() {
            Verdict::Primary(one.ordinal)
        } else {
            self.missing(&unknown)
        }
    }

    /// The last primary: the recorded pod, or the pod that it follows after a switchover that was not recorded.
    fn recorded(&self) -> Option<&'a Member> {
        let ordinal = self.record?.primary?;
        let recorded = self.members.iter().find(|member| member.ordinal == ordinal)?;
        let new_primary =
            recorded.followed().and_then(|of| self.members.iter().find(|member| member.address == Some(of)));
        Some(new_primary.unwrap_or(recorded))
    }

    /// True if the recorded primary has lost its data, and with it its replication history, while another server has
    /// them.
    fn is_wiped(&self, primary: &Member) -> bool {
        let Some(record) = self.record.filter(|record| !record.is_unsettled()) else { return false };
        let is_new = |reported: &Told| reported.empty && !reported.continues(&record.history);
        let holds = |member: &Member| member.loaded().is_some_and(|t| !t.empty && t.continues(&record.history));
        primary.loaded().is_some_and(is_new) && self.members.iter().any(holds)
    }

    /// True if the server takes writes in the recorded history. A primary that was partitioned while another was
    /// promoted has an outdated history.
    fn is_in_current_history(&self, member: &Member) -> bool {
        let continues = |reported: &Told| self.record.is_none_or(|record| reported.continues(&record.history));
        member.takes_writes() && member.told().is_some_and(continues)
    }

    fn named_member(&self) -> Option<&'a Member> {
        let named = self.named?;
        self.members.iter().find(|member| named == self.word_for(member))
    }

    fn elect(&self) -> Verdict {
        if self.is_isolated() {
            let message = "the operator reaches none of the servers at port 6379; look for a NetworkPolicy or a network \
                           fault between the operator and the pods";
            return Verdict::Wait(Reason::PrimaryUnreachable, message.to_owned());
        }
        let Some(record) = self.record else { return self.first() };
        if record.primary.is_some_and(|ordinal| self.members.iter().all(|member| member.ordinal != ordinal)) {
            return self.out_of_range(record);
        }
        let primary = self.recorded();
        let seen = match primary.map(|primary| (primary, self.failure_of(primary))) {
            Some((primary, Ok(seen))) => format!("{} {seen}", self.pod(primary)),
            Some((_, Err(verdict))) => return verdict,
            None => "the volume of the primary is gone".to_owned(),
        };
        // A replica that may be more advanced than all others is waited for.
        let may_respond = |member: &&Member| {
            let silent = matches!(member.answer, Answer::Silent { seconds } if seconds < self.limits.silence);
            silent && !member.ended && record.members.contains(&member.ordinal)
        };
        if let Some(silent) = self.members.iter().find(may_respond) {
            let message = format!("{} does not answer; it is asked again", self.pod(silent));
            return Verdict::Wait(Reason::PrimaryUnreachable, message);
        }
        match (self.candidate(record), primary) {
            (Some(best), Some(primary)) => self.fenced(primary, best, seen),
            (Some(best), None) => Verdict::Promote(best.ordinal, Cause::Failover(seen)),
            (None, _) => self.restarted(record),
        }
    }

    /// The loaded servers that hold data.
    fn with_data(&self, among: impl Fn(&Member) -> bool) -> Vec<&'a Member> {
        let full = |member: &&Member| member.loaded().is_some_and(|reported| !reported.empty);
        self.members.iter().filter(full).filter(|member| among(member)).collect()
    }

    /// The servers whose data are unknown, because they have not reported their state.
    fn with_unknown_data(&self, among: impl Fn(&Member) -> bool) -> Vec<&'a Member> {
        self.members.iter().filter(|member| member.loaded().is_none() && among(member)).collect()
    }
}

#[cfg(test)]
mod fixtures;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::replication::{
        Evasion,
        election::fixtures::{absent, deaf, election, judge, record, silent, stuck},
        fence::SILENCE_LIMIT,
        fixtures::{member, primary, replica, started, told_mut},
    };

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
