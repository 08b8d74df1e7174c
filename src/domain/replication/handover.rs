//! Decides when a healthy primary hands over its role, and to which replica: before a rollout restarts its pod, a
//! scale-in removes it, or it is evicted. The controller performs the switchover.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::Member;

/// A pod with less time than this left hands over its role at once: its server may be killed before the nodes have
/// updated their routes.
const NOTICE: SignedDuration = SignedDuration::from_secs(5);
/// After this time a terminating pod may have exhausted the 20 s for which `preStop` waits.
const PRE_STOP: SignedDuration = SignedDuration::from_secs(15);
/// Seconds that the pod of a primary has to be unready before a switchover: the Service has no endpoint then, but a
/// switchover interrupts clients for a moment too.
const UNREADY_LIMIT: u64 = 5;

/// The reason of a switchover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Its pod is being deleted: an eviction, a drain, a deletion by hand.
    Leaving,
    /// A rollout restarts its pod next.
    Rolling,
    /// Its pod is removed by a scale-in.
    ScalingIn,
    /// It refuses writes because it cannot write to its volume, and another can.
    CannotPersist,
    /// Its pod is not ready, so that the Service has no endpoint, and the pod of a replica is ready.
    NotReady,
}

impl Occasion {
    /// The reason in a message.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Leaving => "its pod is being deleted",
            Self::Rolling => "its pod is the next to be restarted",
            Self::ScalingIn => "its pod is to be taken away",
            Self::CannotPersist => "it cannot write to its volume, which may be full",
            Self::NotReady => "its pod is not ready, so that its Service has no endpoint",
        }
    }
}

/// The reason to move the role from this primary, if there is one. `next` is the pod that the rollout restarts next.
#[must_use]
pub fn occasion(
    members: &[Member],
    in_sync: &BTreeSet<i32>,
    primary: i32,
    wanted: i32,
    next: Option<i32>,
) -> Option<Occasion> {
    let is = |holds: fn(&Member) -> bool| members.iter().any(|member| member.ordinal == primary && holds(member));
    let better =
        || successor(members, in_sync, wanted).and_then(|to| members.iter().find(|member| member.ordinal == to));
    let is_unready = |member: &Member| member.unready.is_some_and(|seconds| seconds >= UNREADY_LIMIT);
    if is(|member| member.leaving) {
        Some(Occasion::Leaving)
    } else if primary >= wanted {
        Some(Occasion::ScalingIn)
    } else if next == Some(primary) {
        Some(Occasion::Rolling)
    } else {
        let (fails, unready) = (is(Member::cannot_persist), is(is_unready));
        let candidate = if fails || unready { better() } else { None };
        let candidate = candidate.filter(|candidate| !candidate.cannot_persist())?;
        if fails { Some(Occasion::CannotPersist) } else { candidate.unready.is_none().then_some(Occasion::NotReady) }
    }
}

/// Whether the Services select the next primary for a while before the role moves. Not if no client can write in the
/// meantime, nor if the pod of the present primary terminates too soon: its server gets SIGTERM when `preStop` ends.
#[must_use]
pub fn leads(why: Occasion, pod: Option<&Pod>, now: Timestamp) -> bool {
    let stays = pod.is_none_or(|pod| {
        pod.metadata.deletion_timestamp.as_ref().is_none_or(|end| {
            let begun = end.0 - SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
            end.0.duration_since(now) > NOTICE && now.duration_since(begun) < PRE_STOP
        })
    });
    why != Occasion::CannotPersist && stays
}

/// The replica to promote for this reason; `None` if none is suitable. A replica that would refuse writes is promoted
/// only if the primary refuses them too, or if the pod of the primary is being deleted anyway.
#[must_use]
pub fn heir(members: &[Member], in_sync: &BTreeSet<i32>, wanted: i32, primary: i32, why: Occasion) -> Option<i32> {
    let fails = |ordinal: i32| members.iter().any(|member| member.ordinal == ordinal && member.cannot_persist());
    let candidate = successor(members, in_sync, wanted)?;
    (!fails(candidate) || fails(primary) || why == Occasion::Leaving).then_some(candidate)
}

/// The best replica for a switchover: in sync and not terminating; preferably with a writable volume, then ready, then
/// already updated, so that the role moves only once; otherwise the lowest ordinal, which a rollout restarts last.
#[must_use]
pub fn successor(members: &[Member], in_sync: &BTreeSet<i32>, wanted: i32) -> Option<i32> {
    let stays = |member: &&Member| in_sync.contains(&member.ordinal) && !member.leaving && member.ordinal < wanted;
    members
        .iter()
        .filter(stays)
        .max_by_key(|member| (!member.cannot_persist(), member.unready.is_none(), member.updated, -member.ordinal))
        .map(|member| member.ordinal)
}

/// The number of pods to run now. A scale-in keeps the surplus pods until the primary, and a replica with its data, are
/// among the remaining pods.
#[must_use]
pub fn pods_to_keep(present: i32, wanted: i32, primary: Option<i32>, in_sync: &BTreeSet<i32>) -> i32 {
    let stays = |ordinal: &i32| *ordinal < wanted;
    let safe = primary.as_ref().is_some_and(stays) && (wanted == 1 || in_sync.iter().any(stays));
    if safe { wanted } else { wanted.max(present) }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::domain::replication::fixtures::{primary, replica, told_mut};

    #[test]
    fn the_role_leaves_a_pod_before_the_pod_does() {
        let mut members = [primary(0, "a", 9), replica(1, 0, "a", 9), replica(2, 0, "a", 9)];
        let all = [1, 2].into();
        let occasion = |members: &[Member], primary, wanted, next| occasion(members, &all, primary, wanted, next);
        assert_eq!(occasion(&members, 0, 3, None), None);
        assert_eq!(occasion(&members, 0, 3, Some(2)), None);
        assert_eq!(occasion(&members, 0, 3, Some(0)), Some(Occasion::Rolling));
        assert_eq!(occasion(&members, 2, 2, None), Some(Occasion::ScalingIn));
        members[0].leaving = true;
        assert_eq!(occasion(&members, 0, 3, None), Some(Occasion::Leaving));
    }

    #[test]
    fn a_pod_that_ends_soon_has_no_time_for_a_lead() {
        let now = Timestamp::UNIX_EPOCH;
        let mut pod = Pod::default();
        assert!(leads(Occasion::Rolling, Some(&pod), now) && leads(Occasion::Leaving, None, now));
        assert!(!leads(Occasion::CannotPersist, Some(&pod), now), "nobody can write meanwhile");
        for (grace, left, expected) in [
            (120, 118, true),
            (120, 104, false),
            (30, 28, true),
            (10, 6, true),
            (10, 5, false),
            (0, 0, false),
            (0, -3, false),
        ] {
            pod.metadata.deletion_grace_period_seconds = Some(grace);
            pod.metadata.deletion_timestamp = Some(Time(now + SignedDuration::from_secs(left)));
            assert_eq!(leads(Occasion::Leaving, Some(&pod), now), expected, "{left} of {grace} s");
        }
    }

    #[test]
    fn the_role_leaves_a_full_volume_for_one_that_is_not() {
        let mut members = [primary(0, "a", 9), replica(1, 0, "a", 9), replica(2, 0, "a", 9)];
        told_mut(&mut members[0]).cannot_persist = true;
        let why =
            |members: &[Member], in_sync: &[i32]| occasion(members, &in_sync.iter().copied().collect(), 0, 3, None);
        assert_eq!(why(&members, &[1, 2]), Some(Occasion::CannotPersist));
        assert_eq!(why(&members, &[]), None, "there is nobody to go to");
        told_mut(&mut members[1]).cannot_persist = true;
        assert_eq!((why(&members, &[1]), why(&members, &[1, 2])), (None, Some(Occasion::CannotPersist)));
        assert_eq!(successor(&members, &[1, 2].into(), 3), Some(2));
    }

    #[test]
    fn the_role_leaves_a_pod_that_is_not_ready_for_one_that_is() {
        let in_sync = [1, 2].into();
        for (primary_unready, heirs_unready, expected) in [
            (None, [None, None], None),
            (Some(UNREADY_LIMIT - 1), [None, None], None),
            (Some(UNREADY_LIMIT), [None, None], Some((Occasion::NotReady, 1))),
            (Some(60), [Some(0), None], Some((Occasion::NotReady, 2))),
            (Some(60), [Some(0), Some(60)], None),
        ] {
            let mut members = [primary(0, "a", 9), replica(1, 0, "a", 9), replica(2, 0, "a", 9)];
            for (member, unready) in members.iter_mut().zip([primary_unready, heirs_unready[0], heirs_unready[1]]) {
                member.unready = unready;
            }
            let found = occasion(&members, &in_sync, 0, 3, None);
            let found = found.and_then(|why| Some((why, heir(&members, &in_sync, 3, 0, why)?)));
            assert_eq!(found, expected, "{primary_unready:?} {heirs_unready:?}");
        }
    }

    #[test]
    fn a_replica_that_would_refuse_writes_gets_the_role_only_where_nothing_is_lost_by_it() {
        let mut members = [primary(0, "a", 9), replica(1, 0, "a", 9)];
        let heir = |members: &[Member], why| heir(members, &[1].into(), 2, 0, why);
        assert_eq!(heir(&members, Occasion::Rolling), Some(1));
        told_mut(&mut members[1]).cannot_persist = true;
        assert_eq!(heir(&members, Occasion::Rolling), None);
        assert_eq!(heir(&members, Occasion::Leaving), Some(1), "the pod of the primary goes anyway");
        told_mut(&mut members[0]).cannot_persist = true;
        assert_eq!(heir(&members, Occasion::Rolling), Some(1), "the restart may cure the primary");
    }

    #[test]
    fn it_goes_to_one_that_is_in_sync_and_stays_and_was_rolled() {
        let mut members = [replica(0, 2, "a", 9), replica(1, 2, "a", 9), primary(2, "a", 9)];
        for member in &mut members {
            member.updated = false;
        }
        assert_eq!(successor(&members, &[0, 1].into(), 3), Some(0), "the one that is rolled last");
        members[1].updated = true;
        assert_eq!(successor(&members, &[0, 1].into(), 3), Some(1));
        assert_eq!(successor(&members, &[0, 1].into(), 1), Some(0));
        members[0].leaving = true;
        assert_eq!(successor(&members, &[0].into(), 3), None);
        assert_eq!(successor(&members, &[].into(), 3), None);
    }

    #[test]
    fn pods_go_when_those_that_stay_have_the_role_and_the_data() {
        for (wanted, primary, in_sync, kept) in [
            (3, Some(0), &[1, 2][..], 3),
            (2, Some(0), &[1, 2], 2),
            (2, Some(0), &[2], 3),
            (2, Some(2), &[0, 1], 3),
            (1, Some(0), &[], 1),
            (1, Some(1), &[0], 3),
            (1, None, &[], 3),
            (5, None, &[], 5),
        ] {
            let in_sync = in_sync.iter().copied().collect();
            assert_eq!(pods_to_keep(3, wanted, primary, &in_sync), kept, "{wanted} of 3, primary {primary:?}");
        }
    }
}
