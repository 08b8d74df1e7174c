//! The scripts that the kubelet runs in a container, against a `redis-cli` that answers what a server would: which answers are those
//! of a living server, and what is waited for before a server gets SIGTERM.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
};

/// Runs one of the scripts with a `redis-cli` of these lines, and answers whether it succeeds and what `redis-cli` left in its folder
/// as `calls`.
fn run(script: &str, arguments: &[&str], client_lines: &str) -> (bool, String) {
    static RUN: AtomicU64 = AtomicU64::new(0);
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("redis-operator-probe-{}-{run}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let client = folder.join("redis-cli");
    fs::write(&client, format!("#!/bin/sh\n{client_lines}\n")).unwrap();
    fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/build").join(script);
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.arg(script).args(arguments).env("PATH", path).env("POD_IP", "127.0.0.1").env("REDIS_DATA", &folder);
    let done = command.output().unwrap();
    let calls = fs::read_to_string(folder.join("calls")).unwrap_or_default();
    fs::remove_dir_all(&folder).unwrap();
    (done.status.success(), calls)
}

/// Whether the probe succeeds where `redis-cli` prints this.
fn succeeds(probe: &str, answer: &str) -> bool {
    run("probe.sh", &[probe], &format!("cat >/dev/null\nprintf '{answer}'")).0
}

#[test]
fn a_server_that_is_starting_gets_no_sigterm_before_it_answers() {
    let refused = "Could not connect to Redis at 127.0.0.1:6379: Connection refused";
    // The third call is answered.
    let client = format!(
        "for last in \"$@\"; do :; done\necho \"$last\" >>$REDIS_DATA/calls\n\
         if [ $(wc -l <$REDIS_DATA/calls) -lt 3 ]; then echo '{refused}'; exit 1; fi\necho role:slave"
    );
    let (ended, calls) = run("leave.sh", &[], &client);
    assert!(ended && calls.starts_with("ping\nping\nping\nreplication\n"), "{calls}");
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
