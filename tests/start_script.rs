//! What start.sh promises, on every real server and with the shells of Debian's and Alpine's images: whatever `appendonly`
//! was and is, and however the server ended, what its files hold is there after the next start. Needs the servers of
//! `servers/install.sh`, and only the loopback.

#[path = "start_script/foreign.rs"]
mod foreign;
#[path = "servers/server.rs"]
#[allow(dead_code, reason = "its releases and addresses are used, its server is not")]
mod server;
#[path = "start_script/volume.rs"]
mod volume;

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use server::Release;
use volume::{End, Tools, Volume, program};

/// One release line of each form of the append-only file, and the latest.
const BUSYBOX: &[&str] = &["redis 6.2", "redis 7.0", "valkey 9.1"];

/// How a server ends, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Term,
    Kill,
    /// SIGKILL while it writes an append-only file: its first one if `appendonly` was `no`.
    KillInRewrite,
}

#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a dimension of the matrix")]
struct Case {
    append_only: bool,
    snapshots: bool,
    exit: Exit,
    next: bool,
    probed: bool,
}

fn conf(append_only: bool, snapshots: bool) -> String {
    let word = if append_only { "yes" } else { "no" };
    // A later line counts, in any spelling.
    let save = if snapshots { "save 3600 1" } else { "save \"\"" };
    // With `everysec`, Redis may acknowledge a write up to 2 s before it is in the file.
    format!("appendonly no\n{save}\nappendfsync always\nAppendOnly \"{word}\"")
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for bits in 0..16_u8 {
        let is = |bit: u8| bits & (1 << bit) != 0;
        for exit in [Exit::Term, Exit::Kill, Exit::KillInRewrite] {
            cases.push(Case { append_only: is(0), snapshots: is(1), next: is(2), probed: is(3), exit });
        }
    }
    cases
}

/// The shells whose images are in use: the machine's own, and `BusyBox` with its tools and no others.
fn tools(folder: &Path) -> Vec<Tools> {
    let mut tools = vec![Tools { shell: PathBuf::from("/bin/sh"), path: None }];
    let Some(busybox) = program("busybox") else {
        println!(
            "NOT TESTED: start.sh with BusyBox's shell and tools, as in Alpine's images: this machine has no busybox"
        );
        return tools;
    };
    let listed = Command::new(&busybox).arg("--list").output().unwrap().stdout;
    for applet in String::from_utf8(listed).unwrap().lines() {
        symlink(&busybox, folder.join(applet)).unwrap();
    }
    symlink(program("redis-cli").expect("redis-cli"), folder.join("redis-cli")).unwrap();
    tools.push(Tools { shell: folder.join("sh"), path: Some(folder.to_owned()) });
    tools
}

/// Runs a property with every server, and with `BusyBox` on these release lines, all at once.
fn everywhere(with_busybox: &[&str], property: impl Fn(&Release, &Tools) + Sync) {
    let folder = tempfile::tempdir().unwrap();
    let tools = tools(folder.path());
    thread::scope(|scope| {
        for release in Release::all() {
            for tools in &tools {
                if tools.path.is_some() && !with_busybox.contains(&release.line.title().as_str()) {
                    continue;
                }
                let (property, release) = (&property, release.clone());
                scope.spawn(move || property(&release, tools));
            }
        }
    });
}

#[test]
#[ignore = "needs real servers: just test-servers"]
fn what_was_durable_is_there_after_the_next_start() {
    let starts = AtomicUsize::new(0);
    everywhere(&["redis 6.2", "redis 8.2"], |release, tools| {
        for case in cases() {
            walk(release, tools, case);
            starts.fetch_add(3, Ordering::Relaxed);
        }
    });
    println!("{} starts of servers by start.sh, and everything durable was there", starts.into_inner());
}

fn walk(release: &Release, tools: &Tools, case: Case) {
    let named = format!("{} {} {case:?}", release.image(), tools.shell.display());
    let volume = Volume::new(tools);
    let started = |conf: &str| volume.start(release, conf).unwrap_or_else(|why| panic!("{named}: {why}"));
    let mut server = started(&conf(case.append_only, case.snapshots));
    server.fill("saved", 20);
    server.run("SAVE");
    server.fill("later", 20);
    if case.probed {
        volume.probe(release, &mut server);
    }
    if case.exit == Exit::KillInRewrite {
        server.run("CONFIG SET rdb-key-save-delay 1000000");
        server.run(if case.append_only { "BGREWRITEAOF" } else { "CONFIG SET appendonly yes" });
        server.until("rewrite", |server| server.reports(&["aof_rewrite_in_progress:1"]));
        if case.probed {
            volume.probe(release, &mut server);
        }
    }
    server.end(if case.exit == Exit::Term { End::Term } else { End::Kill });

    let durable = case.append_only || (case.snapshots && case.exit == Exit::Term);
    let mut server = started(&conf(case.next, case.snapshots));
    assert_eq!(server.count("saved", 20), 20, "{named}: {:?}", volume.files().keys());
    assert!(!durable || server.count("later", 20) == 20, "{named}: {:?}", volume.files().keys());
    // The operator brings the server to what the spec asks for, and only then is it what it is.
    server.run(&format!("CONFIG SET appendonly {}", if case.next { "yes" } else { "no" }));
    server.completes();
    server.fill("newest", 20);
    if !case.next {
        server.run("SAVE");
    }
    if case.probed {
        volume.probe(release, &mut server);
    }
    server.end(End::Kill);
    let mut server = started(&conf(case.next, case.snapshots));
    assert_eq!(server.count("saved", 20), 20, "{named}, at the third start");
    let newest = server.count("newest", 20);
    // Without the append-only file, whether the snapshot is newer shows only if it was begun seconds later.
    assert!(!case.next || newest == 20, "{named}, at the third start: {newest}");
    drop(server);
    let left: Vec<String> = volume.files().into_keys().filter(|name| name.contains("temp-")).collect();
    assert!(left.is_empty(), "{named}: {left:?}");
}

#[test]
#[ignore = "needs real servers: just test-servers"]
fn a_volume_from_elsewhere_is_loaded_or_the_start_ends_with_a_reason() {
    everywhere(BUSYBOX, |release, tools| {
        foreign::whole(release, tools);
        foreign::of_redis_6(release, tools);
        foreign::damaged(release, tools);
    });
}

#[test]
#[ignore = "needs real servers: just test-servers"]
fn a_snapshot_that_is_newer_than_the_append_only_file_is_loaded() {
    everywhere(BUSYBOX, |release, tools| {
        foreign::synchronized(release, tools);
        foreign::switched_off(release, tools);
    });
}

/// A replica writes its first append-only file after each full synchronization, and an old one is there. Redis refuses SIGTERM meanwhile.
#[test]
#[ignore = "needs real servers: just test-servers"]
fn a_server_that_writes_its_first_append_only_file_ends_when_the_file_is_complete() {
    everywhere(BUSYBOX, |release, tools| {
        let named = format!("{} {}", release.image(), tools.shell.display());
        let volume = Volume::new(tools);
        let mut server = volume.start(release, &conf(true, false)).unwrap();
        server.fill("first", 50);
        server.completes();
        volume.probe(release, &mut server);
        server.run("CONFIG SET appendonly no");
        server.fill("second", 50);
        // The file takes 3 s: longer than leave.sh, which ends before SIGTERM is sent.
        server.run("CONFIG SET rdb-key-save-delay 30000");
        server.run("CONFIG SET appendonly yes");
        server.until("rewrite", |server| server.reports(&["aof_rewrite_in_progress:1"]));
        let log = volume.end_as_kubelet(release, server);
        assert!(log.contains("Writing initial AOF"), "{named} was not asked to end while it wrote the file: {log}");
        let mut server = volume.start(release, &conf(true, false)).unwrap();
        assert_eq!((server.count("first", 50), server.count("second", 50)), (50, 50), "{named}");
    });
}

/// The liveness probe would end a script that reads 20 GB on a slow disk, again and again. Both forms of the script judge the files.
#[test]
#[ignore = "needs real servers: just test-servers"]
fn the_start_script_reads_no_data_file_as_a_whole() {
    everywhere(BUSYBOX, |release, tools| {
        let volume = Volume::new(tools);
        let (manifest, base) = ("appendonlydir/appendonly.aof.manifest", "appendonlydir/appendonly.aof.1.base.rdb");
        volume.write(manifest, b"file appendonly.aof.1.base.rdb seq 1 type b\n");
        // A volume that was arranged by hand may have its snapshot elsewhere.
        symlink("elsewhere.rdb", volume.path("dump.rdb")).unwrap();
        for name in [base, "elsewhere.rdb"] {
            volume.write(name, b"REDIS0009");
            let file = std::fs::File::options().write(true).open(volume.path(name)).unwrap();
            // It has no blocks on the disk; reading it takes minutes.
            file.set_len(1 << 40).unwrap();
        }
        let info = "aof_enabled:1\naof_last_bgrewrite_status:ok";
        volume.note(release, info);
        // No server can load this file, and none has to: it is enough that the script comes to it.
        volume.starts_server(release, &conf(true, false));
    });
}
