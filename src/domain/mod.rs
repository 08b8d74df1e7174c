//! What a `RedisInstance` means: defaults, validation, redis.conf, names, status. Pure functions only:
//! no client, no clock (now is an argument), no environment, no randomness.

pub mod auth;
pub mod change;
pub mod config;
pub mod cross_field;
pub mod defaults;
pub mod directives;
pub mod downgrade;
pub mod effective;
pub mod field_error;
pub mod hex;
pub mod image;
pub mod impact;
pub mod instance;
pub mod judgement;
pub mod live;
pub mod names;
pub mod observed;
pub mod owned_directives;
pub mod pod_options;
pub mod quantity;
pub mod reason;
pub mod redis_conf;
pub mod replication;
pub mod resources;
pub mod rollout;
pub mod rotation;
pub mod status;
pub mod syntax;
pub mod update;
pub mod validate;
pub mod volumes;
pub mod vulnerabilities;
pub mod wanted;
pub mod warnings;
pub mod words;
