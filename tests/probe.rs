//! The probe's script against a `redis-cli` that answers what a server would: which answers are those of a living server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
};

/// Whether the probe succeeds where `redis-cli` prints this.
fn succeeds(probe: &str, answer: &str) -> bool {
    static RUN: AtomicU64 = AtomicU64::new(0);
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("redis-operator-probe-{}-{run}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let client = folder.join("redis-cli");
    fs::write(&client, format!("#!/bin/sh\ncat >/dev/null\nprintf '{answer}'\n")).unwrap();
    fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/build/probe.sh");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.arg(script).arg(probe).env("PATH", path).env("POD_IP", "127.0.0.1").env("REDIS_DATA", &folder);
    let done = command.output().unwrap();
    fs::remove_dir_all(&folder).unwrap();
    done.status.success()
}

#[test]
fn a_server_with_all_the_clients_it_may_have_is_alive_and_ready() {
    // What redis-cli 7.0 prints, with a password and without one.
    for answer in [
        r"AUTH failed: ERR max number of clients reached\nError: \nError: Broken pipe\n",
        r"AUTH failed: ERR max number of clients reached\nError: Connection reset by peer\n",
        r"AUTH failed: ERR max number of clients reached\nError: Server closed the connection\n",
        r"ERR max number of clients reached\n\n",
    ] {
        assert!(succeeds("alive", answer), "{answer}");
        assert!(succeeds("ready", answer), "{answer}");
    }
}

#[test]
fn any_answer_is_one_of_a_living_server_and_none_is_not() {
    for (answer, alive) in [
        ("PONG", true),
        ("LOADING Redis is loading the dataset in memory", true),
        ("BUSY Redis is busy running a script", true),
        ("", false),
        ("Could not connect to Redis at 10.0.0.1:6379: Connection refused", false),
        ("Error: Server closed the connection", false),
    ] {
        assert_eq!(succeeds("alive", answer), alive, "{answer}");
    }
}
