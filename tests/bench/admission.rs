//! What admission costs whoever creates instances: what both webhooks add at the API server, at rest and while the operator
//! takes up thousands of instances; what a caller sees of certificates that change; what an idle operator takes.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use hyper::body::Bytes;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use redis_operator::{domain::defaults::Defaults, metrics::Metrics, webhook as ours, webhook::server::Limits};
use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use crate::{
    api_server,
    common::{
        audit,
        cluster::{Place, eventually, instance},
        operator::Operator,
    },
    figures,
    fixture::{Running, http},
    nodes::Nodes,
    webhook::{self, Authority},
};

/// Creations a second that are judged.
const PACE: u32 = 100;
/// One in so many of all is not judged: enough to compare with, and next to no load.
const FREE: usize = 5;
/// Creations under way at once: where the machine does not keep up, fewer come, and the series says how many.
const UNDER_WAY: usize = 64;
/// How long a series runs when nothing else happens.
const SERIES: Duration = Duration::from_secs(20);
/// Clients that create the instances for the resync.
const CLIENTS: usize = 8;
/// How long certificates change, once a second.
const ROTATION: Duration = Duration::from_mins(1);
/// Callers meanwhile, each with a new connection for each call.
const CALLERS: usize = 4;

/// Prints all of it. `INSTANCES` (5000) is how many are created again.
pub(crate) async fn measure(place: &Place) {
    rotation().await;
    let authority = Authority::new();
    let free = Place::new("bench-free").await;
    let operator = Operator::start(place, &authority.certificate, &authority.key).await;
    operator.says("serving the admission webhooks").await;
    operator.says("watches are synced").await;
    pass(Duration::from_secs(5)).await;
    let (resident, peak) = figures::memory(operator.id());
    println!("\nidle with its webhooks: resident {resident:.1} MiB, peak {peak:.1} MiB");

    let registered = Registered::new(place, &operator, &authority).await;
    println!("\nadded to a dry-run creation by both webhooks, {PACE} a second, at rest; {}", figures::machine());
    let series = Series::begin(place, &free);
    pass(SERIES).await;
    series.print().await;
    registered.end(place).await;

    let instances = env::var("INSTANCES").map_or(5000, |text| text.parse().unwrap());
    let _nodes = Nodes::start(place);
    fill(place, instances).await;
    println!("\nwith {instances} instances: resident {:.0} MiB", figures::memory(operator.id()).0);
    drop(operator);
    let begun = Timestamp::now();
    let operator = Operator::start(place, &authority.certificate, &authority.key).await;
    operator.says("serving the admission webhooks").await;
    let registered = Registered::new(place, &operator, &authority).await;
    println!("\nthe same while an operator that was started takes up {instances} instances; {}", figures::machine());
    let series = Series::begin(place, &free);
    taken_up(&operator, instances).await;
    println!("  all taken up {:.1} s after its start", Timestamp::now().duration_since(begun).as_secs_f64());
    series.print().await;
    registered.end(place).await;
    free.leave().await;
}

/// Lets time pass: what is measured is what happens in it.
async fn pass(time: Duration) {
    tokio::time::interval_at(Instant::now() + time, time).tick().await;
}

/// Both webhooks, for one namespace alone.
struct Registered;

impl Registered {
    async fn new(place: &Place, operator: &Operator, authority: &Authority) -> Self {
        let (mut mutating, mut validating) = api_server::configurations(operator, authority);
        let only = LabelSelector {
            match_labels: Some([("kubernetes.io/metadata.name".to_owned(), place.namespace.clone())].into()),
            ..LabelSelector::default()
        };
        mutating.webhooks.iter_mut().flatten().for_each(|webhook| webhook.namespace_selector = Some(only.clone()));
        validating.webhooks.iter_mut().flatten().for_each(|webhook| webhook.namespace_selector = Some(only.clone()));
        let (mutators, validators) = (Api::all(place.client.clone()), Api::all(place.client.clone()));
        mutators.create(&PostParams::default(), &mutating).await.unwrap();
        validators.create(&PostParams::default(), &validating).await.unwrap();
        eventually("refusal by the webhook", || async {
            let bad = instance("probe", json!({"config": {"maxmemroy": "1gb"}}));
            place.api().create(&dry_run(), &bad).await.is_err().then_some(())
        })
        .await;
        Self
    }

    async fn end(self, place: &Place) {
        for kind in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
            let request = kube::core::Request::new(format!("/apis/admissionregistration.k8s.io/v1/{kind}"));
            let request = request.delete("bench", &DeleteParams::default()).unwrap();
            place.client.request_text(request).await.unwrap();
        }
    }
}

/// Creations in two namespaces at the same time, of which one is judged: what differs between them is the webhooks.
struct Series {
    stop: Arc<AtomicBool>,
    judged: String,
    free: String,
    begun: Timestamp,
    read: u64,
    work: tokio::task::JoinHandle<usize>,
}

impl Series {
    fn begin(judged: &Place, free: &Place) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let spec = json!({"image": "redis:7.2.5", "config": {"maxmemory": "100mb"}});
        let apis = [judged.api(), free.api()];
        let work = tokio::spawn(async move {
            let each =
                Duration::from_secs(1).mul_f64(figures::count(FREE - 1) / figures::count(FREE) / f64::from(PACE));
            let mut beat = tokio::time::interval(each);
            beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let (mut asked, mut count, room) = (JoinSet::new(), 0, Arc::new(Semaphore::new(UNDER_WAY)));
            while !stopped.load(Ordering::Relaxed) {
                beat.tick().await;
                let api = &apis[usize::from(count % FREE == 0)];
                let (api, object) = (api.clone(), instance("measured", spec.clone()));
                let place = Arc::clone(&room).acquire_owned().await.unwrap();
                asked.spawn(async move {
                    drop(api.create(&dry_run(), &object).await);
                    drop(place);
                });
                count += 1;
            }
            asked.join_all().await;
            count
        });
        let (judged, free) = (judged.namespace.clone(), free.namespace.clone());
        Self { stop, judged, free, begun: Timestamp::now(), read: audit::length(), work }
    }

    /// Ends it, and prints what each kind took by the API server's clock.
    async fn print(self) {
        self.stop.store(true, Ordering::Relaxed);
        let count = self.work.await.unwrap();
        let took = Timestamp::now().duration_since(self.begun).as_secs_f64();
        let entries = eventually("audit log of the series", || async {
            let (entries, _) = audit::after(self.read);
            let ours: Vec<_> = entries
                .into_iter()
                .filter(|entry| entry.verb() == "create" && entry.resource() == "redisinstances")
                .filter(|entry| entry.name() == "measured")
                .collect();
            (ours.len() >= count).then_some(ours)
        })
        .await;
        let of = |namespace: &String| -> Vec<f64> {
            entries.iter().filter(|entry| entry.namespace() == namespace).map(audit::Entry::milliseconds).collect()
        };
        let (judged, free) = (of(&self.judged), of(&self.free));
        let failed = entries.iter().filter(|entry| entry.code() != 201).count();
        let added = |part: usize| figures::quantile(&judged, part) - figures::quantile(&free, part);
        println!("  not judged     {}", figures::quantiles(free.clone()));
        println!("  both webhooks  {}", figures::quantiles(judged.clone()));
        println!(
            "  added          p50 {:.2} ms, p99 {:.2} ms; {:.0} judged a second, {failed} failed; {}",
            added(50),
            added(99),
            figures::count(judged.len()) / took,
            figures::machine()
        );
    }
}

fn dry_run() -> PostParams {
    PostParams { dry_run: true, ..PostParams::default() }
}

/// Makes so many instances, and waits until all of them run.
async fn fill(place: &Place, instances: usize) {
    let begun = Instant::now();
    let names = stream::iter((0..instances).map(|number| format!("cache-{number}")));
    names
        .for_each_concurrent(CLIENTS, |name| async move {
            place.create(&name, Value::Object(serde_json::Map::new())).await.unwrap();
        })
        .await;
    crate::scale::all_running(place, instances).await;
    crate::scale::all_bound(place, instances).await;
    println!(
        "\n{instances} instances made, and running, within {:.0} s; {}",
        begun.elapsed().as_secs_f64(),
        figures::machine()
    );
}

/// Waits until the operator has looked at as many instances.
async fn taken_up(operator: &Operator, instances: usize) {
    eventually(&format!("a reconcile of each of {instances} instances"), || async {
        let looked = operator.metric(r#"redis_operator_reconcile_duration_seconds_count{result="ok"}"#).await;
        (looked >= figures::count(instances)).then_some(())
    })
    .await;
}

/// Prints what callers see of a certificate that changes every second.
async fn rotation() {
    println!("\na new certificate each second for {ROTATION:?}, {CALLERS} callers; {}", figures::machine());
    let defaults = Defaults { image: "redis:7.0.15".to_owned() };
    let router = ours::router(defaults, &Metrics::new().webhooks);
    let mut server = Running::start(router, Limits::default()).await;
    let (stop, calls, kept_calls) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (client, address) = (server.authority.client(&[b"http/1.1"]), server.address);
        let (stop, calls, kept_calls) = (Arc::clone(&stop), Arc::clone(&calls), Arc::clone(&kept_calls));
        callers.spawn(async move {
            let review = Bytes::from(webhook::review());
            let connect = async || -> Result<_, String> {
                let stream = tokio::net::TcpStream::connect(address).await.map_err(|error| error.to_string())?;
                let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
                http(client.connect(name, stream).await.map_err(|error| error.to_string())?).await
            };
            let mut kept = connect().await.unwrap();
            let mut failures = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let answer = async {
                    let mut fresh = connect().await?;
                    webhook::post(&mut fresh, "/validate", review.clone()).await.map_err(|error| error.to_string())
                };
                failures.extend(failure(answer.await));
                calls.fetch_add(1, Ordering::Relaxed);
                if caller == 0 {
                    let answer = webhook::post(&mut kept, "/validate", review.clone()).await;
                    failures.extend(failure(answer.map_err(|error| error.to_string())));
                    kept_calls.fetch_add(1, Ordering::Relaxed);
                }
            }
            failures
        });
    }
    let (begun, mut beat, mut rotations) = (Instant::now(), tokio::time::interval(Duration::from_secs(1)), 0);
    while begun.elapsed() < ROTATION {
        beat.tick().await;
        let issued = server.authority.issue();
        server.volume.publish(&issued.certificate, &issued.key);
        rotations += 1;
    }
    stop.store(true, Ordering::Relaxed);
    let failures = callers.join_all().await.concat();
    println!(
        "  {rotations} published, {} taken up; {} calls on connections of their own, {} on one that was kept: {} failed {}",
        server.counted("redis_operator_certificate_renewals_total{result=\"loaded\"}"),
        calls.load(Ordering::Relaxed),
        kept_calls.load(Ordering::Relaxed),
        failures.len(),
        failures.first().map_or("", String::as_str)
    );
}

/// Why a call failed, if it did.
fn failure(answer: Result<hyper::StatusCode, String>) -> Option<String> {
    match answer {
        Ok(status) if status.is_success() => None,
        Ok(status) => Some(status.to_string()),
        Err(error) => Some(error),
    }
}
