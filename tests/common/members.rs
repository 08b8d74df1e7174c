//! The pods of a replicated instance: who is primary, what each server says it is, and how one dies. Knows no test.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use redis_operator::api::v1::{Phase, RedisInstance};
use tokio::{net::TcpStream, time::timeout};

use super::cluster::{DEADLINE, Place, Redis, eventually};

/// Label of a pod's role.
pub(crate) const ROLE: &str = "redis.github.com/role";

/// Annotation of a PVC: the term of the replication, and what the pod was in it.
pub(crate) const MARK: &str = "redis.github.com/replication";

/// The server of one pod, as the tests see it from outside.
pub(crate) struct Members<'a> {
    pub(crate) place: &'a Place,
    pub(crate) instance: &'a str,
}

impl Members<'_> {
    pub(crate) async fn pod(&self, name: &str) -> Option<Pod> {
        self.place.api::<Pod>().get_opt(name).await.unwrap()
    }

    /// The pods that are labelled primary.
    pub(crate) async fn labelled_primary(&self) -> Vec<Pod> {
        let labels = format!("redis.github.com/instance={},{ROLE}=primary", self.instance);
        let pods = self.place.api::<Pod>().list(&kube::api::ListParams::default().labels(&labels)).await.unwrap();
        pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
    }

    /// The primary that the status names.
    pub(crate) async fn primary(&self) -> Option<String> {
        let instance: RedisInstance = self.place.api().get(self.instance).await.unwrap();
        instance.status?.primary
    }

    /// Waits until there is one primary, named by label and status, that takes writes.
    pub(crate) async fn one_takes_writes(&self) -> String {
        eventually("one primary that takes writes", || async {
            let labelled = self.labelled_primary().await;
            let name = labelled.first().map(ResourceExt::name_any).filter(|_| labelled.len() == 1)?;
            let named = self.primary().await.as_ref() == Some(&name);
            (named && self.try_ask(&name, "SET probe 1").await.as_deref() == Some("+OK")).then_some(name)
        })
        .await
    }

    /// Waits until the instance is Running with a primary other than this one; its name.
    pub(crate) async fn primary_after(&self, former: &str) -> String {
        eventually(&format!("primary other than {former}"), || async {
            let labelled = self.labelled_primary().await.first().map(ResourceExt::name_any)?;
            (labelled != former && self.primary().await.as_ref() == Some(&labelled)).then_some(labelled)
        })
        .await
    }

    /// Has the last of three pods be the primary: both others are replaced until it is.
    pub(crate) async fn make_last_pod_primary(&self) {
        for pod in ["cache-0", "cache-1"] {
            self.place.delete::<Pod>(pod).await;
        }
        eventually("primary cache-2", || async { self.primary().await.filter(|primary| primary == "cache-2") }).await;
        self.place.reaches(self.instance, Phase::Running).await;
    }

    /// Term and state in the mark of a pod's PVC.
    pub(crate) async fn mark(&self, pod: &str) -> Option<(u64, String)> {
        let claim: PersistentVolumeClaim = self.place.api().get(&format!("redis-data-{pod}")).await.unwrap();
        let mark = claim.annotations().get(MARK)?;
        Some((mark.split(' ').next()?.parse().unwrap(), mark.split(' ').next_back()?.to_owned()))
    }

    /// The answer of the server of a pod to PING on a connection without a login; nothing when it does not answer.
    pub(crate) async fn ping_without_login(&self, pod: &str) -> Option<String> {
        let address = self.pod(pod).await?.status?.pod_ip?;
        let mut redis = Redis::from(TcpStream::connect((address.as_str(), 6379)).await.ok()?);
        redis.try_ask("PING").await
    }

    /// A connection to the server of a pod, logged in; nothing when it does not answer.
    pub(crate) async fn connect(&self, pod: &str) -> Option<Redis> {
        let address = self.pod(pod).await?.status?.pod_ip?;
        let stream = timeout(Duration::from_secs(1), TcpStream::connect((address, 6379))).await.ok()?.ok()?;
        let mut redis = Redis::from(stream);
        if let Some(login) = self.place.login(self.instance).await {
            timeout(Duration::from_secs(1), redis.try_ask(&login)).await.ok()??;
        }
        Some(redis)
    }

    /// Sends one command, again until the server of the pod answers and has loaded its data. For commands that may be
    /// repeated.
    pub(crate) async fn ask(&self, pod: &str, command: &str) -> String {
        eventually(&format!("answer of {pod} to {command}"), || async {
            self.try_ask(pod, command).await.filter(|answer| !answer.starts_with("-LOADING"))
        })
        .await
    }

    /// Sends one command once; nothing when the server of the pod does not answer within a second.
    pub(crate) async fn try_ask(&self, pod: &str, command: &str) -> Option<String> {
        let mut redis = self.connect(pod).await?;
        timeout(Duration::from_secs(1), redis.try_ask(command)).await.ok()?
    }

    /// Cuts the network of a pod off, in both directions, or joins it again: its server runs on without receiving or sending a packet.
    pub(crate) async fn cut(&self, pod: &str, cut: bool) {
        for (chain, way) in [("INPUT", "-i"), ("OUTPUT", "-o")] {
            self.drop_packets(pod, cut, [chain, way, "eth0"]).await;
        }
    }

    /// Has a pod hear nothing from this address, or hear it again; from all others it hears as ever.
    pub(crate) async fn deafen(&self, pod: &str, address: &str, deaf: bool) {
        self.drop_packets(pod, deaf, ["INPUT", "-s", address]).await;
    }

    /// Has a pod refuse connections to Redis from this address with a TCP reset, or accept them again.
    pub(crate) async fn refuse(&self, pod: &str, address: &str, begin: bool) {
        let reset = ["-p", "tcp", "--dport", "6379", "-j", "REJECT", "--reject-with", "tcp-reset"];
        self.filter(pod, begin, &[&["INPUT", "-s", address], &reset[..]].concat()).await;
    }

    async fn drop_packets(&self, pod: &str, begin: bool, [chain, by, what]: [&str; 3]) {
        self.filter(pod, begin, &[chain, by, what, "-j", "DROP"]).await;
    }

    async fn filter(&self, pod: &str, begin: bool, rule: &[&str]) {
        let uid = self.pod(pod).await.unwrap().uid().unwrap();
        let process = eventually(&format!("redis-server of {pod}"), || async { process(&uid, "redis-server") }).await;
        let action = if begin { "-I" } else { "-D" };
        let filter = ["-t", &process, "-n", "iptables", action];
        let done = Command::new("nsenter").args(filter).args(rule).status().unwrap();
        assert!(done.success(), "iptables {action} {rule:?} in the network of {pod}");
    }

    /// The folder of the data of a pod, as its server sees it.
    pub(crate) async fn data(&self, pod: &str) -> PathBuf {
        let uid = self.pod(pod).await.unwrap().uid().unwrap();
        let process = eventually(&format!("redis-server of {pod}"), || async { process(&uid, "redis-server") }).await;
        PathBuf::from(format!("/proc/{process}/root/data"))
    }

    /// How many files the server of a pod may have open from now on, which bounds what it takes for `maxclients`.
    pub(crate) async fn limit_files(&self, pod: &str, files: u32) {
        let uid = self.pod(pod).await.unwrap().uid().unwrap();
        let process = eventually(&format!("redis-server of {pod}"), || async { process(&uid, "redis-server") }).await;
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let id = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        let (user, group) = (id("Uid:").unwrap(), id("Gid:").unwrap());
        // Only the user of a process may limit it where root lacks CAP_SYS_RESOURCE.
        let user = [format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()];
        let limit = ["prlimit".to_owned(), format!("--nofile={files}:{files}"), format!("--pid={process}")];
        let done = Command::new("setpriv").args(user).args(limit).status().unwrap();
        assert!(done.success(), "prlimit of the server of {pod}");
    }

    /// Sends a signal to the server of a pod, as `KILL` or `STOP`.
    pub(crate) async fn signal(&self, pod: &str, signal: &str) {
        let uid = self.pod(pod).await.unwrap().uid().unwrap();
        let process = eventually(&format!("redis-server of {pod}"), || async { process(&uid, "redis-server") }).await;
        send(signal, process);
    }
}

/// Connections to the server of a pod that do nothing, until it refuses others. A place that the operator or a probe had for a
/// moment is free again a moment later, so it has to refuse several in a row.
pub(crate) async fn take_all_connections(place: &Place, pod: &str) -> Vec<Redis> {
    let pod: Pod = place.api().get(pod).await.unwrap();
    let address = pod.status.unwrap().pod_ip.unwrap();
    let login = format!("AUTH {}", place.password("cache").await);
    let mut held = Vec::new();
    let (mut refused, mut pause) = (0, tokio::time::interval(Duration::from_millis(50)));
    while refused < 20 {
        let mut redis = Redis::from(TcpStream::connect((address.as_str(), 6379)).await.unwrap());
        let answer = timeout(DEADLINE, redis.try_ask(&login)).await.expect("an answer to AUTH");
        if answer.as_deref() == Some("+OK") {
            refused = 0;
            held.push(redis);
        } else {
            refused += 1;
            pause.tick().await;
        }
        assert!(held.len() < 1000, "redis took 1000 connections");
    }
    held
}

/// Kills the program of an operator's pod, which stays: its container is restarted.
pub(crate) async fn kill_operator(pod: &Pod) {
    let uid = pod.uid().unwrap();
    let process = eventually("process of the operator", || async { process(&uid, "redis-operator") }).await;
    send("KILL", process);
}

fn send(signal: &str, process: String) {
    assert!(Command::new("kill").args([format!("-{signal}"), process]).status().unwrap().success());
}

/// The process with this name in the pod with this uid.
fn process(uid: &str, name: &str) -> Option<String> {
    let cgroup = uid.replace('-', "_");
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    processes.filter(|name| name.bytes().all(|b| b.is_ascii_digit())).find(|process| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
        read("comm").trim() == name && {
            let groups = read("cgroup");
            groups.contains(uid) || groups.contains(&cgroup)
        }
    })
}
