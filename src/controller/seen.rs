//! Whether there is anything new for a reconcile: what the stores show, against what the last one saw when it began and
//! what was written since. Compares versions only; what the objects hold is not its business.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use kube::{
    Resource, ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};

use super::{apply::Child, context::Context, folded::Shelf, observe, replication::Roles};
use crate::{
    api::{self, v1::RedisInstance},
    domain::{
        names::{claim, pod, pods_service, replicas_service},
        observed::Aspect,
        validate::REPLICAS_BOUND,
    },
};

/// How long the watches may take to show what was written; after that, what they show is believed.
const ECHO: Duration = Duration::from_secs(2);
/// The least time from one look at an instance of one pod to the next: what it takes a StatefulSet to make a claim and a
/// pod is told by ten changes, of which the last one says it all.
const APART: Duration = Duration::from_millis(100);

/// What the servers of several pods are to each other, as far as the rest of a reconcile goes by it.
type Found = (Option<i32>, BTreeSet<i32>, Aspect);

/// Kind and name of an object of an instance's.
pub(super) type Place = (&'static str, String);

/// The versions of all that a reconcile reads; what is not there has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Versions(BTreeMap<Place, u128>);

impl Versions {
    /// What the stores show; `None` when a version is no number, by which nothing can be told.
    pub(super) fn shown(instance: &RedisInstance, context: &Context) -> Option<Self> {
        let (namespace, name) = (instance.namespace().unwrap_or_default(), instance.name_any());
        let stores = &context.stores;
        let mut versions = Self::default();
        versions.add(instance)?;
        versions.glance(&stores.config_maps, &namespace, &name)?;
        versions.glance(&stores.services, &namespace, &name)?;
        versions.glance(&stores.services, &namespace, &pods_service(&name))?;
        versions.glance(&stores.services, &namespace, &replicas_service(&name))?;
        versions.glance(&stores.budgets, &namespace, &name)?;
        versions.glance(&stores.stateful_sets, &namespace, &name)?;
        let live = stores.stateful_sets.glance(&ObjectRef::new(&name).within(&namespace));
        let running = live.map_or(0, |live| observe::running(&live));
        // Pods that a smaller number takes away count until they are gone.
        let several = stores.services.glance(&ObjectRef::new(&replicas_service(&name)).within(&namespace)).is_some();
        let wanted = instance.spec.replicas.unwrap_or(1);
        for ordinal in 0..if several { REPLICAS_BOUND } else { running.max(wanted) } {
            let pod = pod(&name, ordinal);
            versions.find(&stores.pods, &namespace, &pod)?;
            versions.glance(&stores.claims, &namespace, &claim(&name, ordinal))?;
        }
        Some(versions)
    }

    fn find<K: Child>(&mut self, store: &Store<K>, namespace: &str, name: &str) -> Option<()> {
        store.get(&ObjectRef::new(name).within(namespace)).map_or(Some(()), |object| self.add(object.as_ref()))
    }

    fn glance<K: Child>(&mut self, kept: &Shelf<K>, namespace: &str, name: &str) -> Option<()> {
        kept.glance(&ObjectRef::new(name).within(namespace)).map_or(Some(()), |object| self.add(object.as_ref()))
    }

    fn add<K: Resource<DynamicType = ()>>(&mut self, object: &K) -> Option<()> {
        self.0.insert(place(object), version(object)?);
        Some(())
    }
}

/// What is known of one instance's objects without what they hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// What the last reconcile that came to its end saw when it began, and until when that is enough.
    seen: Option<(Versions, Instant)>,
    /// What it found the servers of several pods to be.
    roles: Option<Found>,
    /// What the last one that failed saw, and until when it rests.
    failed: Option<(Versions, Instant)>,
    /// What this process wrote, the version it got, and how long the watches may take to show it.
    written: Vec<(Place, u128, Instant)>,
    /// When a reconcile last looked at all of it.
    looked: Option<Instant>,
}

impl Known {
    /// If a reconcile would find nothing new: how long until there is to be one all the same.
    fn nothing_new(&mut self, shown: &Versions, now: Instant) -> Option<Duration> {
        let pending = |place: &Place, version: u128| shown.0.get(place).is_none_or(|shown| *shown < version);
        self.written.retain(|(place, version, until)| *until > now && pending(place, *version));
        // What the stores show is older than what is there. The watch calls when it has caught up.
        if let Some(until) = self.written.iter().map(|(.., until)| *until).max() {
            return Some(until - now);
        }
        let (seen, until) = self.seen.take()?;
        let nothing = until > now && seen == *shown;
        nothing.then(|| {
            self.seen = Some((seen, until));
            until - now
        })
    }

    /// What is known does not tell all any more: the next reconcile looks at everything.
    pub(super) fn doubt(&mut self) {
        self.seen = None;
    }

    /// Whether the last reconcile failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// If the last look was just now: how long until there is to be another. Else this is one.
    fn just_looked(&mut self, now: Instant) -> Option<Duration> {
        let rest = self.looked.map(|looked| (looked + APART).saturating_duration_since(now));
        let rest = rest.filter(|rest| !rest.is_zero());
        if rest.is_none() {
            self.looked = Some(now);
        }
        rest
    }

    fn wrote(&mut self, place: Place, version: u128, now: Instant) {
        self.written.retain(|(earlier, ..)| *earlier != place);
        self.written.push((place, version, now + ECHO));
    }
}

impl Context {
    /// If a reconcile of this instance would find nothing new, or one has just looked: how long until there is to be one all
    /// the same.
    pub(super) fn nothing_new(&self, uid: &str, shown: &Versions, roles: Option<&Roles>) -> Option<Duration> {
        let now = Instant::now();
        let caught_up =
            |version: u128| shown.0.iter().any(|((kind, _), shown)| *kind == api::KIND && *shown >= version);
        self.remember(uid, |memory| {
            memory.written.take_if(|(version, _)| caught_up(*version));
            let Some(roles) = roles else {
                return memory.known.nothing_new(shown, now).or_else(|| memory.known.just_looked(now));
            };
            // The servers are asked all the time, so the rest that follows a failure has to be kept here.
            let failed = memory.known.failed.as_ref().filter(|(versions, until)| *until > now && versions == shown);
            if failed.is_some() {
                return Some(roles.again);
            }
            memory.known.seen.take_if(|_| memory.known.roles != Some(found(roles)));
            memory.known.nothing_new(shown, now).map(|rest| rest.min(roles.again))
        })
    }

    /// Remembers what a reconcile that failed saw when it began; how long it rests is `error`'s to say.
    pub(super) fn failed_with(&self, uid: &str, seen: Option<&Versions>) {
        self.remember(uid, |memory| memory.known.failed = seen.map(|seen| (seen.clone(), Instant::now())));
    }

    /// Remembers how long a reconcile that failed rests, unless something changes.
    pub(super) fn rests(&self, uid: &str, rest: Duration) {
        self.remember(uid, |memory| {
            if let Some((_, until)) = &mut memory.known.failed {
                *until = Instant::now() + rest;
            }
        });
    }

    /// Remembers what a reconcile that came to its end saw when it began, and for how long that is enough. `told` is the
    /// version of the instance when nothing but its status differs from the one that was reconciled.
    pub(super) fn saw(
        &self,
        stored: &RedisInstance,
        mut seen: Versions,
        told: Option<u128>,
        (enough, roles): (Duration, Option<&Roles>),
    ) {
        if let Some(told) = told {
            seen.0.insert(place(stored), told);
        }
        let until = Instant::now() + enough;
        self.remember(&stored.uid().unwrap_or_default(), |memory| {
            memory.known.seen = Some((seen, until));
            memory.known.roles = roles.map(found);
            memory.known.failed = None;
        });
    }

    /// Remembers what was written of an instance, for the watches to show.
    pub(super) fn wrote<K: Resource<DynamicType = ()>>(&self, uid: &str, written: &K) {
        let Some(version) = version(written) else { return };
        self.remember(uid, |memory| memory.known.wrote(place(written), version, Instant::now()));
    }
}

fn found(roles: &Roles) -> Found {
    (roles.primary, roles.in_sync.clone(), roles.aspect.clone())
}

pub(super) fn place<K: Resource<DynamicType = ()>>(object: &K) -> Place {
    let kind = match K::kind(&()) {
        std::borrow::Cow::Borrowed(kind) => kind,
        std::borrow::Cow::Owned(_) => "",
    };
    (kind, object.name_any())
}

/// Versions are numbers that grow.
pub(super) fn version<K: Resource<DynamicType = ()>>(object: &K) -> Option<u128> {
    object.meta().resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str) -> Place {
        ("ConfigMap", name.to_owned())
    }

    fn shown(versions: &[(&str, u128)]) -> Versions {
        Versions(versions.iter().map(|(name, version)| (at(name), *version)).collect())
    }

    #[test]
    fn what_was_seen_is_nothing_new_until_its_time_is_over_or_a_version_differs() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let known = || Known { seen: Some((shown(&[("a", 1), ("b", 2)]), after(60))), ..Known::default() };
        let told = |versions: &[(&str, u128)], now| known().nothing_new(&shown(versions), now);
        assert_eq!(told(&[("a", 1), ("b", 2)], after(20)), Some(Duration::from_secs(40)));
        assert_eq!(told(&[("a", 1), ("b", 2)], after(60)), None);
        for other in [&[("a", 1), ("b", 3)][..], &[("a", 1)], &[("a", 1), ("b", 2), ("c", 9)]] {
            assert_eq!(told(other, start), None, "{other:?}");
        }
        let mut known = known();
        assert!(known.nothing_new(&shown(&[("a", 5)]), start).is_none());
        assert!(known.nothing_new(&shown(&[("a", 1), ("b", 2)]), start).is_none(), "the reconcile may have failed");
    }

    #[test]
    fn what_was_written_is_waited_for_and_not_for_ever() {
        let start = Instant::now();
        let wrote = || {
            let mut known = Known::default();
            known.wrote(at("a"), 5, start);
            known.wrote(at("a"), 7, start);
            known
        };
        for (versions, now, waits) in [
            (&[][..], start, true),
            (&[("a", 6)], start, true),
            (&[("a", 7)], start, false),
            (&[("a", 8)], start, false),
            (&[], start + ECHO, false),
        ] {
            assert_eq!(wrote().nothing_new(&shown(versions), now).is_some(), waits, "{versions:?}");
        }
    }

    #[test]
    fn two_looks_are_apart_and_what_is_turned_away_is_none() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut known = Known::default();
        assert_eq!(known.just_looked(start), None);
        assert_eq!(known.just_looked(after(40)), Some(Duration::from_millis(60)));
        assert_eq!(known.just_looked(after(99)), Some(Duration::from_millis(1)));
        assert_eq!(known.just_looked(after(100)), None);
        assert_eq!(known.just_looked(after(150)), Some(Duration::from_millis(50)));
    }
}
