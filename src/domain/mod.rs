//! What a `RedisInstance` means: defaults, validation, redis.conf, names, status. Pure functions only:
//! no client, no clock (now is an argument), no environment, no randomness.

pub mod auth;
pub mod config;
pub mod cross_field;
pub mod defaults;
pub mod directives;
pub mod field_error;
pub mod hex;
pub mod image;
pub mod instance;
pub mod names;
pub mod observed;
pub mod owned_directives;
pub mod quantity;
pub mod redis_conf;
pub mod resources;
pub mod status;
pub mod update;
pub mod validate;
pub mod warnings;
pub mod words;
