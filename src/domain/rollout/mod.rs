//! Controls the rollout of a new pod template: one pod at a time from the highest ordinal, each after the pods above it
//! are ready and in sync. The gate is the partition of the StatefulSet, so it also holds while the operator is down.
//! Between rollouts the partition equals the number of pods, so that template changes by others wait for the operator
//! too.

mod order;

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{StatefulSet, StatefulSetStatus},
    core::v1::Pod,
};

use self::order::Roll;
use super::{
    names::TEMPLATE_HASH_ANNOTATION,
    observed::{is_ready, revision},
};

/// One pod of the StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Seat {
    /// Number of the pod.
    pub ordinal: i32,
    /// True if the pod exists.
    pub exists: bool,
    /// True if it is terminating.
    pub is_leaving: bool,
    /// True if it passes its readiness probe.
    pub is_ready: bool,
    /// True if its Redis cannot run without user action or a new template.
    pub is_hindered: bool,
    /// The revision of the StatefulSet that it was created from.
    pub revision: Option<String>,
}

/// The pods that have the data. Empty until the servers have been probed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// Ordinal of the pod that takes the writes.
    pub primary: Option<i32>,
    /// Ordinals of the replicas that have its data.
    pub in_sync: BTreeSet<i32>,
    /// Ordinals of the pods that are known to take no writes.
    pub idle: BTreeSet<i32>,
}

/// The permitted extent of the rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The partition to apply: pods of this ordinal and above follow the newest template.
    pub partition: i32,
    /// The running pod that the rollout restarts next, after a switchover if it is the primary.
    pub next: Option<i32>,
}

impl Seat {
    /// Reads the state of a pod; `None` stands for a pod that does not exist.
    #[must_use]
    pub fn of(ordinal: i32, pod: Option<&Pod>, is_hindered: bool) -> Self {
        let Some(pod) = pod else { return Self { ordinal, ..Self::default() } };
        Self {
            ordinal,
            exists: true,
            is_leaving: pod.metadata.deletion_timestamp.is_some(),
            is_ready: is_ready(pod),
            is_hindered,
            revision: revision(pod).cloned(),
        }
    }

    /// True if its restart affects no client: it runs no Redis, or it is terminating.
    const fn is_free(&self) -> bool {
        !self.exists || self.is_leaving || self.is_hindered
    }
}

impl Copies {
    /// True if a pod is the primary or in sync with it.
    #[must_use]
    pub fn is_settled(&self, ordinal: i32) -> bool {
        self.primary == Some(ordinal) || self.in_sync.contains(&ordinal)
    }
}

/// True if the StatefulSet was last applied with a pod template of another hash.
#[must_use]
pub fn is_outdated(live: &StatefulSet, template_hash: Option<&String>) -> bool {
    live.metadata.annotations.as_ref().and_then(|annotations| annotations.get(TEMPLATE_HASH_ANNOTATION))
        != template_hash
}

/// True if a pod cannot run, waits for the rollout, and would be created from the newest template. The StatefulSet
/// controller replaces such a pod only when every pod above it is ready, which may depend on this pod.
#[must_use]
pub fn is_to_be_replaced(live: &StatefulSet, seat: &Seat) -> bool {
    let newest = live.status.as_ref().and_then(|status| status.update_revision.as_ref());
    let outdated = newest.is_some() && seat.revision.as_ref() != newest;
    let released = has_seen(live) && seat.ordinal >= partition_of(live).unwrap_or(0);
    seat.exists && !seat.is_leaving && seat.is_hindered && outdated && released
}

/// The partition between rollouts, which restarts no pod. A single pod needs no gate.
#[must_use]
pub const fn resting_partition(replicas: i32) -> i32 {
    if replicas > 1 { replicas } else { 0 }
}

/// Computes the partition of the rollout. `seats` are all pods of the StatefulSet in order of ordinal; `changes` is
/// true if this write brings a new template. The highest ordinal restarts first: if the template is broken, the other
/// pods keep the former one.
#[must_use]
pub fn plan(live: Option<&StatefulSet>, seats: &[Seat], copies: &Copies, changes: bool) -> Plan {
    let replicas = i32::try_from(seats.len()).unwrap_or(i32::MAX);
    // The StatefulSet was deleted without its pods: none restarts until it exists again and their roles are known.
    let Some(live) = live else { return Plan { partition: resting_partition(replicas), next: None } };
    let present = partition_of(live).unwrap_or(0).clamp(0, replicas);
    if !changes && !has_seen(live) {
        return Plan { partition: present, next: None };
    }
    let status = live.status.as_ref();
    let roll = Roll { status, seats, copies, changes };
    let Some(next) = roll.next() else {
        // Until the controller has observed that all pods are ready, it recreates pods below the partition from the
        // former template.
        let partition = if is_complete(status) { resting_partition(replicas) } else { 0 };
        return Plan { partition, next: None };
    };
    let serve = roll.above(next).all(|seat| seat.is_ready && (replicas == 1 || copies.is_settled(seat.ordinal)));
    let released = present <= next.ordinal && (!next.exists || next.is_leaving);
    let may_go = released || (serve && (next.is_free() || replicas == 1 || roll.is_spare(next)));
    let gated = if may_go { roll.lowest_missing(next) } else { next.ordinal + 1 };
    let partition = roll.unblocking_partition().map_or(gated, |partition| partition.min(gated));
    Plan { partition, next: (serve && !next.is_free()).then_some(next.ordinal) }
}

fn partition_of(live: &StatefulSet) -> Option<i32> {
    live.spec.as_ref()?.update_strategy.as_ref()?.rolling_update.as_ref()?.partition
}

/// True if the StatefulSet controller has observed the current generation.
fn has_seen(live: &StatefulSet) -> bool {
    live.status.as_ref().and_then(|status| status.observed_generation) >= live.metadata.generation
}

/// True if every pod is of the newest template, which the controller reports once all of them are ready.
fn is_complete(status: Option<&StatefulSetStatus>) -> bool {
    status.is_some_and(|status| status.update_revision.is_some() && status.current_revision == status.update_revision)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A StatefulSet of three pods. `current` is the revision that pods below the partition are made from.
    fn set(partition: i32, observed: i64, current: &str) -> StatefulSet {
        serde_json::from_value(json!({"metadata": {"generation": 2}, "spec": {"replicas": 3, "selector": {}, "template": {},
            "updateStrategy": {"rollingUpdate": {"partition": partition}}},
            "status": {"replicas": 3, "observedGeneration": observed, "currentRevision": current, "updateRevision": "new"}}))
        .unwrap()
    }

    /// Pods in words: `old` and `new` run; `!` = cannot run, `~` = is not ready, `x` = is being deleted, `-` = does not exist.
    fn seats(pods: &str) -> Vec<Seat> {
        let seat = |(ordinal, pod): (i32, &str)| Seat {
            ordinal,
            exists: pod != "-",
            is_leaving: pod.ends_with('x'),
            is_ready: pod.chars().all(char::is_alphabetic) && !pod.ends_with('x'),
            is_hindered: pod.ends_with('!'),
            revision: (pod != "-").then(|| pod.get(..3).unwrap().to_owned()),
        };
        (0..).zip(pods.split(' ')).map(seat).collect()
    }

    fn copies(primary: Option<i32>, in_sync: &[i32]) -> Copies {
        Copies { primary, in_sync: in_sync.iter().copied().collect(), idle: BTreeSet::new() }
    }

    fn next(present: i32, pods: &str, copies: &Copies) -> (i32, Option<i32>) {
        let plan = plan(Some(&set(present, 2, "old")), &seats(pods), copies, false);
        (plan.partition, plan.next)
    }

    #[test]
    fn pods_follow_one_at_a_time_from_the_last_and_the_primary_only_when_the_role_has_left_it() {
        let led_by =
            |primary: i32| copies(Some(primary), &[0, 1, 2].into_iter().filter(|o| *o != primary).collect::<Vec<_>>());
        for (present, pods, primary, expected) in [
            (3, "old old old", 0, (2, Some(2))),
            (2, "old old oldx", 0, (2, None)),
            (2, "old old -", 0, (2, None)),
            (2, "old old new~", 0, (2, None)),
            (2, "old old new", 0, (1, Some(1))),
            (1, "old new new", 0, (1, Some(0))),
            (1, "old new new", 1, (0, Some(0))),
            (0, "new new new", 1, (0, None)),
            (3, "old old old", 2, (3, Some(2))),
            (3, "new old new", 0, (1, Some(1))),
        ] {
            let found = next(present, pods, &led_by(primary));
            assert_eq!(found, expected, "{pods}, primary {primary}, partition {present}");
        }
    }

    #[test]
    fn a_pod_that_serves_without_its_data_is_waited_for() {
        assert_eq!(next(2, "old old new", &copies(Some(0), &[1])), (2, None), "pod 2 has no data yet");
        assert_eq!(next(1, "old new new", &copies(Some(1), &[])), (1, None), "nobody follows the new primary yet");
        assert_eq!(next(1, "old new new", &copies(Some(1), &[2])), (0, Some(0)));
    }

    #[test]
    fn the_last_copy_stays_unless_no_other_pod_can_run_before_the_rollout_reaches_it() {
        let last = copies(Some(0), &[2]);
        assert_eq!(next(3, "old old old", &last), (3, Some(2)), "pod 1 is being synchronised");
        assert_eq!(next(3, "old - old", &last), (3, Some(2)), "pod 1 comes back");
        assert_eq!(next(3, "old old! old", &last), (2, Some(2)), "pod 1 waits for the rollout");
        assert_eq!(next(3, "old new! old", &last), (3, Some(2)), "the rollout would not cure pod 1");
        let two = plan(Some(&set(2, 2, "old")), &seats("old old"), &copies(Some(0), &[1]), false);
        assert_eq!(two.partition, 1, "of two, one has to be restarted");
    }

    #[test]
    fn without_a_primary_no_running_pod_is_restarted_but_on_the_way_to_one_that_has_to_be_cured() {
        let nobody = copies(None, &[]);
        let idle = Copies { idle: [1, 2].into(), ..Copies::default() };
        for (pods, copies, expected) in [
            ("old! old! old!", &nobody, 0),
            ("old! old! new", &nobody, 0),
            ("- - -", &nobody, 0),
            ("old! old! new!", &nobody, 2),
            ("old old old", &nobody, 3),
            ("old old old", &idle, 3),
            ("old! old old", &nobody, 3),
            ("old! old old", &idle, 0),
            ("old old! old!", &nobody, 1),
            ("old old new", &nobody, 2),
        ] {
            assert_eq!(next(3, pods, copies).0, expected, "{pods} {copies:?}");
        }
    }

    #[test]
    fn a_new_template_begins_with_the_last_pod_and_with_those_that_do_not_exist() {
        let begin = |pods: &str, copies: &Copies| plan(Some(&set(0, 1, "new")), &seats(pods), copies, true).partition;
        let all = copies(Some(0), &[1, 2]);
        assert_eq!(begin("new new new", &all), 2);
        assert_eq!(begin("new - -", &Copies::default()), 1, "one pod that becomes three");
        assert_eq!(begin("new new -", &all), 2);
        assert_eq!(begin("new! new! new!", &Copies::default()), 0, "all of them are broken");
        assert_eq!(begin("new", &Copies::default()), 0);
        assert_eq!(plan(None, &seats("old old old"), &Copies::default(), true).partition, 3);
        assert_eq!(plan(None, &seats("old"), &Copies::default(), true).partition, 0);
    }

    #[test]
    fn between_rollouts_the_partition_holds_every_pod_of_several() {
        let rest =
            |pods: &str, current| plan(Some(&set(0, 2, current)), &seats(pods), &copies(Some(0), &[1, 2]), false);
        assert_eq!(rest("new new new", "new"), Plan { partition: 3, next: None });
        assert_eq!(rest("new new new", "old"), Plan { partition: 0, next: None }, "the controller does not say so yet");
        assert_eq!(rest("new - new", "new"), Plan { partition: 3, next: None }, "it is made from the same template");
        assert_eq!(rest("new", "new"), Plan { partition: 0, next: None });
    }

    #[test]
    fn what_the_controller_has_not_seen_decides_nothing() {
        let unseen = plan(Some(&set(2, 1, "old")), &seats("new new new"), &copies(Some(0), &[1, 2]), false);
        assert_eq!(unseen, Plan { partition: 2, next: None });
    }

    #[test]
    fn only_a_pod_that_cannot_run_and_is_released_is_replaced() {
        let replaced = |partition, pods: &str| -> Vec<i32> {
            let set = set(partition, 2, "old");
            seats(pods).iter().filter(|seat| is_to_be_replaced(&set, seat)).map(|seat| seat.ordinal).collect()
        };
        assert_eq!(replaced(0, "old! old! new!"), [0, 1]);
        assert_eq!(replaced(1, "old! old! old"), [1]);
        assert!(replaced(0, "old old~ -").is_empty());
        assert!(!is_to_be_replaced(&set(0, 1, "old"), &seats("old!")[0]), "the controller has not seen the template");
    }

    #[test]
    fn another_template_is_known_by_its_hash() {
        let mut set = set(0, 2, "old");
        let hash = "abc".to_owned();
        assert!(is_outdated(&set, Some(&hash)));
        set.metadata.annotations = Some([(TEMPLATE_HASH_ANNOTATION.to_owned(), hash.clone())].into());
        assert!(!is_outdated(&set, Some(&hash)));
    }
}
