//! Reviews sent straight to the webhooks, over TLS connections that are kept.

use std::{
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{common::operator::Operator, figures, nginx::Nginx};

/// How long each series runs.
const SERIES: Duration = Duration::from_secs(4);
/// Connections of the paced series; each asks that many milliseconds after its last question.
const LANES: u32 = 8;

/// A certificate authority and a leaf for the loopback address.
pub(crate) struct Authority {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) ca: String,
    roots: RootCertStore,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::IpAddress(IpAddr::from([127, 0, 0, 1]))];
        let leaf = params.signed_by(&key, &issuer).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).unwrap();
        Self { certificate: leaf.pem(), key: key.serialize_pem(), ca: issuer.pem(), roots }
    }

    pub(crate) async fn connect(&self, port: u16) -> SendRequest<Full<Bytes>> {
        self.try_connect(port).await.unwrap()
    }

    pub(crate) async fn try_connect(&self, port: u16) -> io::Result<SendRequest<Full<Bytes>>> {
        let stream = TokioIo::new(self.tls(port).await?);
        let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A connection after its handshake.
    pub(crate) async fn tls(&self, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let config = ClientConfig::builder().with_root_certificates(self.roots.clone()).with_no_client_auth();
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(IpAddr::from([127, 0, 0, 1]).into());
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

/// A server that is asked, and where its CPU time is read.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) port: u16,
    pub(crate) cpu_seconds: &'a dyn Fn() -> f64,
}

/// Prints the round trips of both webhooks over 1, 8 and 64 connections, and those of nginx with a fixed answer beside them.
pub(crate) async fn round_trips(operator: &Operator, authority: &Authority) {
    println!("\nwebhooks, direct HTTPS with keep-alive (client on the same cores)");
    println!("  review of {} bytes", review().len());
    let ours = || figures::cpu_seconds(operator.id());
    let operator_asked = Asked { port: operator.webhook_port, cpu_seconds: &ours };
    let mut costs = Vec::new();
    for (path, connections) in [("/validate", 1), ("/validate", 8), ("/validate", 64), ("/mutate", 8)] {
        let cost = series(authority, operator_asked, path, connections).await;
        costs.push(((path, connections), cost));
    }
    println!("  resident memory {:.0} MiB", figures::memory(operator.id()).0);
    let Some(nginx) = Nginx::start(authority) else {
        println!("  nginx is not installed: nothing to compare with");
        return;
    };
    println!("nginx with a fixed answer, the same certificate, client and review");
    let theirs = || nginx.cpu_seconds();
    for ((path, connections), cost) in costs {
        let fixed = series(authority, Asked { port: nginx.port, cpu_seconds: &theirs }, path, connections).await;
        println!("            ours takes {:.1} times the CPU", cost / fixed);
    }
}

/// Prints one series and answers the server's CPU a review, in microseconds.
async fn series(authority: &Authority, asked: Asked<'_>, path: &'static str, connections: usize) -> f64 {
    let review = Bytes::from(review());
    let mut senders = Vec::new();
    for _ in 0..connections {
        senders.push(authority.connect(asked.port).await);
    }
    let (before, begun) = ((asked.cpu_seconds)(), Instant::now());
    let mut tasks = JoinSet::new();
    for mut sender in senders {
        let body = review.clone();
        tasks.spawn(async move {
            let mut samples = Vec::new();
            while begun.elapsed() < SERIES {
                let sent = Instant::now();
                ask(&mut sender, path, body.clone()).await;
                samples.push(sent.elapsed().as_secs_f64() * 1000.0);
            }
            samples
        });
    }
    let samples = tasks.join_all().await.concat();
    let count = figures::count(samples.len());
    let (rate, cost) = (count / begun.elapsed().as_secs_f64(), ((asked.cpu_seconds)() - before) * 1e6 / count);
    println!(
        "  {path:<9} {connections:>2} connections: {rate:>6.0}/s, {}, server CPU {cost:.0} us a review",
        figures::quantiles(samples)
    );
    cost
}

/// Prints how long answers take at 1,000 reviews a second, counted from when each was due: an answer that is late makes
/// the next one late too.
pub(crate) async fn paced(operator: &Operator, authority: &Authority) {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for lane in 0..LANES {
        let mut sender = authority.connect(operator.webhook_port).await;
        let body = Bytes::from(review());
        tasks.spawn(async move {
            let first = begun + Duration::from_millis(u64::from(lane));
            let mut due = interval_at(first.into(), Duration::from_millis(u64::from(LANES)));
            due.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut samples = Vec::new();
            while begun.elapsed() < SERIES {
                let at = due.tick().await;
                ask(&mut sender, "/validate", body.clone()).await;
                samples.push(at.elapsed().as_secs_f64() * 1000.0);
            }
            samples
        });
    }
    let samples = tasks.join_all().await.concat();
    println!("  /validate at 1,000 a second: {}", figures::quantiles(samples));
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, path: &str, body: Bytes) {
    let status = post(sender, path, body).await.unwrap();
    assert!(status.is_success(), "{status}");
}

/// Sends a body as JSON and reads the answer to its end.
pub(crate) async fn post(
    sender: &mut SendRequest<Full<Bytes>>,
    path: &str,
    body: Bytes,
) -> Result<StatusCode, hyper::Error> {
    sender.ready().await?;
    let request = Request::post(path).header("host", "127.0.0.1").header("content-type", "application/json");
    let response = sender.send_request(request.body(Full::new(body)).unwrap()).await?;
    let status = response.status();
    response.into_body().collect().await?;
    Ok(status)
}

/// The spec of a typical instance.
pub(crate) fn spec() -> Value {
    json!({
        "image": "registry.example.com:5000/team/redis:7.2.5", "replicas": 1,
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "storage": {"size": "10Gi", "storageClassName": "fast", "retention": "Retain"},
        "config": {"maxmemory": "700mb", "maxmemory-policy": "allkeys-lru", "save": "900 1 300 10", "tcp-keepalive": "60"},
        "auth": {"enabled": true}, "updatePolicy": {"config": "Auto"}})
}

/// A creation as the API server sends it, with what kubectl adds.
pub(crate) fn review() -> Vec<u8> {
    let spec = spec();
    let metadata = json!({"name": "cache", "namespace": "shop", "uid": "8d1c6a7e-0000-4000-8000-000000000001", "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": spec.to_string()},
        "managedFields": [{"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "redis.github.com/v1",
            "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {".": {}, "f:image": {}, "f:config": {}}}}]});
    let object =
        json!({"apiVersion": "redis.github.com/v1", "kind": "RedisInstance", "metadata": metadata, "spec": spec});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "CREATE", "name": "cache", "namespace": "shop",
        "kind": {"group": "redis.github.com", "version": "v1", "kind": "RedisInstance"},
        "resource": {"group": "redis.github.com", "version": "v1", "resource": "redisinstances"},
        "userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
        "object": object, "oldObject": null, "dryRun": false, "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}}})
    .to_string()
    .into_bytes()
}
