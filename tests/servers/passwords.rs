//! Passwords on real servers: one more beside the first, servers with and without one that follow each other, and a start that
//! never forgets it.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use redis_operator::{
    build,
    domain::auth::Password,
    redis::{Credentials, Server as Connection, ServerError},
};
use serde_json::json;

use super::{
    rendered,
    server::{DEADLINE, Release, Server, address, pause},
};

#[test]
#[ignore = "needs real servers: just test-servers"]
fn a_running_server_takes_a_second_password_and_leaves_the_first() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for release in Release::all() {
        let (_, conf) = rendered(json!({"image": release.image()})).unwrap();
        let [old, new] = [[7; 24], [8; 24]].map(Password::from_entropy);
        let server = Server::start(&release, &conf, Some(&old)).unwrap();
        let address = (server.address.into(), 6379);
        let connect = async |current: &Password, former: Option<&Password>| {
            let credentials = Credentials { current: current.as_bytes(), former: former.map(Password::as_bytes) };
            Connection::connect(address, Some(credentials)).await
        };
        let image = release.image();
        runtime.block_on(async {
            assert!(matches!(connect(&new, None).await, Err(ServerError::Password { .. })), "{image}");
            let mut first = connect(&new, Some(&old)).await.unwrap();
            assert_eq!(first.accepted().await.unwrap(), Some(vec![old.digest()]), "{image}");
            first.accept(&new.digest()).await.unwrap();
            first.accept(&new.digest()).await.unwrap();
            assert_eq!(first.accepted().await.unwrap(), Some(vec![old.digest(), new.digest()]), "{image}");
            for password in [&old, &new] {
                connect(password, None).await.unwrap();
            }
            first.log_in_at_primary(new.as_bytes()).await.unwrap();
            assert_eq!(first.config(&["masteruser"]).await.unwrap()["masteruser"], b"default", "{image}");
            assert_eq!(first.config(&["masterauth"]).await.unwrap()["masterauth"], new.as_bytes(), "{image}");
            let mut second = connect(&new, None).await.unwrap();
            second.refuse(&old.digest()).await.unwrap();
            assert!(matches!(connect(&old, None).await, Err(ServerError::Password { .. })), "{image}");
            assert!(matches!(first.authenticate(old.as_bytes()).await, Err(ServerError::Password { .. })), "{image}");
            assert_eq!(first.accepted().await.unwrap(), Some(vec![new.digest()]), "{image}: who is logged in stays");
            connect(&new, Some(&old)).await.unwrap();
            let refusal = second.refuse(&old.digest()).await.unwrap_err().to_string();
            assert!(!refusal.contains(&old.digest()), "{image}: {refusal}");
        });
        println!("{image}: a password added, proved and dropped");
    }
}

#[test]
#[ignore = "needs real servers: just test-servers"]
fn servers_with_and_without_a_password_follow_each_other_and_take_one_login() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for release in Release::all() {
        let image = release.image();
        let conf = |auth: bool| {
            let config = json!({"save": "", "appendonly": "no", "repl-diskless-sync-delay": "0"});
            let spec = json!({"image": image, "replicas": 3, "auth": {"enabled": auth}, "config": config});
            rendered(spec).expect("a valid spec").1
        };
        let password = Password::from_entropy([7; 24]);
        let open = Server::start(&release, &conf(false), None).unwrap();
        let closed = Server::start(&release, &conf(true), Some(&password)).unwrap();
        runtime.block_on(async {
            let credentials = Credentials { current: password.as_bytes(), former: None };
            let connect =
                async |server: &Server| Connection::connect((server.address.into(), 6379), Some(credentials)).await;
            let (mut one, mut other) = (connect(&open).await.unwrap(), connect(&closed).await.unwrap());
            assert_eq!(one.accepted().await.unwrap(), None, "{image}");
            assert_eq!(other.accepted().await.unwrap(), Some(vec![password.digest()]), "{image}");
            // One with the password follows one without.
            one.promote().await.unwrap();
            other.follow((open.address.into(), 6379)).await.unwrap();
            in_sync(&mut other, &image).await;
            // One without follows one with it, once it has the login.
            other.promote().await.unwrap();
            one.log_in_at_primary(password.as_bytes()).await.unwrap();
            one.follow((closed.address.into(), 6379)).await.unwrap();
            in_sync(&mut one, &image).await;
            // It asks for no password any more, from other addresses than the loopback too.
            other.open().await.unwrap();
            assert_eq!(other.accepted().await.unwrap(), None, "{image}");
            assert_eq!(other.config(&["protected-mode"]).await.unwrap()["protected-mode"], b"no", "{image}");
            Connection::connect((closed.address.into(), 6379), None).await.unwrap().standing().await.unwrap();
            connect(&closed).await.unwrap();
            in_sync(&mut one, &image).await;
        });
        println!("{image}: one login, and replication in both directions");
    }
}

async fn in_sync(replica: &mut Connection, image: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    while !replica.standing().await.unwrap().link_up {
        assert!(Instant::now() < deadline, "{image}: no link to the primary after 30 s");
        pause.tick().await;
    }
}

#[test]
#[ignore = "needs real servers: just test-servers"]
fn a_pod_that_requires_a_password_never_starts_without_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let password = Password::from_entropy([7; 24]);
    for release in Release::all() {
        let image = release.image();
        let start = |required, included, mounted: bool| {
            Script::start(&release, required, included, mounted.then_some(&password))
        };
        // redis.conf is older than the pod, or newer, and says nothing of a password.
        let mut server = start(true, false, true);
        assert!(runtime.block_on(server.asks_for(&password)), "{image}");
        // Nor is it there.
        let said = start(true, false, false).fails();
        assert!(said.contains("a password is required") && said.contains("is missing"), "{image}: {said}");
        // redis.conf is newer than the pod, and the kubelet has not brought the Secret yet.
        let mut server = start(false, true, false);
        server.is_waiting();
        mount(&password, server.folder.path());
        assert!(runtime.block_on(server.asks_for(&password)), "{image}");
        let mut server = start(false, false, true);
        assert!(!runtime.block_on(server.asks_for(&password)), "{image}");
        println!("{image}: a password that is required is never forgotten");
    }
}

/// A server that start.sh starts.
struct Script {
    process: Child,
    folder: tempfile::TempDir,
    address: Ipv4Addr,
}

impl Script {
    fn start(release: &Release, required: bool, included: bool, mounted: Option<&Password>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (here, address) = (folder.path(), address());
        let auth = here.join("auth.conf");
        let spec = json!({"image": release.image(), "auth": {"enabled": included}});
        let map = build::build(&rendered(spec).unwrap().0).config_map.data.unwrap();
        let conf = map["redis.conf"]
            .replace("\nbind * -::*\n", &format!("\nbind {address}\n"))
            .replace("\ndir /data\n", &format!("\ndir {}\n", here.display()))
            .replace("/usr/local/etc/redis-auth/auth.conf", &auth.display().to_string());
        fs::write(here.join("redis.conf"), conf).unwrap();
        fs::write(here.join("start.sh"), &map["start.sh"]).unwrap();
        // Only its presence is looked at.
        fs::write(here.join("redis-cli"), "").unwrap();
        fs::set_permissions(here.join("redis-cli"), fs::Permissions::from_mode(0o755)).unwrap();
        let log = fs::File::create(here.join("log")).unwrap();
        let path = format!("{}:{}", here.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "sh"]).arg(here.join("start.sh")).env("PATH", path);
        command.env("REDIS_DATA", here).env("REDIS_CONF", here.join("redis.conf")).env("REDIS_AUTH_CONF", &auth);
        command.env("REDIS_SERVER", &release.binary).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if required {
            command.env("REDIS_PASSWORD_REQUIRED", "yes");
        }
        if let Some(password) = mounted {
            mount(password, here);
        }
        Self { process: command.spawn().unwrap(), folder, address }
    }

    /// Whether its server asks for a password, which is this one.
    async fn asks_for(&mut self, password: &Password) -> bool {
        let credentials = Credentials { current: password.as_bytes(), former: None };
        let begun = Instant::now();
        loop {
            let answer =
                async { Connection::connect((self.address.into(), 6379), Some(credentials)).await?.accepted().await };
            match answer.await {
                Ok(accepted) => return accepted.is_some(),
                Err(error) => {
                    let ended = self.process.try_wait().unwrap();
                    assert!(ended.is_none() && begun.elapsed() < DEADLINE, "{error}, {ended:?}: {}", self.log());
                }
            }
            pause();
        }
    }

    /// Waits until the script sleeps.
    fn is_waiting(&mut self) {
        let process = self.process.id();
        let read = |file: String| fs::read_to_string(file).unwrap_or_default();
        let begun = Instant::now();
        loop {
            let child = read(format!("/proc/{process}/task/{process}/children"));
            if read(format!("/proc/{}/comm", child.trim())).trim() == "sleep" {
                return;
            }
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < DEADLINE, "it does not wait, {ended:?}: {}", self.log());
            pause();
        }
    }

    /// What it says when it ends, which it does without a server.
    fn fails(mut self) -> String {
        assert!(!self.process.wait().unwrap().success(), "{}", self.log());
        self.log()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop((self.process.kill(), self.process.wait()));
    }
}

/// Brings the Secret, all at once as the kubelet does.
fn mount(password: &Password, folder: &Path) {
    fs::write(folder.join("new"), password.conf()).unwrap();
    fs::rename(folder.join("new"), folder.join("auth.conf")).unwrap();
}
