//! Volumes that hold what no server of the operator left there so: brought from elsewhere, damaged, or cut short in an
//! operation. Either their data are loaded, or the start ends with a reason and the files stay as they are.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use super::{
    server::Release,
    volume::{End, Tools, Volume},
};

const KEYS: u32 = 20;
const MANIFEST: &str = "appendonlydir/appendonly.aof.manifest";
const INCREMENT: &str = "appendonlydir/appendonly.aof.1.incr.aof";
const SINGLE: &str = "appendonly.aof";
const RECORD: &str = ".redis-operator";

fn conf(append_only: bool) -> &'static str {
    if append_only { "appendonly yes\nappendfsync always\nsave \"\"" } else { "appendonly no\nsave \"\"" }
}

fn is_old(release: &Release) -> bool {
    release.version.starts_with("6.")
}

/// A volume with so many keys in a snapshot, an append-only file, or both, and without the operator's record.
fn made(release: &Release, tools: &Tools, append_only: bool, keys: u32) -> Volume {
    let volume = Volume::new(tools);
    let mut server = volume.start(release, conf(append_only)).unwrap();
    server.fill("old", keys);
    if !append_only {
        server.run("SAVE");
    }
    server.end(End::Kill);
    fs::remove_file(volume.path(RECORD)).unwrap();
    volume
}

/// Every key is there, whatever `appendonly` says.
fn loads(volume: &Volume, release: &Release, what: &str) {
    for append_only in [true, false] {
        let mut server = volume
            .start(release, conf(append_only))
            .unwrap_or_else(|why| panic!("{}, {what}, {append_only}: {why}", release.image()));
        assert_eq!(server.count("old", KEYS), KEYS, "{}, {what}, {append_only}", release.image());
        server.end(End::Kill);
    }
}

/// The start ends with words that reach the status, and changes no file, whatever `appendonly` says.
fn refuses(volume: &Volume, release: &Release, what: &str, words: &str) {
    let before = volume.files();
    for append_only in [true, false] {
        let Err(why) = volume.start(release, conf(append_only)) else {
            panic!("{}, {what}, {append_only}: it started", release.image())
        };
        assert!(why.contains(words), "{}, {what}, {append_only}: {why}", release.image());
        assert_eq!(volume.files(), before, "{}, {what}, {append_only}: the files changed", release.image());
    }
}

/// Data that are whole are loaded.
pub(crate) fn whole(release: &Release, tools: &Tools) {
    loads(&made(release, tools, false, KEYS), release, "a snapshot alone");
    loads(&made(release, tools, true, KEYS), release, "an append-only file alone");

    let volume = made(release, tools, false, KEYS);
    for name in ["temp-41.rdb", "temp-rewriteaof-41.aof", "temp-rewriteaof-bg-41.aof", "temp-4\n1.rdb"] {
        volume.write(name, b"cut short");
    }
    let others = ["mine\nand yours.rdb", "temp-notes.txt", "appendonly.aof.bak", "dump.rdb.old"];
    for name in others {
        volume.write(name, b"not Redis' own");
    }
    loads(&volume, release, "stale temporary files beside others");
    let files = volume.files();
    assert!(others.iter().all(|name| files.contains_key(*name)), "{:?}", files.keys());
    assert!(!files.keys().any(|name| name.contains("41.") || name.contains("4\n1")), "{:?}", files.keys());

    // What keeps Redis from saving a snapshot keeps it from nothing else.
    let volume = made(release, tools, true, KEYS);
    volume.write("dump.rdb/x", b"");
    fs::set_permissions(volume.path("dump.rdb"), fs::Permissions::from_mode(0o555)).unwrap();
    let mut server = volume.start(release, conf(true)).unwrap();
    assert_eq!(server.count("old", KEYS), KEYS, "{}: a directory dump.rdb beside an append-only file", release.image());
    server.end(End::Kill);

    // An append-only file with one small key is no empty one, and newer than the snapshot beside it.
    let volume = made(release, tools, true, 1);
    let mut server = volume.start(release, conf(true)).unwrap();
    server.run("BGREWRITEAOF");
    server.completes();
    server.end(End::Kill);
    fs::remove_file(volume.path(RECORD)).unwrap();
    let older = made(release, tools, false, 0);
    fs::copy(older.path("dump.rdb"), volume.path("dump.rdb")).unwrap();
    let mut server = volume.start(release, conf(true)).unwrap();
    assert_eq!(server.count("old", 1), 1, "{}: a small append-only file", release.image());
}

/// A single append-only file, as Redis 6.2 leaves it, for newer servers.
pub(crate) fn of_redis_6(release: &Release, tools: &Tools) {
    let Some(old) = Release::all().into_iter().find(is_old) else { return };
    if is_old(release) {
        let Some(new) = Release::all().into_iter().find(|release| !is_old(release)) else { return };
        refuses(&made(&new, tools, true, KEYS), release, "the files of Redis 7", "which Redis 6.2 cannot read");
        return;
    }
    loads(&made(&old, tools, true, KEYS), release, "the file of Redis 6.2");
    let volume = made(&old, tools, true, KEYS);
    volume.write(MANIFEST, b"file appendonly.aof seq 1 type b\n");
    loads(&volume, release, "the file of Redis 6.2, half taken over");
    let volume = made(release, tools, true, KEYS);
    volume.write(SINGLE, b"*1\r\n$4\r\nPING\r\n");
    refuses(&volume, release, "two append-only files", "of two versions");
}

/// Data that are damaged, of a newer release, or not to be had, end the start.
pub(crate) fn damaged(release: &Release, tools: &Tools) {
    let snapshot = || made(release, tools, false, KEYS);
    for (what, length, words) in [("half a snapshot", None, ""), ("an empty snapshot", Some(0), "is not a snapshot")] {
        let volume = snapshot();
        let dump = fs::OpenOptions::new().write(true).open(volume.path("dump.rdb")).unwrap();
        dump.set_len(length.unwrap_or_else(|| dump.metadata().unwrap().len() / 2)).unwrap();
        refuses(&volume, release, what, words);
    }
    for name in ["dump.rdb", SINGLE, MANIFEST] {
        let volume = snapshot();
        drop(fs::remove_file(volume.path(name)));
        volume.write(&format!("{name}/x"), b"");
        refuses(&volume, release, &format!("a directory {name}"), "move it away");
    }
    let volume = snapshot();
    volume.write("appendonlydir", b"x");
    refuses(&volume, release, "a file appendonlydir", "is not a directory");
    if !is_old(release) {
        let volume = made(release, tools, true, KEYS);
        fs::remove_file(volume.path(INCREMENT)).unwrap();
        refuses(&volume, release, "a missing increment", "is missing; restore it");
        let volume = made(release, tools, true, KEYS);
        fs::remove_file(volume.path(MANIFEST)).unwrap();
        refuses(&volume, release, "a missing manifest", "whose manifest");
        volume.write(MANIFEST, b"");
        refuses(&volume, release, "an empty manifest", "whose manifest");
    }
    newer(release, tools);
    unreadable(release, tools);
}

/// The files of the newest release, which those before it do not read: the server itself says why.
fn newer(release: &Release, tools: &Tools) {
    let newest = Release::all().into_iter().find(|release| release.image().starts_with("valkey:9."));
    let Some(newest) = newest.filter(|newest| newest.version != release.version) else { return };
    for append_only in [true, false] {
        let volume = made(&newest, tools, append_only, KEYS);
        if append_only {
            let mut server = volume.start(&newest, conf(true)).unwrap();
            server.run("BGREWRITEAOF");
            server.completes();
            server.end(End::Kill);
        }
        refuses(&volume, release, "files of a newer release", "");
    }
}

/// Files of another user: the reason names both.
fn unreadable(release: &Release, tools: &Tools) {
    let user = ["setpriv", "--pdeathsig", "KILL", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let volume = made(release, tools, false, KEYS);
    fs::set_permissions(volume.around(), fs::Permissions::from_mode(0o755)).unwrap();
    for (path, mode) in [("dump.rdb", 0o600), ("", 0o755)] {
        let all = fs::Permissions::from_mode(0o777);
        fs::set_permissions(volume.path(""), all.clone()).unwrap();
        fs::set_permissions(volume.path("dump.rdb"), all).unwrap();
        fs::set_permissions(volume.path(path), fs::Permissions::from_mode(mode)).unwrap();
        let before = volume.files();
        // The folders of the real server may be closed to others.
        let reachable = Release { binary: "/bin/sh".into(), ..release.clone() };
        let why = volume.start_as(&reachable, conf(true), &user).err().expect("a start that ends");
        assert!(why.contains("start.sh: user 65534 may not read and write"), "{}: {why}", release.image());
        assert!(why.contains("change the owner to 65534:65534"), "{}: {why}", release.image());
        assert_eq!(volume.files(), before);
    }
}

/// A replica that was killed while it wrote its first append-only file after a full synchronization: the file that it has is
/// older than the snapshot that it received.
pub(crate) fn synchronized(release: &Release, tools: &Tools) {
    let source = Volume::new(tools);
    let mut primary = source.start(release, conf(false)).unwrap();
    primary.fill("old", KEYS);
    let volume = Volume::new(tools);
    let mut replica = volume.start(release, conf(true)).unwrap();
    volume.probe(release, &mut replica);
    let long_ago = SystemTime::now() - Duration::from_mins(1);
    for name in volume.files().keys() {
        let file = fs::OpenOptions::new().append(true).open(volume.path(name)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    primary.run("CONFIG SET repl-diskless-sync-delay 0");
    replica.run("CONFIG SET rdb-key-save-delay 1000000");
    replica.run(&format!("REPLICAOF {} 6379", primary.address()));
    // Its first rewrite begins at once, and takes long; newer servers make the snapshot that they received part of the
    // append-only file and need none.
    replica.until("synchronization", |replica| replica.count("old", KEYS) == KEYS);
    volume.probe(release, &mut replica);
    replica.end(End::Kill);
    loads(&volume, release, "a replica killed after its synchronization");
}

/// A server whose append-only file was switched off, and that saved a snapshot since: killed before redis.conf follows.
pub(crate) fn switched_off(release: &Release, tools: &Tools) {
    let volume = Volume::new(tools);
    let mut server = volume.start(release, conf(true)).unwrap();
    server.fill("first", KEYS);
    volume.probe(release, &mut server);
    server.run("CONFIG SET appendonly no");
    volume.probe(release, &mut server);
    server.fill("old", KEYS);
    let long_ago = SystemTime::now() - Duration::from_mins(1);
    for name in volume.files().keys() {
        let file = fs::OpenOptions::new().append(true).open(volume.path(name)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    server.run("SAVE");
    server.end(End::Kill);
    loads(&volume, release, "switched off, and not yet in redis.conf");
}
