//! The shape of the resource `RedisInstance` as users write it and as `kubectl explain` shows it.
//! Decides names, types and bounds only; what a value means is `domain`'s business.

mod bounded;
pub mod crd;
pub mod pod;
pub mod resources;
pub mod v1;

/// API group of every kind and of every label and annotation that is ours.
pub const GROUP: &str = "redis.github.com";
/// Kind of the one custom resource.
pub const KIND: &str = "RedisInstance";
/// Plural resource name, as in RBAC rules and webhook rules.
pub const PLURAL: &str = "redisinstances";
