//! Replication of an instance: which server is the primary, which replicas are in sync, and when the role moves. Pure: the
//! controller queries the servers; the decisions are in `election` and `handover`.

pub mod election;
pub mod fence;
pub mod handover;
pub mod maxclients;
mod member;
pub mod record;
pub mod seen;
mod sync_state;
pub mod verdict;

pub use self::{
    member::{Answer, Evasion, Link, Member, Role, Told},
    record::Record,
    sync_state::{LAG_LIMIT, aspect, astray, in_sync, lag},
};

#[cfg(test)]
pub(crate) mod fixtures;
