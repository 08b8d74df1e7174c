//! A cluster as the tests see it: a namespace each, objects from YAML, waiting with a deadline, Redis over the wire.
//! Knows no test; `KUBECONFIG` names the cluster.

use std::{
    fmt::Debug,
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Namespace, Secret, Service},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
    runtime::wait::{Condition, await_condition},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

/// How long anything may take before a test says what was missing. Generous: the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// An object in a namespace that tests can read, watch and delete.
pub(crate) trait Namespaced:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
}

impl<K> Namespaced for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
}

/// A namespace of a test's own, which enforces Pod Security `restricted`.
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Place {
    /// A fresh namespace named after the test.
    pub(crate) async fn new(test: &str) -> Self {
        let client = client().await;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"generateName": format!("{test}-"),
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}))
        .unwrap();
        let created = namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        Self { client, namespace: created.name_any() }
    }

    /// The objects of a kind in this namespace.
    pub(crate) fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates an instance; the answer is the API server's.
    pub(crate) async fn create(&self, name: &str, spec: Value) -> Result<RedisInstance, kube::Error> {
        self.api().create(&PostParams::default(), &instance(name, spec)).await
    }

    /// Merges into the spec of an instance.
    pub(crate) async fn change(&self, name: &str, spec: Value) -> RedisInstance {
        self.api().patch(name, &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await.unwrap()
    }

    /// Waits until the instance is in this phase, for its present spec.
    pub(crate) async fn reaches(&self, name: &str, phase: Phase) -> RedisInstance {
        self.until(name, &format!("phase {phase:?}"), move |instance: Option<&RedisInstance>| {
            instance.is_some_and(|instance| {
                let status = instance.status.clone().unwrap_or_default();
                status.status == phase && status.observed_generation == instance.metadata.generation
            })
        })
        .await
        .unwrap()
    }

    /// Waits until the object meets the condition, which `what` puts into words.
    pub(crate) async fn until<K: Namespaced>(&self, name: &str, what: &str, condition: impl Condition<K>) -> Option<K> {
        let kind = K::kind(&()).into_owned();
        if let Ok(met) = timeout(DEADLINE, await_condition(self.api::<K>(), name, condition)).await {
            return met.unwrap();
        }
        let instances =
            self.api::<RedisInstance>().list(&kube::api::ListParams::default()).await.map(|list| list.items);
        let statuses: Vec<_> =
            instances.into_iter().flatten().map(|instance| (instance.name_any(), instance.status)).collect();
        panic!("{kind} {name}: no {what} within {DEADLINE:?}; instances of {}: {statuses:#?}", self.namespace);
    }

    /// Waits until the object is gone.
    pub(crate) async fn gone<K: Namespaced>(&self, name: &str) {
        self.until(name, "end", |object: Option<&K>| object.is_none()).await;
    }

    /// Deletes an object.
    pub(crate) async fn delete<K: Namespaced>(&self, name: &str) {
        self.api::<K>().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Creates an object from JSON.
    pub(crate) async fn put<K: Namespaced + Serialize>(&self, object: Value) -> K {
        self.api().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
    }

    /// The password in a Secret of an instance.
    pub(crate) async fn password(&self, instance: &str) -> String {
        let secret: Secret = self.api().get(&format!("{instance}-auth")).await.unwrap();
        String::from_utf8(secret.data.unwrap()["password"].0.clone()).unwrap()
    }

    /// The command by which a client logs in, which a server without a password takes too; none while there is no password.
    pub(crate) async fn login(&self, instance: &str) -> Option<String> {
        let secret: Option<Secret> = self.api().get_opt(&format!("{instance}-auth")).await.unwrap();
        let password = String::from_utf8(secret?.data?["password"].0.clone()).unwrap();
        Some(format!("AUTH default {password}"))
    }

    /// A connection to the instance's Service, as a client outside its pod makes it.
    pub(crate) async fn connect(&self, instance: &str) -> Redis {
        let service: Service = self.api().get(instance).await.unwrap();
        let address = format!("{}:6379", service.spec.unwrap().cluster_ip.unwrap());
        eventually(&format!("connection to {instance} at {address}"), || async {
            TcpStream::connect(&address).await.ok()
        })
        .await
        .into()
    }

    /// Deletes the namespace with all it holds, without waiting.
    pub(crate) async fn leave(self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.unwrap();
    }
}

/// A client for the cluster of `KUBECONFIG`.
pub(crate) async fn client() -> Client {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    drop(provider.install_default());
    Client::try_default().await.expect("KUBECONFIG must name a cluster; run these tests with `just test-cluster`")
}

/// An instance of this name and spec.
pub(crate) fn instance(name: &str, spec: Value) -> RedisInstance {
    let spec = serde_json::from_value(spec).unwrap();
    RedisInstance { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, spec, status: None }
}

/// Waits until so many more of what is counted were: something that hangs proves nothing.
pub(crate) async fn grows(what: &str, count: &AtomicU64, more: u64) {
    let from = count.load(Ordering::Relaxed);
    eventually(&format!("{more} more {what}"), || async {
        (count.load(Ordering::Relaxed) >= from + more).then_some(())
    })
    .await;
}

/// Asks again until there is an answer; `what` says what was missing when there is none in time.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "no {what} within {DEADLINE:?}");
        pause.tick().await;
    }
}

/// A connection that speaks Redis' inline protocol.
pub(crate) struct Redis(TcpStream);

impl From<TcpStream> for Redis {
    fn from(stream: TcpStream) -> Self {
        Self(stream)
    }
}

impl Redis {
    /// Sends one command and gives back what came, without the line ends; a bulk string is its text alone.
    pub(crate) async fn ask(&mut self, command: &str) -> String {
        let answer = timeout(DEADLINE, self.try_ask(command)).await.expect("redis gives no answer");
        answer.expect("redis closed the connection")
    }

    /// The same; nothing when the connection ends first.
    pub(crate) async fn try_ask(&mut self, command: &str) -> Option<String> {
        self.0.write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while !is_whole(&answer) {
            let read = self.0.read(&mut part).await.ok().filter(|read| *read > 0)?;
            answer.extend_from_slice(&part[..read]);
        }
        let text = String::from_utf8(answer).unwrap();
        let lines: Vec<&str> =
            text.split("\r\n").filter(|line| !line.starts_with(['$', '*']) && !line.is_empty()).collect();
        Some(lines.join(" "))
    }
}

/// Whether this is one whole reply: a line, a bulk string, or an array of bulk strings.
fn is_whole(reply: &[u8]) -> bool {
    let text = String::from_utf8_lossy(reply);
    let Some((first, rest)) = text.split_once("\r\n") else { return false };
    let lines = rest.matches("\r\n").count();
    match (first.chars().next(), first.get(1..).and_then(|count| count.parse::<i64>().ok())) {
        (Some('$'), Some(length)) => length < 0 || lines >= 1,
        (Some('*'), Some(items)) => i64::try_from(lines).unwrap() >= items * 2,
        _ => true,
    }
}
