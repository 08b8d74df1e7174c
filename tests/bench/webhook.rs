//! Reviews sent straight to the webhooks, over TLS connections that are kept.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::TlsConnector;

use crate::{common::operator::Operator, figures};

/// How long each series runs.
const SERIES: Duration = Duration::from_secs(4);

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

    async fn connect(&self, port: u16) -> SendRequest<Full<Bytes>> {
        let config = ClientConfig::builder().with_root_certificates(self.roots.clone()).with_no_client_auth();
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::IpAddress(IpAddr::from([127, 0, 0, 1]).into());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

/// Prints the round trips of both webhooks over 1, 8 and 64 connections.
pub(crate) async fn round_trips(operator: &Operator, authority: &Authority) {
    println!("\nwebhooks, direct HTTPS with keep-alive (client on the same cores)");
    let review = review();
    println!("  review of {} bytes", review.len());
    for (path, connections) in [("/validate", 1), ("/validate", 8), ("/validate", 64), ("/mutate", 8)] {
        let before = figures::cpu_seconds(operator.id());
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let mut sender = authority.connect(operator.webhook_port).await;
            let body = Bytes::from(review.clone());
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
        let (count, seconds) = (samples.len(), begun.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let (rate, cost) =
            (count as f64 / seconds, (figures::cpu_seconds(operator.id()) - before) * 1e6 / count as f64);
        println!(
            "  {path:<9} {connections:>2} connections: {rate:>6.0}/s, {}, server CPU {cost:.0} us a review",
            figures::quantiles(samples)
        );
    }
    println!("  resident memory {:.0} MiB", figures::memory(operator.id()).0);
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, path: &str, body: Bytes) {
    sender.ready().await.unwrap();
    let request = Request::post(path).header("host", "127.0.0.1").header("content-type", "application/json");
    let response = sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
    assert!(response.status().is_success(), "{}", response.status());
    response.into_body().collect().await.unwrap();
}

/// A creation as the API server sends it, with what kubectl adds.
fn review() -> Vec<u8> {
    let spec: Value = json!({
        "image": "registry.example.com:5000/team/redis:7.2.5", "replicas": 1,
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "storage": {"size": "10Gi", "storageClassName": "fast", "retention": "Retain"},
        "config": {"maxmemory": "700mb", "maxmemory-policy": "allkeys-lru", "save": "900 1 300 10", "tcp-keepalive": "60"},
        "auth": {"enabled": true}, "updatePolicy": {"config": "Auto"}});
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
