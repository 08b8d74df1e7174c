//! Whether a server accepts writes, from the state that it reports, and what to do if it does not. No write is
//! attempted. Full memory (`maxmemory` with `noeviction`) is not a cause: DEL and reads still work, and clients get an
//! error.

use super::{
    observed::{Trouble, one_line},
    reason::Reason,
};

/// The reported state that decides whether a server accepts writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Facts {
    /// Whether it still reads its data.
    pub loading: bool,
    /// Whether it follows another server.
    pub is_replica: bool,
    /// Whether it cannot write its append-only file.
    pub append_only_fails: bool,
    /// Whether it cannot save a snapshot, and refuses writes for it.
    pub snapshot_fails: bool,
    /// Number of connected replicas within the lag limit; `None` if writes do not depend on it.
    pub good_replicas: Option<u64>,
    /// Number of replicas that writes require.
    pub wanted_replicas: Option<u64>,
}

/// Why a server accepts no writes, or no new clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// LOADING.
    Loading,
    /// BUSY: a script or a function runs.
    Busy,
    /// All connections that `maxclients` allows are in use.
    Full,
    /// READONLY: it follows another server.
    ReadOnly,
    /// NOREPLICAS.
    NoReplicas {
        /// Replicas that are connected and not far behind.
        good: u64,
        /// Replicas that there have to be.
        wanted: u64,
    },
    /// MISCONF, because of the append-only file.
    AppendOnlyFile,
    /// MISCONF, because of a snapshot.
    Snapshot,
    /// Whether it does is not known: the operator cannot ask it.
    Unreachable(String),
}

impl Facts {
    /// Why it accepts no writes, if it does not; in the order in which Redis checks.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let (good, wanted) = (self.good_replicas.unwrap_or(0), self.wanted_replicas.unwrap_or(0));
        match self {
            Self { loading: true, .. } => Some(Refusal::Loading),
            Self { is_replica: true, .. } => Some(Refusal::ReadOnly),
            Self { append_only_fails: true, .. } => Some(Refusal::AppendOnlyFile),
            Self { snapshot_fails: true, .. } => Some(Refusal::Snapshot),
            Self { good_replicas: Some(_), .. } if good < wanted => Some(Refusal::NoReplicas { good, wanted }),
            _ => None,
        }
    }
}

impl Refusal {
    /// Whether two are of one kind, whatever their figures.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// The problem to report for this pod.
    #[must_use]
    pub fn trouble(&self, pod: &str) -> Trouble {
        let problem = |reason, why: &str| Trouble { reason, stalled: false, message: format!("{pod}: {why}") };
        match self {
            Self::Loading => problem(Reason::Loading, "redis reads its data"),
            Self::Busy => problem(
                Reason::Busy,
                "redis answers BUSY because a script or function runs; wait for it, or end it with SCRIPT KILL or FUNCTION KILL",
            ),
            Self::Full => problem(
                Reason::MaxClientsReached,
                "redis refuses new connections because all that maxclients allows are in use; close connections, or raise \
                 spec.config[maxclients], which then restarts the pod",
            ),
            Self::ReadOnly => problem(
                Reason::ReadOnly,
                "redis answers writes with READONLY because it is a replica of another server; send it REPLICAOF NO ONE, or \
                 write to that server",
            ),
            Self::NoReplicas { good, wanted } => problem(
                Reason::NotEnoughReplicas,
                &format!(
                    "redis answers writes with NOREPLICAS because {good} replicas are connected and not far behind, and \
                     min-replicas-to-write is {wanted}; bring the replicas back, or lower it (spec.replication.durability: Available)"
                ),
            ),
            Self::AppendOnlyFile => append_only_fails(pod, true),
            Self::Snapshot => snapshot_fails(pod, true),
            Self::Unreachable(why) => problem(
                Reason::Unreachable,
                &format!("whether redis accepts writes is not known: {}", one_line(Some(why))),
            ),
        }
    }
}

/// The problem of a server that cannot write its append-only file; `refuses` is true if it is known to refuse writes
/// because of it.
#[must_use]
pub fn append_only_fails(pod: &str, refuses: bool) -> Trouble {
    persistence_fails(pod, "its append-only file (aof_last_write_status:err)", refuses)
}

/// The problem of a server that cannot save a snapshot; `refuses` is true if it is known to refuse writes because of
/// it.
#[must_use]
pub fn snapshot_fails(pod: &str, refuses: bool) -> Trouble {
    persistence_fails(pod, "a snapshot (rdb_last_bgsave_status:err)", refuses)
}

fn persistence_fails(pod: &str, what: &str, refuses: bool) -> Trouble {
    let misconf = if refuses { "refuses writes with MISCONF" } else { "may refuse writes with MISCONF" };
    let cure = "its volume may be full: grow spec.storage.size; kubectl logs has redis' own words";
    let message = format!("{pod}: redis cannot write {what} and {misconf}; {cure}");
    Trouble { reason: Reason::PersistenceFailing, stalled: true, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(good: u64, wanted: u64) -> Facts {
        Facts { good_replicas: Some(good), wanted_replicas: Some(wanted), ..Facts::default() }
    }

    #[test]
    fn what_a_server_tells_decides_whether_it_accepts_writes() {
        for (facts, expected) in [
            (Facts::default(), None),
            (Facts { loading: true, is_replica: true, ..Facts::default() }, Some(Refusal::Loading)),
            (Facts { is_replica: true, append_only_fails: true, ..Facts::default() }, Some(Refusal::ReadOnly)),
            (Facts { append_only_fails: true, ..replicas(0, 1) }, Some(Refusal::AppendOnlyFile)),
            (Facts { snapshot_fails: true, ..Facts::default() }, Some(Refusal::Snapshot)),
            (replicas(0, 1), Some(Refusal::NoReplicas { good: 0, wanted: 1 })),
            (replicas(1, 2), Some(Refusal::NoReplicas { good: 1, wanted: 2 })),
            (replicas(1, 1), None),
            (replicas(2, 1), None),
            (Facts { wanted_replicas: None, ..replicas(0, 0) }, None),
            (Facts { good_replicas: None, ..replicas(0, 1) }, None),
        ] {
            assert_eq!(facts.refusal(), expected, "{facts:?}");
        }
    }

    #[test]
    fn each_refusal_names_the_pod_the_cause_and_what_to_do() {
        for (refusal, reason, words) in [
            (Refusal::Loading, Reason::Loading, ["reads its data", ""]),
            (Refusal::Busy, Reason::Busy, ["BUSY", "SCRIPT KILL"]),
            (Refusal::Full, Reason::MaxClientsReached, ["maxclients", "raise"]),
            (Refusal::ReadOnly, Reason::ReadOnly, ["READONLY", "REPLICAOF NO ONE"]),
            (Refusal::NoReplicas { good: 0, wanted: 2 }, Reason::NotEnoughReplicas, ["NOREPLICAS because 0", "is 2"]),
            (Refusal::AppendOnlyFile, Reason::PersistenceFailing, ["append-only file", "aof_last_write_status:err"]),
            (Refusal::Snapshot, Reason::PersistenceFailing, ["a snapshot", "rdb_last_bgsave_status:err"]),
            (Refusal::Unreachable("cannot reach it".to_owned()), Reason::Unreachable, ["not known", "cannot reach it"]),
        ] {
            let Trouble { reason: told, stalled, message } = refusal.trouble("cache-0");
            assert_eq!((told, stalled), (reason, reason == Reason::PersistenceFailing));
            assert!(message.starts_with("cache-0: ") && words.iter().all(|words| message.contains(words)), "{message}");
        }
    }
}
