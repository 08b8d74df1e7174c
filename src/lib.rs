//! redis-operator: admission webhooks and reconcile loop of the custom resource `RedisInstance`, in one process.
//!
//! | module | decides |
//! |---|---|
//! | [`api`] | the shape of the resource |
//! | [`domain`] | what it means: defaults, rules, redis.conf, status; pure functions |
//! | [`build`] | every child object; pure functions of a checked instance |
//! | [`webhook`] | HTTP, TLS and AdmissionReview around `domain` |
//! | [`controller`] | observe, apply, status: the loop |
//! | [`issuer`] | the webhooks' own CA: certificates, and the API server's trust in them |
//! | [`lease`] | which of several operators reconciles |
//! | [`check`] | the command that asks the webhooks as the API server would |
//! | [`metrics`] | what is counted and measured |
//! | [`offline`] | the commands that need no cluster: validate, explain |
//! | [`runtime`] | wiring of all of it into one process |

pub mod admin;
pub mod api;
pub mod build;
pub mod check;
pub mod client;
#[cfg(not(feature = "fuzzing"))]
pub mod controller;
pub mod domain;
pub mod health;
#[cfg(not(feature = "fuzzing"))]
pub mod issuer;
pub mod lease;
pub mod metrics;
pub mod offline;
pub mod redis;
#[cfg(not(feature = "fuzzing"))]
pub mod runtime;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod webhook;
