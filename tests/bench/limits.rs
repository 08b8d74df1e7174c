//! Requests just below each limit: what one costs the webhooks' thread, and how an honest client and the election fare
//! beside 8 clients that send nothing else. Everything stays on the loopback.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::body::Bytes;
use k8s_openapi::api::coordination::v1::Lease;
use redis_operator::domain::judgement::SPEC_LIMIT;
use serde_json::{Map, Value, json};
use tokio::{runtime::Builder, time::interval};

use crate::{
    common::{
        account::admit,
        cluster::{Place, eventually},
        operator::{Launch, Operator},
    },
    figures,
    webhook::{self, Authority},
};

/// How often each is sent to learn what one costs.
const TIMES: usize = 20;
const CLIENTS: usize = 8;
const SERIES: Duration = Duration::from_secs(20);
/// Letters of a body below the limit of 5 MiB.
const BODY: usize = 5_242_000;
/// Room for what surrounds the list that fills a spec.
const ROOM: usize = 200;

/// Prints what requests just below each limit cost, and what others feel of them.
pub(crate) async fn measure(place: &Place, authority: &Arc<Authority>) {
    admit(place, place).await;
    let operator = Operator::launch(
        place,
        Launch {
            certificate: &authority.certificate,
            key: &authority.key,
            arguments: vec![format!("--namespace={}", place.namespace), "--identity=bench".to_owned()],
            ..Launch::default()
        },
    )
    .await;
    operator.says("serving the admission webhooks").await;
    eventually("leadership", || async { (operator.metric("redis_operator_leader").await > 0.0).then_some(()) }).await;
    let bodies = bodies();
    costs(&operator, authority, &bodies).await;
    beside(place, &operator, authority, bodies).await;
}

/// A request: what it is, where it goes, and its body.
type Hostile = (String, &'static str, Bytes);

async fn costs(operator: &Operator, authority: &Authority, bodies: &[Hostile]) {
    println!(
        "\nrequests just below each limit, {TIMES} times each: CPU of the webhooks' thread; {}",
        figures::machine()
    );
    for (name, path, body) in bodies {
        let mut sender = authority.connect(operator.webhook_port).await;
        let before = thread_seconds(operator.id());
        let mut status = String::new();
        for _ in 0..TIMES {
            status = match webhook::post(&mut sender, path, body.clone()).await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
        }
        let each = (thread_seconds(operator.id()) - before) * 1000.0 / figures::count(TIMES);
        println!("  {name:<34} {path:<9} {:>7} bytes: {each:>6.2} ms, {status}", body.len());
    }
}

/// CPU seconds of the webhooks' thread so far.
fn thread_seconds(process: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap().map(|thread| thread.unwrap().path());
    let webhooks =
        threads.filter(|thread| fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim_end() == "webhook"));
    let nanoseconds = webhooks.map(|thread| {
        let times = fs::read_to_string(thread.join("schedstat")).unwrap();
        times.split(' ').next().unwrap().parse::<f64>().unwrap()
    });
    nanoseconds.sum::<f64>() / 1e9
}

async fn beside(place: &Place, operator: &Operator, authority: &Arc<Authority>, bodies: Vec<Hostile>) {
    let port = operator.webhook_port;
    let kept = authority.connect(port).await;
    println!("an honest client, 100 questions a second on a kept connection; {}", figures::machine());
    let kept = honest("alone", kept).await;
    // Threads of their own, or the honest one would wait in its own process.
    let hostile = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (bodies, sent) = (Arc::new(bodies), Arc::new(AtomicU64::new(0)));
    for client in 0..CLIENTS {
        let (authority, bodies, sent) = (Arc::clone(authority), Arc::clone(&bodies), Arc::clone(&sent));
        hostile.spawn(async move {
            for turn in client.. {
                let Ok(mut sender) = authority.try_connect(port).await else { continue };
                for n in 0..bodies.len() {
                    let (_, path, body) = &bodies[(turn + n) % bodies.len()];
                    if webhook::post(&mut sender, path, body.clone()).await.is_err() {
                        break;
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let renewed = renewals(place).await;
    honest(&format!("beside {CLIENTS} hostile ones"), kept).await;
    hostile.shutdown_background();
    let (led, lease) = (operator.metric("redis_operator_leader").await, renewals(place).await);
    println!(
        "  {} hostile requests answered; leads: {led}; lease renewed between {renewed} and {lease}; {}",
        sent.load(Ordering::Relaxed),
        figures::machine()
    );
    let (now, peak) = figures::memory(operator.id());
    println!("  resident memory {now:.0} MiB, peak {peak:.0} MiB");
}

/// Since when the lease is held, how often it changed hands, and when it was last renewed.
async fn renewals(place: &Place) -> String {
    let spec = place.api::<Lease>().get("redis-operator").await.unwrap().spec.unwrap();
    let (since, renewed) = (spec.acquire_time.map(|time| time.0), spec.renew_time.map(|time| time.0));
    format!("{renewed:?} (held since {since:?}, {:?} transitions)", spec.lease_transitions)
}

type Sender = hyper::client::conn::http1::SendRequest<http_body_util::Full<Bytes>>;

async fn honest(beside: &str, mut kept: Sender) -> Sender {
    let review = Bytes::from(webhook::review());
    let (mut samples, mut refused) = (Vec::new(), 0);
    let (mut due, begun) = (interval(Duration::from_millis(10)), Instant::now());
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while begun.elapsed() < SERIES {
        due.tick().await;
        let sent = Instant::now();
        match webhook::post(&mut kept, "/validate", review.clone()).await {
            Ok(status) if status.is_success() => samples.push(sent.elapsed().as_secs_f64() * 1000.0),
            _ => refused += 1,
        }
    }
    println!("  {beside}: {}; {refused} refused", figures::quantiles(samples));
    kept
}

/// Each spec as CREATE and as UPDATE of itself, to both webhooks; and bodies that are no review.
fn bodies() -> Vec<Hostile> {
    let mut bodies = Vec::new();
    for (name, spec) in specs() {
        let object = json!({"metadata": {"name": "cache", "namespace": "shop"}, "spec": spec});
        for operation in ["CREATE", "UPDATE"] {
            let body = Bytes::from(review(operation, object.clone()).to_string());
            for path in ["/validate", "/mutate"] {
                bodies.push((format!("{name}, {operation}"), path, body.clone()));
            }
        }
    }
    let long = "A".repeat(BODY);
    let object = |metadata: Value| review("UPDATE", json!({"metadata": metadata, "spec": {}}));
    let half = "A".repeat(BODY / 2);
    let whole = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": long});
    let escaped = "\n".repeat(BODY / 5);
    for (name, body) in [
        ("malformed: a text for a request", whole),
        ("a long name", object(json!({"name": half}))),
        ("a long name of line feeds", object(json!({"name": escaped}))),
        (
            "a long list of directives vouched for",
            object(json!({"name": "cache", "annotations": {
            "redis.github.com/allow-unknown-directives": "a,".repeat(BODY / 5)}})),
        ),
        ("long managed fields", object(json!({"name": "cache", "managedFields": [half]}))),
        (
            "many labels",
            object(
                json!({"name": "cache", "labels": (0..150_000).map(|n| (n.to_string(), json!("x"))).collect::<Map<_, _>>()}),
            ),
        ),
    ] {
        bodies.push((name.to_owned(), "/validate", Bytes::from(body.to_string())));
    }
    bodies
}

fn review(operation: &str, object: Value) -> Value {
    let old = if operation == "UPDATE" { object.clone() } else { Value::Null };
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "operation": operation,
        "kind": {"group": "redis.github.com", "version": "v1", "kind": "RedisInstance"}, "object": object, "oldObject": old}})
}

/// Specs that fill the limits: of the whole spec, and of each list and map.
fn specs() -> Vec<(&'static str, Value)> {
    let map = |count: usize, name: &str, value: usize| -> Value {
        Value::Object((0..count).map(|n| (format!("{name}{n:03}"), json!("x".repeat(value)))).collect())
    };
    let expression = json!({"key": "a", "operator": "In", "values": vec!["!"; 32]});
    let term = json!({"topologyKey": "!", "labelSelector": {"matchExpressions": vec![expression; 8]}});
    let terms = SPEC_LIMIT.saturating_sub(ROOM) / (term.to_string().len() + 1);
    let spread = |n: usize| json!({"topologyKey": format!("{n}"), "maxSkew": 0, "labelSelector": {"matchLabels": map(32, "!", 20)}});
    let save = "900 1 ".repeat(170);
    vec![
        ("20,000 tolerations", json!({"pod": {"tolerations": vec![json!({}); SPEC_LIMIT / 3 - ROOM]}})),
        (
            "many constraints",
            json!({"pod": {"topologySpreadConstraints":
            (0..2_500).map(|n| json!({"topologyKey": format!("{n:x}")})).collect::<Vec<_>>()}}),
        ),
        (
            "32 tolerations",
            json!({"pod": {"tolerations": vec![json!({"key": "!".repeat(1_000), "operator": "x"}); 32]}}),
        ),
        ("32 constraints", json!({"pod": {"topologySpreadConstraints": (0..32).map(spread).collect::<Vec<_>>()}})),
        (
            "affinity",
            json!({"pod": {"affinity": {"podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": vec![term; terms.min(32)]}}}}),
        ),
        ("256 unknown directives", json!({"image": "team/cache:blue", "config": map(256, "unknown-directive-", 200)})),
        ("256 misspelt directives", json!({"image": "redis:8.2", "config": map(256, "maxmemory-policies-", 1)})),
        ("60 long values of directives", json!({"image": "redis:7.2.5", "config": map(60, "maxmemory", 1_000)})),
        ("long save", json!({"image": "redis:7.2.5", "config": {"save": save, "bind": "a ".repeat(500)}})),
        (
            "quotes in 60 directives",
            json!({"config": (0..60).map(|n| (format!("x{n}"), json!("\"\\".repeat(250)))).collect::<Map<_, _>>()}),
        ),
        (
            "64 labels and annotations",
            json!({"pod": {"labels": map(64, "a.example.com/", 300), "annotations": map(64, "a.example.com/", 500)}}),
        ),
        ("64 node selectors", json!({"pod": {"nodeSelector": map(64, "!", 800)}})),
        ("a long image", json!({"image": "a/".repeat(30_000)})),
        (
            "a long quantity",
            json!({"storage": {"size": "9".repeat(60_000)}, "resources": {"limits": {"cpu": "1", "memory": "1"}}}),
        ),
        ("a variant", json!({"storage": {"retention": "\n".repeat(30_000)}})),
        ("nested lists", serde_json::from_str(&format!("{{\"pod\":{}{}}}", "[".repeat(100), "]".repeat(100))).unwrap()),
        ("numbers", json!({"replicas": vec![7; 30_000]})),
        ("unknown fields", map(3_000, "field", 8)),
    ]
}
