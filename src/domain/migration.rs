//! Moves the volumes of several pods to another StorageClass, one pod at a time, each with a full resync from the
//! primary. The primary moves last, after a switchover. Determines what may be moved and what is next; deletes nothing
//! itself.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

/// Annotation of a claim: the StorageClass that its volume is moved to. It records the request of the user; a claim
/// that merely has another class is not replaced.
pub const MOVE_ANNOTATION: &str = "redis.github.com/move-to";

/// Why volumes cannot be moved to this StorageClass, with an alternative; `None` if they can.
#[must_use]
pub fn obstacle(class: Option<&str>, replicas: i32) -> Option<&'static str> {
    match class {
        None | Some("") => Some(
            "volumes can only be moved to a class that is named; name it, or create a new RedisInstance without one and move the data",
        ),
        Some(_) if replicas < 2 => Some(
            "with one replica there is no other to copy the data from; set replicas to 2 or more first, or create a new RedisInstance with the other class and move the data",
        ),
        Some(_) => None,
    }
}

/// The volume of one pod, according to its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volume {
    /// It is kept.
    Stays,
    /// It is replaced.
    Moves {
        /// True if the claim is bound to a volume, which may hold data.
        filled: bool,
    },
    /// The claim is being deleted, by the operator or by another client, until its pod has ended.
    Leaves,
}

impl Volume {
    /// The required action for the volume, if the desired StorageClass is this one.
    #[must_use]
    pub fn of(claim: &PersistentVolumeClaim, class: Option<&str>) -> Self {
        let annotations = claim.metadata.annotations.as_ref();
        let asked = annotations.and_then(|annotations| annotations.get(MOVE_ANNOTATION)).map(String::as_str);
        if claim.metadata.deletion_timestamp.is_some() {
            Self::Leaves
        } else if asked.is_some() && asked == class && is_of_another(claim, class) {
            Self::Moves { filled: claim.spec.as_ref().is_some_and(|spec| spec.volume_name.is_some()) }
        } else {
            Self::Stays
        }
    }
}

/// Whether the volume behind a claim is of another StorageClass than this one.
#[must_use]
pub fn is_of_another(claim: &PersistentVolumeClaim, class: Option<&str>) -> bool {
    claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()) != class
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All volumes are kept.
    Done,
    /// Replace the volume of this pod.
    Replace(i32),
    /// Replace the volume of this pod after a switchover to another one.
    HandOver(i32),
    /// A rollout is in progress, or the other pods do not have all data yet, so that no volume may be replaced.
    Wait,
}

/// The next step for these volumes, each with the ordinal of its pod. `is_rolling` is true during a rollout, which is
/// finished first; `is_settled` is true for a pod that serves and has all data. A volume with data is replaced only
/// while all other pods have the data; an empty one may be replaced earlier.
#[must_use]
pub fn next(
    volumes: &[(i32, Volume)],
    primary: Option<i32>,
    is_rolling: bool,
    is_settled: impl Fn(i32) -> bool,
) -> Step {
    let last_with = |wanted: fn(&Volume) -> bool| {
        volumes.iter().rev().find(|(ordinal, volume)| wanted(volume) && primary != Some(*ordinal)).map(|(at, _)| *at)
    };
    if volumes.iter().all(|(_, volume)| *volume == Volume::Stays) {
        return Step::Done;
    }
    if let Some(empty) = last_with(|volume| *volume == Volume::Moves { filled: false }) {
        return Step::Replace(empty);
    }
    // A migration that has begun is finished before the next one starts.
    let replica =
        last_with(|volume| *volume == Volume::Leaves).or_else(|| last_with(|volume| *volume != Volume::Stays));
    let Some(target) = replica.or(primary) else { return Step::Wait };
    let others = || volumes.iter().map(|(ordinal, _)| *ordinal).filter(|ordinal| *ordinal != target);
    if is_rolling || primary.is_none() || others().next().is_none() || !others().all(is_settled) {
        return Step::Wait;
    }
    if primary == Some(target) { Step::HandOver(target) } else { Step::Replace(target) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const STAYS: Volume = Volume::Stays;
    const MOVES: Volume = Volume::Moves { filled: true };
    const EMPTY: Volume = Volume::Moves { filled: false };
    const LEAVES: Volume = Volume::Leaves;

    fn claim(metadata: Value, spec: Value) -> PersistentVolumeClaim {
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn step(volumes: [Volume; 3], primary: Option<i32>, settled: &[i32]) -> Step {
        let volumes: Vec<(i32, Volume)> = (0..).zip(volumes).collect();
        next(&volumes, primary, false, |ordinal| settled.contains(&ordinal))
    }

    #[test]
    fn only_several_pods_move_and_only_to_a_class_that_is_named() {
        assert_eq!(obstacle(Some("fast"), 2), None);
        assert!(obstacle(Some("fast"), 1).is_some_and(|words| words.contains("set replicas to 2 or more")));
        for class in [None, Some("")] {
            assert!(obstacle(class, 3).is_some_and(|words| words.contains("named")), "{class:?}");
        }
    }

    #[test]
    fn a_claim_moves_when_somebody_asked_for_it_and_its_class_is_another() {
        let marked = |to: &str| json!({"annotations": {MOVE_ANNOTATION: to}});
        let of = |metadata: Value, spec: Value| Volume::of(&claim(metadata, spec), Some("fast"));
        assert_eq!(of(marked("fast"), json!({"storageClassName": "slow", "volumeName": "v"})), MOVES);
        assert_eq!(of(marked("fast"), json!({"storageClassName": "slow"})), EMPTY);
        assert_eq!(of(marked("fast"), json!({"storageClassName": "fast", "volumeName": "v"})), STAYS, "it has come");
        assert_eq!(of(marked("other"), json!({"storageClassName": "slow"})), STAYS, "the word was taken back");
        assert_eq!(of(json!({}), json!({"storageClassName": "slow", "volumeName": "v"})), STAYS, "nobody asked");
        assert_eq!(of(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), json!({})), LEAVES);
        assert_eq!(Volume::of(&claim(json!({}), json!({"storageClassName": "slow"})), None), STAYS);
    }

    #[test]
    fn the_volumes_move_from_the_last_to_the_primarys() {
        let all = &[0, 1, 2][..];
        assert_eq!(step([STAYS, STAYS, STAYS], Some(0), &[]), Step::Done);
        assert_eq!(step([MOVES, MOVES, MOVES], Some(0), all), Step::Replace(2));
        assert_eq!(step([MOVES, MOVES, STAYS], Some(0), all), Step::Replace(1));
        assert_eq!(step([MOVES, STAYS, STAYS], Some(0), all), Step::HandOver(0));
        assert_eq!(step([MOVES, MOVES, MOVES], Some(2), all), Step::Replace(1));
        assert_eq!(step([MOVES, STAYS, STAYS], Some(2), all), Step::Replace(0));
    }

    #[test]
    fn none_goes_before_all_others_have_the_data() {
        for (settled, expected) in
            [(&[0, 1][..], Step::Replace(2)), (&[0], Step::Wait), (&[1, 2], Step::Wait), (&[], Step::Wait)]
        {
            assert_eq!(step([MOVES, MOVES, MOVES], Some(0), settled), expected, "{settled:?}");
        }
        assert_eq!(step([MOVES, MOVES, MOVES], None, &[0, 1, 2]), Step::Wait, "nobody has the newest data");
        assert_eq!(step([MOVES, STAYS, STAYS], Some(0), &[0, 1]), Step::Wait, "the role has nowhere to go");
        assert_eq!(next(&[(0, LEAVES)], Some(0), false, |_| true), Step::Wait, "there is no other");
        let rolled = |volume| next(&[(0, STAYS), (1, volume)], Some(0), true, |_| true);
        assert_eq!((rolled(MOVES), rolled(EMPTY)), (Step::Wait, Step::Replace(1)), "one thing after another");
    }

    #[test]
    fn what_was_begun_is_finished_first_and_what_is_empty_waits_for_nobody() {
        assert_eq!(step([MOVES, LEAVES, MOVES], Some(0), &[0, 2]), Step::Replace(1));
        assert_eq!(step([MOVES, LEAVES, MOVES], Some(0), &[0, 1]), Step::Wait);
        assert_eq!(step([LEAVES, STAYS, STAYS], Some(0), &[0, 1, 2]), Step::HandOver(0));
        assert_eq!(step([MOVES, MOVES, EMPTY], Some(0), &[0]), Step::Replace(2));
        assert_eq!(step([MOVES, MOVES, EMPTY], None, &[]), Step::Replace(2));
    }
}
