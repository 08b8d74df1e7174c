//! Members, records and elections for the tests of this module.

use super::Election;
use crate::domain::replication::{
    Answer, Member, Record, Role,
    fence::Limits,
    fixtures::{member, told_mut},
    verdict::Verdict,
};

pub(super) fn record(term: u64, history: &str, primary: Option<i32>) -> Record {
    Record { term, latest: term, history: history.to_owned(), primary, members: [0, 1, 2].into() }
}

pub(super) fn judge(members: &[Member], record: Option<&Record>, named: Option<&str>) -> Verdict {
    election(members, record, named).judge()
}

pub(super) fn election<'a>(members: &'a [Member], record: Option<&'a Record>, named: Option<&'a str>) -> Election<'a> {
    Election { instance: "cache", members, record, seen: None, named, patient: true, limits: Limits::default() }
}

/// A silent primary of which the kubelet confirms that it ended.
pub(super) fn ended(ordinal: i32, seconds: u64) -> Member {
    Member { ended: true, ..silent(ordinal, seconds) }
}

pub(super) fn silent(ordinal: i32, seconds: u64) -> Member {
    member(ordinal, Answer::Silent { seconds })
}

pub(super) fn deaf(mut replica: Member) -> Member {
    let Role::Replica(link) = &mut told_mut(&mut replica).role else { unreachable!() };
    link.silence = Some(9);
    replica
}

pub(super) fn absent(ordinal: i32) -> Member {
    member(ordinal, Answer::Absent)
}

/// The message of a verdict that needs a decision by the administrator.
pub(super) fn stuck(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Stuck(words) => words,
        other => panic!("not stuck: {other:?}"),
    }
}
