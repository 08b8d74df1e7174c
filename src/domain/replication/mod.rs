//! Who takes the writes of a replicated instance, who follows, and when the role moves: what is known of the servers, and
//! the words for it. The decisions are in `election` and `handover`. Pure: servers are asked elsewhere.

mod choices;
pub mod election;
pub mod fence;
pub mod handover;
pub mod maxclients;
pub mod record;
pub mod seen;
pub mod verdict;

use std::{collections::BTreeSet, net::IpAddr};

pub use self::record::Record;
use super::{names, observed::Aspect, reason::Reason, writes::Refusal};

/// How far behind its primary, in bytes, a replica may be and still count as in sync. The two are not asked in the same
/// instant, so what a busy primary writes meanwhile must not count.
pub const LAG_LIMIT: u64 = 16 << 20;

/// One pod of the instance, and what its server tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Member {
    /// Number of the pod.
    pub ordinal: i32,
    /// Whether the pod is there and on its way out.
    pub leaving: bool,
    /// Whether something keeps the pod from starting.
    pub hindered: bool,
    /// Whether its volume may hold data that no record tells of: the claim is older than the instance or than the claims
    /// of the other pods, or it was not made from the claim template.
    pub inherited: bool,
    /// Whether the kubelet confirms that the process which took the writes last has ended: the pod is gone, its container
    /// does not run, or another container runs in its place.
    pub ended: bool,
    /// Whether the node of the pod is reported as away, so that its kubelet will not confirm anything.
    pub node_away: bool,
    /// Seconds since the operator asked the kubelet to end the pod; `None` while it has not.
    pub fenced: Option<u64>,
    /// Whether it runs the newest template and is ready.
    pub updated: bool,
    /// How long its pod has not been ready, in seconds; `None` while it is ready.
    pub unready: Option<u64>,
    /// Where its server is asked, if it runs.
    pub address: Option<IpAddr>,
    /// What its server answers.
    pub answer: Answer,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is none: no pod, or no running container.
    Absent,
    /// The container runs and nothing came back, or the connection was refused, for so many seconds now. A refused
    /// connection alone does not prove that the process has ended: a firewall between the two refuses as well.
    Silent {
        /// Since the first question without an answer.
        seconds: u64,
    },
    /// It lives and does not say what it is.
    Evasive(Evasion),
    /// What it is.
    Told(Told),
}

/// Why a server that lives does not say what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evasion {
    /// It runs a script, or reads its data.
    Busy,
    /// It has all the clients that it may have.
    Full,
    /// It takes another password, or answers what cannot be understood.
    Other,
}

/// What a server tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where it was asked.
    pub address: IpAddr,
    /// Whether it takes writes.
    pub role: Role,
    /// Name of the history of writes that its data belong to.
    pub history: String,
    /// Name of the history before that, which this one goes on with.
    pub former_history: String,
    /// How far it is in its history, in bytes.
    pub offset: u64,
    /// Whether it holds no key at all.
    pub empty: bool,
    /// Whether it still reads its data.
    pub loading: bool,
    /// Whether it cannot write to its volume.
    pub cannot_persist: bool,
    /// Why it accepts no writes, if it does not.
    pub refusal: Option<Refusal>,
}

/// Whether a server takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It does.
    Primary,
    /// It follows another, or waits to be told whom.
    Replica(Link),
}

/// A replica's connection to its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whom it follows; `None` for one that waits to be told.
    pub of: Option<IpAddr>,
    /// Whether it is connected.
    pub up: bool,
    /// Whether it is receiving the whole data set.
    pub syncing: bool,
    /// Seconds since it last heard of its primary.
    pub silence: Option<u64>,
    /// Seconds since it lost the connection; `None` while it is connected, or was never.
    pub down: Option<u64>,
}

impl Member {
    /// What it tells, if it does.
    #[must_use]
    pub const fn told(&self) -> Option<&Told> {
        match &self.answer {
            Answer::Told(told) => Some(told),
            _ => None,
        }
    }

    /// What it tells, when it has read its data.
    fn loaded(&self) -> Option<&Told> {
        self.told().filter(|told| !told.loading)
    }

    /// Whom it follows.
    fn followed(&self) -> Option<IpAddr> {
        match &self.told()?.role {
            Role::Replica(link) => link.of,
            Role::Primary => None,
        }
    }

    /// Whether it cannot write to its volume, as far as it tells.
    #[must_use]
    pub fn cannot_persist(&self) -> bool {
        self.told().is_some_and(|told| told.cannot_persist)
    }

    /// Whether it is known to take no writes: there is no server, or it says so.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match &self.answer {
            Answer::Absent => true,
            Answer::Told(told) => told.role != Role::Primary,
            Answer::Silent { .. } | Answer::Evasive(_) => false,
        }
    }

    /// Whether it runs a script.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.answer == Answer::Evasive(Evasion::Busy)
    }

    /// Whether it takes writes, as far as it tells.
    #[must_use]
    pub fn takes_writes(&self) -> bool {
        self.loaded().is_some_and(|told| told.role == Role::Primary)
    }
}

impl Told {
    /// Whether its data belong to this history, or go on with it.
    fn continues(&self, history: &str) -> bool {
        self.history == history || self.former_history == history
    }

    /// The connection of a replica to its primary.
    const fn link(&self) -> Option<&Link> {
        match &self.role {
            Role::Replica(link) => Some(link),
            Role::Primary => None,
        }
    }
}

impl Link {
    /// Whether the replica heard of its primary within this many seconds.
    fn hears(&self, hearing: u64) -> bool {
        self.up && self.silence.is_some_and(|seconds| seconds < hearing)
    }
}

/// Bytes of the primary's history that this replica does not have yet, as both were asked, which is not in the same instant;
/// `None` for the primary, and for one whose history is another.
#[must_use]
pub fn lag(members: &[Member], primary: i32, ordinal: i32) -> Option<u64> {
    let loaded = |at: i32| members.iter().find(|member| member.ordinal == at).and_then(Member::loaded);
    let (leader, replica) = (loaded(primary)?, loaded(ordinal)?);
    (ordinal != primary && leader.history == replica.history).then(|| leader.offset.saturating_sub(replica.offset))
}

/// The replicas that have all that the primary has, but for what is on its way, and that heard of it within this many seconds.
#[must_use]
pub fn in_sync(members: &[Member], primary: i32, hearing: u64) -> BTreeSet<i32> {
    let Some(leader) = members.iter().find(|member| member.ordinal == primary).and_then(Member::loaded) else {
        return BTreeSet::new();
    };
    let synced = |told: &Told| match &told.role {
        Role::Replica(link) => {
            link.of == Some(leader.address)
                && link.hears(hearing)
                && !link.syncing
                && told.history == leader.history
                && leader.offset.saturating_sub(told.offset) < LAG_LIMIT
        }
        Role::Primary => false,
    };
    let others = members.iter().filter(|member| member.ordinal != primary);
    others.filter(|member| member.loaded().is_some_and(synced)).map(|member| member.ordinal).collect()
}

/// Whether every replica of the instance has the primary's data, for people and for the condition `Replicated`.
#[must_use]
pub fn aspect(instance: &str, members: &[Member], primary: i32, in_sync: &BTreeSet<i32>) -> Aspect {
    let leader = names::pod(instance, primary);
    let silent = members.iter().find(|member| member.ordinal == primary && member.told().is_none());
    if let Some(silent) = silent {
        let (reason, why) = match silent.answer {
            Answer::Evasive(Evasion::Full) => {
                (Reason::MaxClientsReached, "all connections that maxclients allows are in use")
            }
            Answer::Evasive(Evasion::Busy) => (Reason::Busy, "it is busy"),
            _ => (Reason::Busy, "it is busy, or has another password"),
        };
        let message = format!("primary {leader} does not say how its replicas are: {why}");
        return Aspect { holds: None, reason, message };
    }
    let others = members.iter().map(|member| member.ordinal).filter(|ordinal| *ordinal != primary);
    let behind: Vec<String> =
        others.filter(|ordinal| !in_sync.contains(ordinal)).map(|ordinal| names::pod(instance, ordinal)).collect();
    if behind.is_empty() {
        let message = format!("all replicas are in sync with primary {leader}");
        return Aspect { holds: Some(true), reason: Reason::InSync, message };
    }
    let message = format!("not in sync with primary {leader} yet: {}", behind.join(", "));
    Aspect { holds: Some(false), reason: Reason::Synchronising, message }
}

/// The replicas that have to be told whom to follow.
#[must_use]
pub fn astray(members: &[Member], primary: i32) -> Vec<i32> {
    let Some(address) = members.iter().find(|m| m.ordinal == primary).and_then(|m| m.told()).map(|told| told.address)
    else {
        return Vec::new();
    };
    let astray = |told: &Told| matches!(&told.role, Role::Replica(link) if link.of != Some(address));
    let others = members.iter().filter(|member| member.ordinal != primary);
    others.filter(|member| member.loaded().is_some_and(astray)).map(|member| member.ordinal).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Address of the pod with this ordinal.
    pub(crate) fn address(ordinal: i32) -> IpAddr {
        format!("10.0.0.{ordinal}").parse().unwrap()
    }

    pub(crate) fn member(ordinal: i32, answer: Answer) -> Member {
        let address = match &answer {
            Answer::Told(told) => Some(told.address),
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
        let told = told(ordinal, Role::Replica(link), &format!("fresh-{ordinal}"), 0);
        member(ordinal, Answer::Told(Told { empty, ..told }))
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
            Answer::Told(told) => told,
            _ => panic!("it tells nothing"),
        }
    }

    #[test]
    fn a_replica_is_in_sync_when_it_follows_closely_in_the_same_history() {
        let far = LAG_LIMIT + 100;
        let mut syncing = replica(4, 0, "a", far);
        let Role::Replica(link) = &mut told_mut(&mut syncing).role else { unreachable!() };
        link.syncing = true;
        let mut deaf = replica(7, 0, "a", far);
        let Role::Replica(link) = &mut told_mut(&mut deaf).role else { unreachable!() };
        link.silence = Some(3);
        let members = [
            primary(0, "a", far),
            replica(1, 0, "a", far - 10),
            replica(2, 0, "a", 50),
            replica(3, 0, "b", far),
            syncing,
            replica(5, 1, "a", far),
            started(6, false),
            deaf,
        ];
        assert_eq!(in_sync(&members, 0, 3), [1].into());
        assert_eq!(astray(&members, 0), [5, 6]);
        assert!(in_sync(&members, 8, 3).is_empty() && astray(&members, 8).is_empty());
        assert_eq!(
            [0, 1, 2, 3, 6].map(|ordinal| lag(&members, 0, ordinal)),
            [None, Some(10), Some(far - 50), None, None]
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let members = [primary(0, "a", 9), replica(1, 0, "a", 9), started(2, true)];
        let told = |members: &[Member], in_sync: &[i32]| {
            let aspect = aspect("cache", members, 0, &in_sync.iter().copied().collect());
            (aspect.holds, aspect.message)
        };
        assert_eq!(told(&members, &[1]), (Some(false), "not in sync with primary cache-0 yet: cache-2".to_owned()));
        assert_eq!(told(&members, &[1, 2]), (Some(true), "all replicas are in sync with primary cache-0".to_owned()));
        for (evasion, reason) in
            [(Evasion::Full, Reason::MaxClientsReached), (Evasion::Busy, Reason::Busy), (Evasion::Other, Reason::Busy)]
        {
            let aspect = aspect("cache", &[member(0, Answer::Evasive(evasion))], 0, &BTreeSet::new());
            assert_eq!((aspect.holds, aspect.reason), (None, reason));
        }
    }
}
