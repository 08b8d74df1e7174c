//! Two operators of one namespace with their own CA, and a client that calls their webhooks all the time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        core::v1::Secret,
    },
};
use kube::api::{DeleteParams, Patch, PatchParams};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::json;
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::TlsConnector;

use super::{NAME, SECRET, arguments, delete, trusted};
use crate::common::{
    account::admit,
    cluster::{Place, eventually},
    manifests::define,
    operator::{Launch, Operator},
};

/// Two operators of one namespace, and a caller.
pub(super) struct Fixture {
    pub(super) home: Place,
    pub(super) operators: [Operator; 2],
    other: Place,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let (home, other) = (Place::new("home").await, Place::new("other").await);
        define(&home).await;
        // Left by an earlier run that was interrupted, they would belong to another namespace.
        for kind in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
            let request = kube::core::Request::new(format!("/apis/admissionregistration.k8s.io/v1/{kind}"));
            let request = request.delete(NAME, &DeleteParams::default()).unwrap();
            drop(home.client.request_text(request).await);
        }
        admit(&home, &home).await;
        admit(&other, &home).await;
        let launch = || Launch { arguments: arguments(&home), ..Launch::default() };
        let operators = tokio::join!(Operator::launch(&home, launch()), Operator::launch(&other, launch()));
        Self { operators: [operators.0, operators.1], home, other }
    }

    async fn secret(&self) -> Option<Secret> {
        self.home.api::<Secret>().get_opt(SECRET).await.unwrap()
    }

    /// What a part of the Secret holds, as text.
    pub(super) async fn text(&self, key: &str) -> Option<String> {
        let secret = self.secret().await?;
        Some(String::from_utf8(secret.data?.get(key)?.0.clone()).unwrap())
    }

    pub(super) async fn write(&self, parts: &[(&str, &str)]) {
        let data: std::collections::BTreeMap<_, _> =
            parts.iter().map(|(key, text)| (*key, ByteString(text.as_bytes().to_vec()))).collect();
        let patch = Patch::Merge(json!({ "data": data }));
        self.home.api::<Secret>().patch(SECRET, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until both operators show this certificate to a client that trusts the webhook configurations.
    pub(super) async fn both_show(&self, chain: &str) {
        let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
        for operator in &self.operators {
            eventually("the new certificate at each operator", || async {
                (call(&self.home, operator.webhook_port).await.ok()? == leaf).then_some(())
            })
            .await;
        }
    }

    pub(super) async fn leave(self) {
        let Self { home, operators, other } = self;
        drop(operators);
        delete::<MutatingWebhookConfiguration>(&home).await;
        delete::<ValidatingWebhookConfiguration>(&home).await;
        home.leave().await;
        other.leave().await;
    }
}

/// Opens a connection as the API server would, and gives back the certificate that was shown.
async fn call(place: &Place, port: u16) -> Result<CertificateDer<'static>, String> {
    let bundle = trusted(place).await.ok_or("no webhook configuration, or no caBundle")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()).filter_map(Result::ok) {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = format!("redis-operator-webhook.{}.svc", place.namespace);
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    let tls = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name).unwrap(), stream).await;
    let tls = tls.map_err(|error| error.to_string())?;
    Ok(tls.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned())
}

/// A client that calls both operators again and again, and counts.
pub(super) struct Caller {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    work: JoinHandle<Vec<String>>,
}

impl Caller {
    pub(super) fn begin(fixture: &Fixture) -> Self {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&calls));
        let place = Place { client: fixture.home.client.clone(), namespace: fixture.home.namespace.clone() };
        let ports = fixture.operators.each_ref().map(|operator| operator.webhook_port);
        let work = tokio::spawn(async move {
            let mut failures = Vec::new();
            let mut beat = tokio::time::interval(Duration::from_millis(20));
            while !stopped.load(Ordering::Relaxed) {
                for port in ports {
                    counted.fetch_add(1, Ordering::Relaxed);
                    failures.extend(call(&place, port).await.err());
                }
                beat.tick().await;
            }
            failures
        });
        Self { stop, calls, work }
    }

    /// What failed of all calls.
    pub(super) async fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.work.await.unwrap();
        eprintln!("{} calls, {} failed", self.calls.load(Ordering::Relaxed), failures.len());
        failures
    }
}
