//! A password that changes under several running servers: no client that has either password is refused, no pod restarts, no
//! replica loses its primary, whatever becomes of the operator meanwhile.

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{
    cluster::{Place, Redis, eventually},
    deployed,
    members::Members,
    pods::THREE_PODS,
};
use k8s_openapi::{
    api::core::v1::{Pod, Secret, Service},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::{interval, timeout},
};

const UNTIL: &str = "redis.github.com/former-password-until";

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn no_client_is_refused_while_the_password_of_three_pods_changes() {
    let place = Place::new("password").await;
    deployed::settled(&place.client).await;
    place.put_password("shop", "first").await;
    let members = place.create_cache(3, json!({"auth": {"secretName": "shop"}})).await;
    let before = lives(&members).await;

    let old = Client::start(&place, "first").await;
    merge(&place, "shop", json!({"stringData": {"password": "second"}})).await;
    eventually("server that accepts the second password", || async {
        for pod in THREE_PODS {
            if accepts(&members, pod, "second").await {
                return Some(());
            }
        }
        None
    })
    .await;
    end_the_operator(&place).await;
    eventually("second password in the Secret of the pods", || async {
        (place.password("cache").await == "second").then_some(())
    })
    .await;
    let new = Client::start(&place, "second").await;
    for pod in THREE_PODS {
        for password in ["first", "second"] {
            assert!(accepts(&members, pod, password).await, "{pod} refuses the {password} one");
        }
        eventually(&format!("second password from {pod} to its primary"), || async {
            let given = members.try_ask(pod, "CONFIG GET masterauth").await?;
            (given == "masterauth second").then_some(())
        })
        .await;
    }
    let Condition { status, reason, message, .. } = place.condition("PasswordRotated").await.unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "PasswordChanged"), "{message}");
    let secret: Secret = place.api().get("cache-auth").await.unwrap();
    assert_eq!(secret.data.as_ref().unwrap()["former-password"].0, b"first");
    assert_eq!(phase(&place).await, Phase::Running);
    let outcome = old.stop().await;
    eprintln!("with the former password: {outcome:?}");
    assert!(outcome.written > 0 && outcome.refused.is_empty(), "{outcome:?}");

    end_the_operator(&place).await;
    merge(&place, "cache-auth", json!({"metadata": {"annotations": {UNTIL: "2026-01-01T00:00:00Z"}}})).await;
    for pod in THREE_PODS {
        eventually(&format!("end of the first password in {pod}"), || async {
            (!accepts(&members, pod, "first").await).then_some(())
        })
        .await;
        assert!(accepts(&members, pod, "second").await, "{pod}");
    }
    eventually("end of the rotation in the status", || async {
        (place.condition("PasswordRotated").await?.reason == "PasswordRotated").then_some(())
    })
    .await;
    let secret: Secret = place.api().get("cache-auth").await.unwrap();
    assert_eq!(secret.data.unwrap().into_keys().collect::<Vec<_>>(), ["auth.conf", "password"]);
    let outcome = new.stop().await;
    eprintln!("with the new password: {outcome:?}");
    assert!(outcome.written > 0 && outcome.refused.is_empty(), "{outcome:?}");
    assert_eq!(lives(&members).await, before, "a pod restarted, or a replica lost its primary");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_server_that_does_not_answer_holds_the_change_and_is_brought_along() {
    let place = Place::new("held").await;
    place.put_password("one", "first").await;
    place.put_password("two", "second").await;
    let members = place.create_cache(3, json!({"auth": {"secretName": "one"}})).await;
    members.signal("cache-2", "STOP").await;
    // Another Secret is looked at without delay.
    place.change("cache", json!({"auth": {"secretName": "two"}})).await;
    eventually("word of the server that does not answer", || async {
        let Condition { status, reason, message, .. } = place.condition("PasswordRotated").await?;
        (status == "False" && reason == "Unreachable" && message.contains("cache-2")).then_some(())
    })
    .await;
    assert_eq!(
        place.password("cache").await,
        "first",
        "a password that cache-2 does not accept yet is given to no client"
    );
    for pod in ["cache-0", "cache-1"] {
        for password in ["first", "second"] {
            assert!(accepts(&members, pod, password).await, "{pod} refuses the {password} one");
        }
    }
    members.signal("cache-2", "CONT").await;
    eventually("second password in the Secret of the pods", || async {
        (place.password("cache").await == "second").then_some(())
    })
    .await;
    assert!(accepts(&members, "cache-2", "second").await && accepts(&members, "cache-2", "first").await);
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_generated_password_is_changed_by_a_user() {
    let place = Place::new("chosen").await;
    place.create_running("cache", json!({"image": "redis:7.0.15", "storage": {"size": "64Mi"}})).await;
    let generated = place.password("cache").await;
    merge(&place, "cache-auth", json!({"stringData": {"password": "chosen"}})).await;
    // Our own Secret is looked at every few minutes, and by an operator that takes over.
    end_the_operator(&place).await;
    for password in ["chosen", &generated] {
        eventually("both passwords", || async {
            (place.connect("cache").await.ask(&format!("AUTH {password}")).await == "+OK").then_some(())
        })
        .await;
    }
    eventually("former password in the Secret", || async {
        let secret: Secret = place.api().get("cache-auth").await.unwrap();
        (secret.data?.get("former-password")?.0 == generated.as_bytes()).then_some(())
    })
    .await;
    assert_eq!(place.password("cache").await, "chosen");
    place.leave().await;
}

async fn merge(place: &Place, secret: &str, change: Value) {
    place.api::<Secret>().patch(secret, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
}

/// Deletes the pod of the leading operator without a grace period.
async fn end_the_operator(place: &Place) {
    let leader = deployed::leader(&place.client).await;
    let at_once = DeleteParams::default().grace_period(0);
    deployed::pods(&place.client).delete(&leader, &at_once).await.unwrap();
}

async fn phase(place: &Place) -> Phase {
    place.api::<RedisInstance>().get("cache").await.unwrap().status.unwrap().status
}

/// Whether the server of a pod takes a login with this password.
async fn accepts(members: &Members<'_>, pod: &str, password: &str) -> bool {
    let address = members.pod(pod).await.unwrap().status.unwrap().pod_ip.unwrap();
    let mut redis = Redis::from(TcpStream::connect((address, 6379)).await.unwrap());
    let answer = redis.ask(&format!("AUTH {password}")).await;
    assert!(answer == "+OK" || answer.starts_with("-WRONGPASS"), "{pod}: {answer}");
    answer == "+OK"
}

/// What another start of a pod, of its container, or of replication would change.
async fn lives(members: &Members<'_>) -> BTreeSet<String> {
    let labels = ListParams::default().labels("redis.github.com/instance=cache");
    let mut lives = BTreeSet::new();
    for pod in members.place.api::<Pod>().list(&labels).await.unwrap() {
        let (name, uid) = (pod.name_any(), pod.uid());
        let restarts = pod.status.unwrap().container_statuses.unwrap()[0].restart_count;
        let stats = members.ask(&name, "INFO stats").await;
        let syncs: Vec<&str> = stats.split(' ').filter(|field| field.starts_with("sync_")).collect();
        lives.insert(format!("{name} {uid:?} restarted {restarts} times, {syncs:?}"));
    }
    lives
}

/// What a client saw.
#[derive(Debug)]
struct Outcome {
    written: usize,
    refused: Vec<String>,
}

/// A client that connects, logs in and writes again and again.
struct Client {
    stop: oneshot::Sender<()>,
    work: JoinHandle<Outcome>,
}

impl Client {
    async fn start(place: &Place, password: &'static str) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let service: Service = place.api().get("cache").await.unwrap();
        let address = format!("{}:6379", service.spec.unwrap().cluster_ip.unwrap());
        // A new Service takes its moment to lead anywhere.
        eventually("way to the Service", || async { TcpStream::connect(&address).await.ok() }).await;
        let work = tokio::spawn(async move {
            let mut outcome = Outcome { written: 0, refused: Vec::new() };
            let mut beat = interval(Duration::from_millis(5));
            while stopped.try_recv().is_err() {
                beat.tick().await;
                match timeout(Duration::from_secs(5), write(&address, password)).await {
                    Ok(Ok(())) => outcome.written += 1,
                    Ok(Err(why)) => outcome.refused.push(why),
                    Err(_) => outcome.refused.push("no answer".to_owned()),
                }
            }
            outcome
        });
        Self { stop, work }
    }

    async fn stop(self) -> Outcome {
        self.stop.send(()).unwrap();
        self.work.await.unwrap()
    }
}

async fn write(address: &str, password: &str) -> Result<(), String> {
    let mut redis = Redis::from(TcpStream::connect(address).await.map_err(|error| error.to_string())?);
    for command in [format!("AUTH {password}"), format!("SET {password} 1")] {
        let answer = redis.try_ask(&command).await.ok_or("closed")?;
        if answer != "+OK" {
            return Err(answer);
        }
    }
    Ok(())
}
