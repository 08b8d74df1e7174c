//! The scripts that the kubelet runs in a container, against a `redis-cli` that answers what a server would: which answers are those
//! of a living server, and that a server gets SIGTERM until it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

/// Runs one of the scripts with a `redis-cli` of these lines, and answers whether it succeeds and what `redis-cli` left in its folder
/// as `calls`.
fn run(script: &str, arguments: &[&str], client_lines: &str) -> (bool, String) {
    run_with(script, arguments, client_lines, &[])
}

/// The same with more variables in the environment.
fn run_with(script: &str, arguments: &[&str], client_lines: &str, variables: &[(&str, String)]) -> (bool, String) {
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
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let done = command.output().unwrap();
    let calls = fs::read_to_string(folder.join("calls")).unwrap_or_default();
    fs::remove_dir_all(&folder).unwrap();
    (done.status.success(), calls)
}

/// Whether the probe succeeds where `redis-cli` prints this.
fn succeeds(probe: &str, answer: &str) -> bool {
    run("probe.sh", &[probe], &format!("cat >/dev/null\nprintf '{answer}'")).0
}

/// A process of this name that ends at the third SIGTERM, and the words that it writes to its standard output meanwhile.
fn ignore_two_signals(folder: &Path, name: &str) -> Child {
    let program = folder.join(name);
    let lines =
        "#!/bin/sh\ntrap 'n=x$n; echo $n; [ $n != xxx ] || exit 0' TERM\necho ready\nwhile :; do sleep 0.05; done\n";
    fs::write(&program, lines).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Command::new(program).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_process_that_ignores_sigterm_gets_it_again_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = ignore_two_signals(folder.path(), "redis-server");
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let (ended, _) = run_with("leave.sh", &[], "echo role:slave", &[("REDIS_PROCESS", process.id().to_string())]);
    assert!(ended);
    let written: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(written, ["x", "xx", "xxx"], "each line is a SIGTERM");
    assert!(process.wait().unwrap().success());
}

#[test]
fn a_process_that_is_no_server_gets_no_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    // The second process proves that the time was long enough for three signals.
    let mut pause = ignore_two_signals(folder.path(), "pause");
    let mut server = ignore_two_signals(folder.path(), "valkey-server");
    let mut lines = BufReader::new(pause.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    for process in [&pause, &server] {
        assert!(run_with("leave.sh", &[], "echo role:slave", &[("REDIS_PROCESS", process.id().to_string())]).0);
    }
    assert!(server.wait().unwrap().success());
    pause.kill().unwrap();
    pause.wait().unwrap();
    assert_eq!(lines.count(), 0, "a line is a SIGTERM");
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
