//! Members of a replicated instance for unit tests.

use std::net::IpAddr;

use super::{Answer, Link, Member, Role, Told};

/// Address of the pod with this ordinal.
pub(crate) fn address(ordinal: i32) -> IpAddr {
    format!("10.0.0.{ordinal}").parse().unwrap()
}

pub(crate) fn member(ordinal: i32, answer: Answer) -> Member {
    let address = match &answer {
        Answer::Told(reported) => Some(reported.address),
        _ => None,
    };
    Member {
        ordinal,
        leaving: false,
        hindered: false,
        inherited: false,
        ended: answer == Answer::Absent,
        node_away: false,
        fenced: None,
        updated: true,
        unready: None,
        address,
        answer,
    }
}

/// A primary of this history, so far in it.
pub(crate) fn primary(ordinal: i32, history: &str, offset: u64) -> Member {
    member(ordinal, Answer::Told(told(ordinal, Role::Primary, history, offset)))
}

/// A replica of that one.
pub(crate) fn replica(ordinal: i32, of: i32, history: &str, offset: u64) -> Member {
    let link = Link { of: Some(address(of)), up: true, syncing: false, silence: Some(0), down: None };
    member(ordinal, Answer::Told(told(ordinal, Role::Replica(link), history, offset)))
}

/// A server that has just started, with or without data.
pub(crate) fn started(ordinal: i32, empty: bool) -> Member {
    let link = Link { of: None, up: false, syncing: false, silence: None, down: None };
    let reported = told(ordinal, Role::Replica(link), &format!("fresh-{ordinal}"), 0);
    member(ordinal, Answer::Told(Told { empty, ..reported }))
}

fn told(ordinal: i32, role: Role, history: &str, offset: u64) -> Told {
    let (history, former_history) = (history.to_owned(), "0000".to_owned());
    Told {
        address: address(ordinal),
        role,
        history,
        former_history,
        offset,
        empty: false,
        loading: false,
        cannot_persist: false,
        refusal: None,
    }
}

pub(crate) fn told_mut(member: &mut Member) -> &mut Told {
    match &mut member.answer {
        Answer::Told(reported) => reported,
        _ => panic!("it reports nothing"),
    }
}
