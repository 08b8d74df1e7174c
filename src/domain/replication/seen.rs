//! The primary and its replicas as this process last saw them. It tells which replicas may take over without a loss, more
//! recently than the marks on the claims do.

use std::collections::BTreeSet;

use super::Told;

/// What was seen when the primary last answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Ordinal of the primary.
    pub primary: i32,
    /// Replication ID of the primary.
    pub history: String,
    /// Replication offset of the primary, in bytes.
    pub offset: u64,
    /// Replication offset of the primary a second or more before that: a replica in sync has at least so much.
    pub earlier: u64,
    /// Seconds since then.
    pub ago: u64,
    /// The replicas that were in sync.
    pub in_sync: BTreeSet<i32>,
}

impl Seen {
    /// Whether this replica was in sync when the primary last answered, and has what the primary had a second before.
    #[must_use]
    pub(super) fn proves(&self, ordinal: i32, told: &Told) -> bool {
        self.in_sync.contains(&ordinal) && told.continues(&self.history) && told.offset >= self.earlier
    }

    /// Bytes of the replication stream that this server is known to lack.
    #[must_use]
    pub(super) fn lacks(&self, told: &Told) -> Option<u64> {
        told.continues(&self.history).then(|| self.offset.saturating_sub(told.offset))
    }
}
