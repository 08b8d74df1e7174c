//! What several test files share: the admission table, a cluster, its audit log, the operator as a process,
//! a proxy that fails.

#![allow(dead_code, reason = "each test file is a program of its own and uses a part")]

pub(crate) mod account;
pub(crate) mod admission_table;
pub(crate) mod audit;
pub(crate) mod certificates;
pub(crate) mod children;
pub(crate) mod cluster;
pub(crate) mod crowd;
pub(crate) mod deployed;
pub(crate) mod instances;
pub(crate) mod manifests;
pub(crate) mod members;
pub(crate) mod moments;
pub(crate) mod operator;
pub(crate) mod pods;
pub(crate) mod proxy;
pub(crate) mod status;
pub(crate) mod warnings;
pub(crate) mod writer;
