//! The order of a rollout: which pod restarts next, and which may restart out of turn.

use k8s_openapi::api::apps::v1::StatefulSetStatus;

use super::{Copies, Seat, is_complete};

/// A rollout in progress.
pub(super) struct Roll<'a> {
    pub(super) status: Option<&'a StatefulSetStatus>,
    pub(super) seats: &'a [Seat],
    pub(super) copies: &'a Copies,
    pub(super) changes: bool,
}

impl<'a> Roll<'a> {
    /// True if a pod is not of the newest template. Below the partition, missing pods are created from the former
    /// template.
    fn is_outdated(&self, seat: &Seat) -> bool {
        let newest = self.status.and_then(|status| status.update_revision.as_ref());
        self.changes || if seat.exists { seat.revision.as_ref() != newest } else { !is_complete(self.status) }
    }

    /// The pod to restart next: the highest outdated ordinal.
    pub(super) fn next(&self) -> Option<&'a Seat> {
        self.seats.iter().rev().find(|seat| self.is_outdated(seat))
    }

    pub(super) fn above(&self, next: &Seat) -> impl Iterator<Item = &'a Seat> {
        let ordinal = next.ordinal;
        self.seats.iter().filter(move |seat| seat.ordinal > ordinal)
    }

    /// True if a running pod may restart: it is not the primary, and another replica has the data. If no other replica
    /// can run before the rollout has reached it, waiting for one is pointless.
    pub(super) fn is_spare(&self, next: &Seat) -> bool {
        let Some(primary) = self.copies.primary.filter(|primary| *primary != next.ordinal) else { return false };
        let mut others = self.seats.iter().filter(|seat| seat.ordinal != primary && seat.ordinal != next.ordinal);
        self.copies.in_sync.iter().any(|ordinal| *ordinal != next.ordinal)
            || others.all(|seat| seat.is_hindered && self.is_outdated(seat))
    }

    /// The lowest of the missing pods directly below this one: all of them are created from the new template at once.
    pub(super) fn lowest_missing(&self, from: &Seat) -> i32 {
        let below = self.seats.iter().rev().skip_while(|seat| seat.ordinal > from.ordinal);
        below.take_while(|seat| !seat.exists).last().map_or(from.ordinal, |seat| seat.ordinal)
    }

    /// The lowest pod that cannot run before the rollout reaches it, if there is no primary and no pod restarted on the
    /// way can be one. A new template that is known to be broken corrects nothing.
    pub(super) fn unblocking_partition(&self) -> Option<i32> {
        let runs = |seat: &&Seat| seat.exists && !seat.is_hindered;
        let is_broken = self.seats.iter().any(|seat| seat.is_hindered && !self.is_outdated(seat));
        if self.copies.primary.is_some() || self.seats.len() <= 1 || is_broken {
            return None;
        }
        let blocked = self.seats.iter().find(|seat| self.is_outdated(seat) && (!seat.exists || seat.is_hindered))?;
        let mut restarted = self.above(blocked).filter(runs).filter(|seat| self.is_outdated(seat));
        restarted.all(|seat| self.copies.idle.contains(&seat.ordinal)).then_some(blocked.ordinal)
    }
}
