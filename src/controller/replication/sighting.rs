//! The primary as it last answered, and what its replicas told of it since: a primary that cannot be asked may take writes for
//! hours.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::domain::replication::{
    Answer, Member, Told,
    fence::Limits,
    seen::{Seen, hearers, may_acknowledge},
};

/// The least time between the two offsets of the primary that are remembered.
const APART: Duration = Duration::from_secs(1);

/// The primary as it last answered.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) primary: i32,
    /// The container that it ran in.
    pub(super) process: Option<String>,
    address: IpAddr,
    pub(super) history: String,
    pub(super) at: Instant,
    /// The offset that it has at least, and when that was seen.
    offset: (Instant, u64),
    /// An earlier offset, and when it was seen.
    earlier: (Instant, u64),
    pub(super) in_sync: BTreeSet<i32>,
    /// When it may last have acknowledged a write.
    alive: Instant,
    /// When the question was sent to which it last answered BUSY, if nothing since then says that the script has ended.
    busy_asked: Option<Instant>,
    /// When each replica last heard it.
    heard: BTreeMap<i32, Instant>,
}

impl Sighting {
    /// Goes on with what the replicas tell of a primary, whether that one answers or not.
    /// `asked` is before the first question, `now` after the last answer.
    pub(super) fn listen(&mut self, members: &[Member], limits: Limits, asked: Instant, now: Instant) {
        let primary = members.iter().find(|member| member.ordinal == self.primary);
        let is_busy = primary.is_some_and(|primary| primary.is_busy() && !primary.ended);
        // Between two BUSY answers of two scripts writes may have been acknowledged.
        if primary.is_some_and(may_acknowledge) || (is_busy && !self.is_same_script(limits, now)) {
            self.alive = now;
        }
        let is_unanswered =
            primary.is_some_and(|primary| matches!(primary.answer, Answer::Silent { .. }) && !primary.ended);
        if is_busy {
            self.busy_asked = Some(asked);
        } else if !is_unanswered {
            self.busy_asked = None;
        }
        let mut offset = 0;
        for (ordinal, (seconds, told)) in hearers(members, self.primary, self.address, limits.hearing) {
            let at = now.checked_sub(Duration::from_secs(seconds)).unwrap_or(now);
            self.alive = self.alive.max(at);
            if told.history == self.history {
                self.heard.insert(ordinal, at);
                offset = offset.max(told.offset);
            }
        }
        if offset > self.offset.1 && primary.is_none_or(|primary| primary.told().is_none()) {
            self.reaches(offset, now);
        }
    }

    pub(super) fn new(primary: i32, told: &Told, now: Instant) -> Self {
        Self {
            primary,
            process: None,
            address: told.address,
            history: told.history.clone(),
            at: now,
            offset: (now, told.offset),
            earlier: (now, told.offset),
            in_sync: BTreeSet::new(),
            alive: now,
            busy_asked: None,
            heard: BTreeMap::new(),
        }
    }

    /// Goes on with what the primary tells.
    pub(super) fn answers(&mut self, told: &Told, process: Option<String>, in_sync: BTreeSet<i32>, now: Instant) {
        self.reaches(told.offset, now);
        (self.process, self.address, self.at, self.in_sync) = (process, told.address, now, in_sync);
    }

    /// Notes the offset of the primary, or of a replica that it cannot be behind.
    fn reaches(&mut self, offset: u64, now: Instant) {
        if now.saturating_duration_since(self.earlier.0) >= APART * 2 {
            self.earlier = self.offset;
        }
        self.offset = (now, offset);
    }

    /// Whether a BUSY answer that came by now is of the same script as the last one: both lie between the former question and now.
    fn is_same_script(&self, limits: Limits, now: Instant) -> bool {
        self.busy_asked.is_some_and(|at| now.saturating_duration_since(at) < limits.same_script)
    }

    /// Whether this replica has all that the primary can have acknowledged: it heard the primary until a script began that has not
    /// ended since.
    pub(super) fn has_heard_all(&self, ordinal: i32, limits: Limits, now: Instant) -> bool {
        self.is_same_script(limits, now) && self.seen().is_heard(ordinal, limits.hearing)
    }

    pub(super) fn seen(&self) -> Seen {
        let unheard = |at: &Instant| self.alive.saturating_duration_since(*at).as_secs();
        Seen {
            primary: self.primary,
            history: self.history.clone(),
            offset: self.offset.1,
            earlier: self.earlier.1,
            ago: self.at.elapsed().as_secs(),
            in_sync: self.in_sync.clone(),
            unheard: self.heard.iter().map(|(ordinal, at)| (*ordinal, unheard(at))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::replication::{
        Evasion, Link, Role,
        fixtures::{member, primary, replica, told_mut},
    };

    /// A replica of pod 0 at this offset: whether it is connected, and for how many seconds it has heard nothing.
    fn linked(ordinal: i32, offset: u64, up: bool, silence: u64) -> Member {
        let mut replica = replica(ordinal, 0, "a", offset);
        let Role::Replica(link) = &mut told_mut(&mut replica).role else { unreachable!() };
        *link = Link { up, silence: up.then_some(silence), down: (!up).then_some(silence), ..link.clone() };
        replica
    }

    fn evasive(evasion: Evasion, ended: bool) -> Member {
        let address = Some(crate::domain::replication::fixtures::address(0));
        Member { ended, address, ..member(0, Answer::Evasive(evasion)) }
    }

    #[test]
    fn what_replicas_tell_goes_on_while_the_primary_cannot_be_asked() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut sighting = Sighting::new(0, primary(0, "a", 5000).told().unwrap(), begun);
        sighting.answers(primary(0, "a", 5000).told().unwrap(), None, [1, 2].into(), begun);
        let all = [primary(0, "a", 5000), linked(1, 5000, true, 0), linked(2, 5000, true, 0)];
        sighting.listen(&all, Limits::default(), begun, begun);
        assert_eq!(sighting.seen().unheard, [(1, 0), (2, 0)].into());

        // One loses its link; the other hears the primary take writes for 50 minutes.
        for second in 1..=3000 {
            let members = [
                evasive(Evasion::Full, false),
                linked(1, 5000, false, second),
                linked(2, 5000 + second, true, second % 2),
            ];
            sighting.listen(&members, Limits::default(), at(second), at(second));
        }
        let seen = sighting.seen();
        assert_eq!((seen.unheard, seen.offset), ([(1, 3000), (2, 0)].into(), 8000));
        assert!((7990..8000).contains(&seen.earlier), "{}", seen.earlier);

        // Then it dies: nobody hears anything any more, and a new process in its place is no sign of life.
        for (second, primary) in
            [(3001, member(0, Answer::Silent { seconds: 1 })), (3100, evasive(Evasion::Full, true))]
        {
            sighting.listen(
                &[primary, linked(1, 5000, false, second), linked(2, 8000, false, 9)],
                Limits::default(),
                at(second),
                at(second),
            );
            assert_eq!(sighting.seen().unheard, [(1, 3000), (2, 0)].into());
        }
    }

    #[test]
    fn a_primary_that_cannot_be_asked_lives_on_though_nobody_hears_it() {
        let begun = Instant::now();
        let mut sighting = Sighting::new(0, primary(0, "a", 50).told().unwrap(), begun);
        sighting.listen(&[primary(0, "a", 50), linked(1, 50, true, 0)], Limits::default(), begun, begun);
        for (evasion, unheard) in [(Evasion::Full, 60), (Evasion::Busy, 60), (Evasion::Other, 60)] {
            let mut sighting = sighting.clone();
            for (second, ended) in [(60, false), (90, true)] {
                let members = [evasive(evasion, ended), linked(1, 50, false, second)];
                sighting.listen(
                    &members,
                    Limits::default(),
                    begun + Duration::from_secs(second),
                    begun + Duration::from_secs(second),
                );
                assert_eq!(sighting.seen().unheard, [(1, unheard)].into(), "{evasion:?}");
            }
        }
    }

    #[test]
    fn a_replica_that_lost_its_link_in_one_script_may_lack_its_writes_in_the_next() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let busy = || evasive(Evasion::Busy, false);
        let mut sighting = Sighting::new(0, primary(0, "a", 50).told().unwrap(), begun);
        sighting.listen(&[primary(0, "a", 50), linked(1, 50, true, 0)], Limits::default(), begun, begun);
        // The first script: the replica gives the connection up after 60 s.
        for second in 1..=90 {
            sighting.listen(&[busy(), linked(1, 50, second < 60, second)], Limits::default(), at(second), at(second));
        }
        assert_eq!(sighting.seen().unheard, [(1, 0)].into());
        assert!(sighting.has_heard_all(1, Limits::default(), at(90)));
        // It ends and the next begins, silent until `busy-reply-threshold`.
        for second in 91..=95 {
            let silent = member(0, Answer::Silent { seconds: second - 90 });
            sighting.listen(&[silent, linked(1, 50, false, second)], Limits::default(), at(second), at(second));
        }
        for second in 96..=99 {
            sighting.listen(&[busy(), linked(1, 50, false, second)], Limits::default(), at(second), at(second));
        }
        assert_eq!(sighting.seen().unheard, [(1, 37)].into());
        assert!(!sighting.has_heard_all(1, Limits::default(), at(99)));
    }

    #[test]
    fn two_busy_answers_are_of_one_script_only_if_another_one_could_not_be_busy_yet() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut sighting = Sighting::new(0, primary(0, "a", 50).told().unwrap(), begun);
        sighting.listen(&[primary(0, "a", 50), linked(1, 50, true, 0)], Limits::default(), begun, begun);
        let busy = |seconds, up| [evasive(Evasion::Busy, false), linked(1, 50, up, seconds)];
        sighting.listen(&busy(6, true), Limits::default(), at(6), at(6));
        sighting.listen(&busy(60, false), Limits::default(), at(8), at(8));
        let silent = [member(0, Answer::Silent { seconds: 1 }), linked(1, 50, false, 61)];
        let unheard_after = |members: &[Member], next: u64, limits: Limits| {
            let mut sighting = sighting.clone();
            sighting.listen(members, limits, at(9), at(9));
            sighting.listen(&busy(70, false), limits, at(next), at(next));
            (sighting.seen().unheard[&1], sighting.has_heard_all(1, limits, at(next)))
        };
        let short = Limits { same_script: Duration::ZERO, ..Limits::default() };
        let other = [evasive(Evasion::Other, false), linked(1, 50, false, 61)];
        let gone = [Member { ended: true, ..silent[0].clone() }, silent[1].clone()];
        for (what, members, next, limits, expected) in [
            ("one lost question", &silent, 10, Limits::default(), (0, true)),
            ("no question for 10 s", &silent, 18, Limits::default(), (12, false)),
            ("a server that answers BUSY at once", &silent, 10, short, (4, false)),
            ("an answer between two scripts", &other, 10, Limits::default(), (4, true)),
            ("another process", &gone, 10, Limits::default(), (4, true)),
        ] {
            assert_eq!(unheard_after(members, next, limits), expected, "{what}");
        }
        // The answer took long to be read, as in an operator without CPU time: the script may have begun after the other one.
        for (asked, unheard) in [(9, 0), (7, 6)] {
            let mut sighting = sighting.clone();
            sighting.listen(&busy(66, false), Limits::default(), at(asked), at(10));
            sighting.listen(&busy(68, false), Limits::default(), at(12), at(12));
            assert_eq!(sighting.seen().unheard[&1], unheard, "asked at {asked}");
        }
    }

    #[test]
    fn a_replica_of_a_primary_that_runs_a_script_hears_it_while_it_is_connected() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut sighting = Sighting::new(0, primary(0, "a", 90).told().unwrap(), begun);
        for second in 0..60 {
            let members = [evasive(Evasion::Busy, false), linked(1, 90, true, second), linked(2, 90, false, second)];
            sighting.listen(&members, Limits::default(), at(second), at(second));
        }
        assert_eq!(sighting.seen().unheard, [(1, 0)].into());
        // One that goes on in another history is not heard in this one.
        let mut other = linked(1, 9000, true, 0);
        told_mut(&mut other).history = "b".to_owned();
        sighting.listen(&[evasive(Evasion::Other, false), other], Limits::default(), at(70), at(70));
        assert_eq!((sighting.seen().unheard, sighting.seen().offset), ([(1, 11)].into(), 90));
    }
}
