//! Detects that the recorded primary has failed, and fences it before a replica is promoted: a primary that is still
//! connected to a replica, or that may still acknowledge writes, keeps its role.

use super::Election;
use crate::domain::{
    reason::Reason,
    replication::{
        Answer, Member, Told,
        fence::{Fence, fence},
        verdict::{Cause, Verdict},
    },
};

impl Election<'_> {
    /// True if no running server has responded for longer than the limit, which points to a fault of the network or of
    /// the operator.
    pub(super) fn is_isolated(&self) -> bool {
        let answers = |member: &Member| matches!(member.answer, Answer::Told(_) | Answer::Evasive(_));
        let silent =
            |member: &Member| matches!(member.answer, Answer::Silent { seconds } if seconds >= self.limits.silence);
        self.members.iter().any(silent) && !self.members.iter().any(answers)
    }

    /// Returns how it is known that the recorded primary no longer serves, or the verdict while it may still serve.
    pub(super) fn failure_of(&self, primary: &Member) -> Result<&'static str, Verdict> {
        let heard = || {
            let why = "does not answer the operator while its replicas hear it: look at the network between the two";
            if self.is_connected(primary) { Err(self.unreachable(primary, why)) } else { Ok(()) }
        };
        match &primary.answer {
            // A restarted server waits for its role and reports nothing more.
            Answer::Evasive(_) if primary.ended => heard().map(|()| "was restarted"),
            // It responds and is still the primary; a script or a full connection table is temporary.
            Answer::Evasive(_) => Err(Verdict::Primary(primary.ordinal)),
            Answer::Told(reported) if reported.loading => Ok("was restarted and reads its data"),
            Answer::Told(_) => Ok("was restarted"),
            Answer::Absent => heard().map(|()| "is gone"),
            Answer::Silent { .. } if primary.ended => heard().map(|()| "has ended"),
            Answer::Silent { seconds } if *seconds < self.limits.silence => {
                Err(self.unreachable(primary, "does not answer; it is asked again"))
            }
            Answer::Silent { .. } => heard().map(|()| "does not answer"),
        }
    }

    /// True if a replica is connected to the primary. A replica of another pod proves nothing about it.
    fn is_connected(&self, primary: &Member) -> bool {
        let others = || self.members.iter().filter(|member| member.ordinal != primary.ordinal);
        let elsewhere = |of| of != primary.address && others().any(|member| member.address == of);
        let hears = |reported: &Told| {
            reported.link().is_some_and(|link| link.hears(self.limits.hearing) && !elsewhere(link.of))
        };
        others().filter_map(Member::loaded).any(hears)
    }

    /// Promotes a replica, once the former primary cannot acknowledge writes any more.
    pub(super) fn fenced(&self, primary: &Member, best: &Member, seen: String) -> Verdict {
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

    pub(super) fn unreachable(&self, primary: &Member, why: &str) -> Verdict {
        Verdict::Wait(Reason::PrimaryUnreachable, format!("primary {} {why}", self.pod(primary)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::replication::{
        Evasion,
        election::fixtures::{absent, deaf, election, ended, judge, record, silent},
        fence::{Limits, SILENCE_LIMIT},
        fixtures::{member, replica, started, told_mut},
    };

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
    fn a_primary_that_was_started_anew_and_is_full_does_not_keep_its_role() {
        for (is_restarted, promoted) in [(false, false), (true, true)] {
            let primary = Member { ended: is_restarted, ..member(0, Answer::Evasive(Evasion::Full)) };
            let verdict = judge(&[primary, deaf(replica(1, 0, "a", 50))], Some(&record(1, "a", Some(0))), None);
            assert_eq!(matches!(verdict, Verdict::Promote(1, Cause::Failover(_))), promoted, "{verdict:?}");
        }
    }
}
