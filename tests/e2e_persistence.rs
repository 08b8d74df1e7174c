//! Other data files on a real cluster: whatever is changed beside them, however slow the server is to write them, and whoever
//! dies meanwhile, every key is there afterwards, also after all servers were killed at once.

mod common;

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt};

use common::{
    cluster::{Place, eventually},
    deployed::{leader, pods},
    members::{Members, kill_operator},
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::{Value, json};

const KEYS: u32 = 40;
/// Microseconds that a server takes for each key that it saves or rewrites: 4 s for all of them.
const DELAY: u32 = 100_000;

/// Who dies while the files are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    NoPod,
    Operator,
    Server,
}

/// An instance whose keys are in the files that it has, and whose servers are slow to write others.
struct Filled<'a> {
    place: &'a Place,
    members: Members<'a>,
    replicas: u32,
}

impl<'a> Filled<'a> {
    async fn new(place: &'a Place, replicas: u32, spec: Value) -> Self {
        let mut whole = json!({"image": "redis:7.0.15", "replicas": replicas, "storage": {"size": "64Mi"}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        place.create("cache", whole).await.unwrap();
        place.reaches("cache", Phase::Running).await;
        let filled = Self { place, members: Members { place, instance: "cache" }, replicas };
        let primary = filled.primary().await;
        let mut redis = filled.members.connect(&primary).await.unwrap();
        for key in 0..KEYS {
            assert_eq!(redis.ask(&format!("SET k{key} v")).await, "+OK");
        }
        for pod in filled.pods() {
            filled.has_all(&pod, "before the change").await;
            let off = filled.members.ask(&pod, "CONFIG GET appendonly").await.ends_with(" no");
            assert!(!off || filled.members.ask(&pod, "SAVE").await == "+OK", "{pod}");
            let slow = format!("CONFIG SET rdb-key-save-delay {DELAY}");
            assert_eq!(filled.members.ask(&pod, &slow).await, "+OK", "{pod}");
        }
        filled
    }

    fn pods(&self) -> Vec<String> {
        (0..self.replicas).map(|ordinal| format!("cache-{ordinal}")).collect()
    }

    async fn primary(&self) -> String {
        if self.replicas == 1 { "cache-0".to_owned() } else { self.members.one_takes_writes().await }
    }

    /// Waits until the server of this pod has every key: a command that fails proves nothing.
    async fn has_all(&self, pod: &str, when: &str) {
        let names: Vec<String> = (0..KEYS).map(|key| format!("k{key}")).collect();
        let command = format!("EXISTS {}", names.join(" "));
        eventually(&format!("{KEYS} keys in {pod} {when}"), || async {
            (self.members.try_ask(pod, &command).await? == format!(":{KEYS}")).then_some(())
        })
        .await;
    }

    /// Waits until `INFO persistence` of this server has this line.
    async fn reports(&self, pod: &str, line: &str) {
        eventually(&format!("{line} at {pod}"), || async {
            self.members.try_ask(pod, "INFO persistence").await?.contains(line).then_some(())
        })
        .await;
    }

    /// redis.conf as the next start reads it.
    async fn conf(&self) -> String {
        self.place.api::<ConfigMap>().get("cache").await.unwrap().data.unwrap()["redis.conf"].clone()
    }

    /// What distinguishes the pods and the starts of their containers.
    async fn starts(&self) -> BTreeSet<(String, i32)> {
        let labels = ListParams::default().labels("redis.github.com/instance=cache");
        let pods = self.place.api::<Pod>().list(&labels).await.unwrap().items;
        let restarts =
            |pod: &Pod| pod.status.as_ref()?.container_statuses.as_ref()?.first().map(|one| one.restart_count);
        pods.iter().map(|pod| (pod.uid().unwrap(), restarts(pod).unwrap_or_default())).collect()
    }

    /// While the files are being written, which this line of the report shows: nothing restarted, redis.conf is as it was, and
    /// then the victim dies.
    async fn interrupted(&self, line: &str, before: &str, starts: &BTreeSet<(String, i32)>, victim: Victim) {
        let primary = self.primary().await;
        self.reports(&primary, line).await;
        assert_eq!(self.conf().await, before, "redis.conf changed before the files were complete");
        assert_eq!(&self.starts().await, starts, "a pod restarted before the files were complete");
        match victim {
            Victim::NoPod => {}
            Victim::Operator => {
                let leader = leader(&self.place.client).await;
                kill_operator(&pods(&self.place.client).get(&leader).await.unwrap()).await;
            }
            Victim::Server => self.members.signal(&primary, "KILL").await,
        }
    }

    /// The change ends, every server has every key and this value of `appendonly`, and so it is after all were killed.
    async fn completes(&self, append_only: &str) {
        self.place.reaches("cache", Phase::Running).await;
        assert!(self.conf().await.contains(&format!("\nappendonly {append_only}\n")), "{}", self.conf().await);
        for pod in self.pods() {
            self.has_all(&pod, "after the change").await;
            let held = self.members.ask(&pod, "CONFIG GET appendonly").await;
            assert_eq!(held, format!("appendonly {append_only}"), "{pod}");
        }
        for pod in self.pods() {
            self.members.signal(&pod, "KILL").await;
        }
        for pod in self.pods() {
            self.has_all(&pod, "after all servers were killed").await;
        }
    }
}

async fn turns_on(name: &str, replicas: u32, policy: &str, config: Value, victim: Victim) {
    let place = Place::new(name).await;
    let spec = json!({"config": {"appendonly": "no"}, "updatePolicy": {"config": policy}});
    let filled = Filled::new(&place, replicas, spec).await;
    let (before, starts) = (filled.conf().await, filled.starts().await);
    place.change("cache", json!({ "config": config })).await;
    filled.interrupted("aof_rewrite_in_progress:1", &before, &starts, victim).await;
    filled.completes("yes").await;
    place.leave().await;
}

async fn turns_off(name: &str, replicas: u32, victim: Victim) {
    let place = Place::new(name).await;
    let filled = Filled::new(&place, replicas, json!({"config": {"save": ""}})).await;
    let (before, starts) = (filled.conf().await, filled.starts().await);
    place.change("cache", json!({"config": {"appendonly": "no", "save": "3600 1", "databases": "4"}})).await;
    filled.interrupted("rdb_bgsave_in_progress:1", &before, &starts, victim).await;
    filled.completes("no").await;
    place.leave().await;
}

fn beside_a_restart() -> Value {
    json!({"appendonly": "yes", "databases": "4"})
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_append_only_file_beside_a_restart_is_complete_first() {
    turns_on("onone", 1, "Auto", beside_a_restart(), Victim::NoPod).await;
    turns_on("onthree", 3, "Auto", beside_a_restart(), Victim::NoPod).await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn policies_that_restart_wait_for_the_append_only_file() {
    turns_on("rolling", 1, "RollingUpdate", json!({"appendonly": "yes"}), Victim::NoPod).await;
    turns_on("recreate", 1, "Recreate", json!({"appendonly": "yes"}), Victim::NoPod).await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_server_that_is_killed_in_its_first_rewrite_loses_no_key() {
    turns_on("killone", 1, "Auto", beside_a_restart(), Victim::Server).await;
    turns_off("killoff", 1, Victim::Server).await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_operator_that_is_killed_meanwhile_leaves_the_change_to_the_next() {
    turns_on("diesone", 1, "Auto", beside_a_restart(), Victim::Operator).await;
    turns_off("diesoff", 1, Victim::Operator).await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_append_only_file_is_given_up_only_for_a_snapshot() {
    turns_off("offone", 1, Victim::NoPod).await;
    turns_off("offthree", 3, Victim::NoPod).await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_rewrite_that_cannot_complete_is_reported_and_restarts_nothing() {
    let place = Place::new("unable").await;
    let filled = Filled::new(&place, 1, json!({"config": {"appendonly": "no"}})).await;
    let (before, starts) = (filled.conf().await, filled.starts().await);
    // The folder of the append-only file can be written to, and the one where it is prepared cannot.
    let data = filled.members.data("cache-0").await;
    let folder = data.join("appendonlydir");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let mode = fs::metadata(&data).unwrap().permissions();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).unwrap();
    place.change("cache", json!({ "config": beside_a_restart() })).await;
    place
        .until("cache", "ConfigApplied with PersistenceFailing", |instance: Option<&RedisInstance>| {
            let status = instance.and_then(|instance| instance.status.clone()).unwrap_or_default();
            status.conditions.iter().any(|held| {
                held.type_ == "ConfigApplied"
                    && held.reason == "PersistenceFailing"
                    && held.message.contains("cache-0 could not write its append-only file")
            })
        })
        .await;
    assert_eq!(filled.conf().await, before);
    assert_eq!(filled.starts().await, starts);
    filled.has_all("cache-0", "while the rewrite fails").await;

    fs::set_permissions(&data, mode).unwrap();
    filled.completes("yes").await;
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_instance_without_an_append_only_file_is_recreated_with_one_over_its_volume() {
    let place = Place::new("again").await;
    let retained = json!({"config": {"appendonly": "no"}, "storage": {"size": "64Mi", "retention": "Retain"}});
    let filled = Filled::new(&place, 1, retained).await;
    assert_eq!(filled.members.ask("cache-0", "CONFIG SET rdb-key-save-delay 0").await, "+OK");
    place.delete::<RedisInstance>("cache").await;
    place.gone::<Pod>("cache-0").await;
    place.create("cache", json!({"image": "redis:7.0.15", "storage": {"size": "64Mi"}})).await.unwrap();
    place.reaches("cache", Phase::Running).await;
    filled.completes("yes").await;
    let uid = filled.members.pod("cache-0").await.unwrap().uid();
    place.api::<Pod>().delete("cache-0", &DeleteParams::default()).await.unwrap();
    place.until("cache-0", "new pod", move |pod: Option<&Pod>| pod.is_some_and(|pod| pod.uid() != uid)).await;
    filled.has_all("cache-0", "after its pod was deleted").await;
    place.leave().await;
}
