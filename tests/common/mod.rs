//! What several test files share: the admission table, and a cluster.

#![allow(dead_code, reason = "each test file is a program of its own and uses a part")]

pub(crate) mod admission_table;
pub(crate) mod cluster;
