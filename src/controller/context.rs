//! What every reconcile shares: the client, the stores, and the little this process remembers of each instance.
//! Everything remembered can be lost at any time without harm; the cluster holds the truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::{
    Client, ResourceExt,
    runtime::{
        events::{Recorder, Reporter},
        reflector::{ObjectRef, Store},
    },
};

use super::{
    Stored, persistence, queue::Queue, rejection, replication, secret, seen::Known, sound::Sound, turns::Turns,
    watches::Stores, writes,
};
use crate::{
    api::v1::RedisInstanceStatus,
    domain::{
        change::Change,
        defaults::Defaults,
        names::OPERATOR,
        observed::{Aspect, Trouble},
        quantity::Quantity,
        status::Finding,
    },
    lease::Leadership,
    metrics::{ControllerMetrics, ServerMetrics},
};

/// How many memories of deleted instances are kept before they are looked for.
const SURPLUS: usize = 64;

/// Instances that something is asked of a second, where a start asks it of all.
const ASKED_A_SECOND: u64 = 10;

/// Shared by all reconciles.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) defaults: Defaults,
    pub(super) stores: Stores,
    instances: Store<Stored>,
    /// One for the process: it aggregates repeated events only within itself.
    pub(super) recorder: Recorder,
    /// What is counted, live changes among it.
    pub(super) metrics: ControllerMetrics,
    pub(super) queue: Queue,
    pub(super) turns: Turns,
    pub(super) leadership: Leadership,
    pub(super) servers: ServerMetrics,
    memories: Mutex<BTreeMap<String, Memory>>,
}

/// What is remembered of one instance, by its uid.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// What the stores were last seen to show.
    pub(super) known: Known,
    /// The children that need not be compared again.
    pub(super) sound: Sound,
    /// The status last written, which the watch may not have shown yet, with the version it got.
    pub(super) written: Option<(u128, RedisInstanceStatus)>,
    /// A status that is held back for the next one to tell both, and since when one is.
    pub(super) held_back: Option<(Instant, RedisInstanceStatus)>,
    /// What its Secret says, and how far the running servers follow it.
    pub(super) passwords: secret::Memory,
    /// The directives that were taken away while this process looked: a server may have started with them all the same.
    pub(super) config_taken_away: BTreeSet<String>,
    /// Until when the running servers need not be asked, and which servers and configuration that holds for.
    pub(super) config_proved: Option<(Instant, String)>,
    /// The same for a configuration that they refused, and what was said about it.
    pub(super) config_refused: Option<(Instant, String, Finding)>,
    /// What to report of the configuration though something else ended the reconcile, once.
    pub(super) config_beside: Option<Aspect>,
    /// The pods (uid) that have to be restarted for a larger `maxclients`; `None` until the ConfigMap was read for it.
    pub(super) missed_maxclients: Option<BTreeSet<String>>,
    /// How far the servers are with other data files.
    pub(super) persistence: persistence::Memory,
    /// When growth of the volumes was last refused, to which size, and what was said.
    pub(super) growth_refused: Option<(Instant, Quantity, Aspect)>,
    /// The pods that are missing.
    pub(super) rejection: rejection::Memory,
    /// Whether writes are accepted.
    pub(super) writes: writes::Memory,
    /// What ails a server that answers, as it last told.
    pub(super) trouble: Option<Trouble>,
    /// The changes that were last told by events.
    pub(super) announced: Vec<Change>,
    /// When pods that the watch does not show were last looked for.
    pub(super) looked_for_pods: Option<Instant>,
    /// What is known of the roles of several pods.
    pub(super) replication: replication::Memory,
    /// Resource version of the object that could not be read, so that each is logged once.
    pub(super) unreadable: Option<String>,
    /// Failed reconciles in a row.
    pub(super) failures: u32,
    /// When the first of them began.
    pub(super) failing: Option<Instant>,
    /// Whether the last of them was the API server's failing.
    pub(super) outage: bool,
}

impl Context {
    pub(super) fn new(
        client: Client,
        defaults: Defaults,
        instances: Store<Stored>,
        stores: Stores,
        metrics: ControllerMetrics,
        queue: Queue,
        (leadership, servers): (Leadership, ServerMetrics),
    ) -> Self {
        let reporter = Reporter { controller: OPERATOR.to_owned(), instance: None };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            defaults,
            stores,
            instances,
            metrics,
            queue,
            turns: Turns::new(),
            leadership,
            servers,
            memories: Mutex::default(),
        }
    }

    /// Reads what is remembered of this instance.
    pub(super) fn recall<T>(&self, uid: &str, read: impl FnOnce(&Memory) -> T) -> T {
        let memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        match memories.get(uid) {
            Some(memory) => read(memory),
            None => read(&Memory::default()),
        }
    }

    /// Changes what is remembered of this instance.
    pub(super) fn remember<T>(&self, uid: &str, change: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        // An instance that is deleted without a finalizer is gone before anybody could forget it.
        if memories.len() > self.instances.len() + SURPLUS {
            let there: BTreeSet<String> = self.instances.state().iter().filter_map(|instance| instance.uid()).collect();
            memories.retain(|uid, _| there.contains(uid));
        }
        change(memories.entry(uid.to_owned()).or_default())
    }

    /// The instance as it is now, if it is still there.
    pub(super) fn latest(&self, instance: &Stored) -> Option<Arc<Stored>> {
        self.instances.get(&ObjectRef::from_obj(instance))
    }

    /// How long a start may take over asking something of every instance.
    pub(super) fn time_for_all(&self) -> Duration {
        time_for(self.instances.len())
    }

    /// The instances that failed because of the API server, which is there again: what they waited for is over, so they
    /// begin to count anew.
    pub(super) fn outlived(&self) -> Vec<ObjectRef<Stored>> {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = memories.iter_mut().filter_map(|(uid, memory)| {
            let waits = std::mem::take(&mut memory.outage);
            memory.failures = if waits { 0 } else { memory.failures };
            waits.then_some(uid)
        });
        let uids: BTreeSet<&String> = waiting.collect();
        let instances = self.instances.state();
        let outlived = instances.iter().filter(|instance| instance.uid().is_some_and(|uid| uids.contains(&uid)));
        outlived.map(|instance| ObjectRef::from_obj(instance.as_ref())).collect()
    }

    /// Forgets an instance that is going away.
    pub(super) fn forget(&self, uid: &str) {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// How long it takes to ask so many instances.
fn time_for(instances: usize) -> Duration {
    Duration::from_secs(u64::try_from(instances).unwrap_or(u64::MAX) / ASKED_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_are_asked_a_second() {
        for (instances, seconds) in [(0, 0), (9, 0), (300, 30), (5000, 500)] {
            assert_eq!(time_for(instances), Duration::from_secs(seconds), "{instances} instances");
        }
    }
}
