//! `RedisInstance` of `redis.github.com/v1`: the fields that users write, and the status that the operator reports.

mod spec;
mod status;

pub use self::{
    spec::{
        AuthSpec, ConfigUpdate, ConfigValue, Durability, RedisInstance, RedisInstanceSpec, ReplicationSpec, Retention,
        StorageSpec, UpdatePolicySpec,
    },
    status::{Phase, PhaseChange, RedisInstanceStatus},
};
