//! The scripts that the kubelet runs in a container, against a `redis-cli` that answers what a server would: which answers are those
//! of a living server, and that a server gets SIGTERM until it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

/// How long a process may do nothing before a test fails.
const DEADLINE: Duration = Duration::from_mins(1);

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

/// A process that ignores two signals and ends at the third. It is killed when it is dropped.
struct Stubborn {
    process: Child,
    lines: Receiver<String>,
}

impl Stubborn {
    /// Starts it under this name. Each SIGTERM is a line of its output.
    fn start(folder: &Path, name: &str) -> Self {
        let program = folder.join(name);
        let lines = "#!/bin/sh\ntrap 'n=x$n; echo $n; [ $n != xxx ] || exit 0' TERM\necho ready\nwhile :; do sleep 0.05; done\n";
        fs::write(&program, lines).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut process = Command::new(program).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let started = Self { process, lines };
        assert_eq!(started.next_line().as_deref(), Some("ready"));
        started
    }

    /// The next line of its output; nothing after its end.
    fn next_line(&self) -> Option<String> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("neither a signal nor an end within {DEADLINE:?}"),
        }
    }

    fn leave(&self) {
        let process = [("REDIS_PROCESS", self.process.id().to_string())];
        assert!(run_with("leave.sh", &[], "echo role:slave", &process).0, "leave.sh");
    }
}

impl Drop for Stubborn {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn a_process_that_ignores_sigterm_gets_it_again_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let server = Stubborn::start(folder.path(), "redis-server");
    server.leave();
    let signals: Vec<String> = std::iter::from_fn(|| server.next_line()).collect();
    assert_eq!(signals, ["x", "xx", "xxx"]);
}

#[test]
fn a_process_that_is_no_server_gets_no_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let (pause, server) = (Stubborn::start(folder.path(), "pause"), Stubborn::start(folder.path(), "valkey-server"));
    pause.leave();
    server.leave();
    // The server proves that the time was long enough for three signals.
    while server.next_line().is_some() {}
    assert!(pause.lines.try_recv().is_err(), "it got a signal");
}

/// As long as the start script is the first process of a container, the kernel gives it no signal that it does not handle.
#[test]
fn the_start_script_ends_on_sigterm_while_it_waits_for_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("redis.conf");
    fs::write(&conf, "include /nonexistent/auth.conf\n").unwrap();
    let server = folder.path().join("redis-server");
    fs::write(&server, "#!/bin/sh\n").unwrap();
    fs::copy(&server, folder.path().join("redis-cli")).unwrap();
    for program in ["redis-server", "redis-cli"] {
        fs::set_permissions(folder.path().join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/build/start.sh");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut process = Command::new("sh")
        .args(["-x", script.to_str().unwrap()])
        .env("PATH", path)
        .env("REDIS_DATA", folder.path())
        .env("REDIS_CONF", &conf)
        .env("REDIS_AUTH_CONF", "/nonexistent/auth.conf")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It stays open, or the script would end when it writes.
    let mut trace = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(trace.any(|line| line == "+ sleep 1"), "start.sh does not wait for the file");
    assert!(Command::new("kill").arg(process.id().to_string()).status().unwrap().success());
    assert_eq!(process.wait().unwrap().code(), Some(143), "ended by its own handler");
}

#[test]
fn a_save_that_redis_refuses_beside_another_one_is_repeated() {
    let client = r#"
        for last in "$@"; do :; done
        echo "$last" >>$REDIS_DATA/calls
        case $last in
            replication) echo role:slave ;;
            persistence) echo aof_enabled:1 aof_rewrite_scheduled:1 ;;
            save) [ $(grep -c save $REDIS_DATA/calls) -gt 2 ] && echo OK || echo "ERR Background save already in progress" ;;
        esac"#;
    let no_process = [("REDIS_PROCESS", "999999999".to_owned())];
    let (ended, calls) = run_with("leave.sh", &[], client, &no_process);
    assert!(ended && calls == "replication\npersistence\nno\nsave\nsave\nsave\n", "{calls}");
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
