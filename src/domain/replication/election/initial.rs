//! Elects the first primary of an instance that has no record: pod 0, or the pod with the most data if volumes were reused.

use super::Election;
use crate::domain::{
    reason::Reason,
    replication::{
        Answer, Member, Told,
        verdict::{Cause, Verdict},
    },
};

impl Election<'_> {
    /// There is no record: the instance is new, and may reuse volumes of an earlier instance.
    pub(super) fn first(&self) -> Verdict {
        // A running server that has not reported its state may hold data.
        let runs = |member: &Member| match &member.answer {
            Answer::Silent { seconds } => *seconds < self.limits.silence,
            Answer::Evasive(_) | Answer::Told(_) => true,
            Answer::Absent => false,
        };
        let missing = self.with_unknown_data(|member| member.inherited || runs(member));
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

    /// Pod 0, unless a problem keeps it from starting, because users expect the first primary there.
    fn first_of_the_empty(&self) -> Verdict {
        let awaited = |member: &&Member| member.loaded().is_some() || (self.patient && !member.hindered);
        let begun = self.members.iter().find(awaited);
        match begun.filter(|member| member.loaded().is_some()) {
            Some(one) => Verdict::Promote(one.ordinal, Cause::First),
            None => Verdict::Wait(Reason::PrimaryMissing, "waiting for the first pod to start".to_owned()),
        }
    }
}

/// The most advanced server, if all of them belong to one history.
fn furthest<'a>(members: &[&'a Member]) -> Option<&'a Member> {
    let reported: Vec<(&Member, &Told)> =
        members.iter().filter_map(|member| Some((*member, member.loaded()?))).collect();
    let (_, one) = reported.first()?;
    let comparable = reported.iter().all(|(_, other)| other.history == one.history && other.offset > 0);
    let best = reported.iter().max_by_key(|(member, reported)| (reported.offset, -member.ordinal));
    best.filter(|_| comparable).map(|(member, _)| *member)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::replication::{
        election::fixtures::{absent, election, judge, stuck},
        fixtures::{replica, started},
    };

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
}
