//! One call of a webhook, as the API server makes it: connect, TLS, a review, an answer. It must not know configurations.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1::handshake, header};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use x509_parser::parse_x509_certificate;

use super::described;

/// The uid that the review is asked with, and must be answered with.
const UID: &str = "00000000-0000-0000-0000-00000000c4ec";

/// The target of the call, and the CA to trust.
pub(super) struct Call {
    pub(super) address: SocketAddr,
    pub(super) server_name: String,
    pub(super) path: String,
    pub(super) roots: Vec<CertificateDer<'static>>,
    /// For each step.
    pub(super) timeout: Duration,
}

/// A call that was answered well.
#[derive(Debug)]
pub(super) struct Answered {
    /// The certificate that was shown, for people.
    pub(super) shown: String,
    /// From the review to its answer.
    pub(super) taken: Duration,
}

/// The cause of a failed call.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("the connection is not accepted: {0}")]
    Unconnected(String),
    #[error("the caBundle holds what is no CA: {0}")]
    Roots(String),
    #[error("shows {shown}, which is not trusted: {why}")]
    Untrusted { shown: String, why: String },
    #[error("no TLS: {0}")]
    Tls(String),
    #[error("no answer to a review: {0}")]
    Silent(String),
    #[error("a wrong answer to a review: {0}")]
    Wrong(String),
}

impl Fault {
    /// The suggested remedy.
    pub(super) const fn cure(&self) -> &'static str {
        match self {
            Self::Unconnected(_) => {
                "is a pod of the operator ready (kubectl get pods), and may the control plane reach it (network policy, firewall on port 9443)?"
            }
            Self::Roots(_) | Self::Untrusted { .. } => {
                "the caBundle and the served certificate are of different issues, or one has run out: see the operator's log and metric redis_operator_certificate_expiry_timestamp_seconds"
            }
            Self::Tls(_) | Self::Silent(_) | Self::Wrong(_) => "is it the operator that answers there? see its log",
        }
    }
}

impl Call {
    /// Connects, checks the certificate, and asks about an object of this kind.
    pub(super) async fn make(&self, api_version: &str, kind: &str) -> Result<Answered, Fault> {
        let connecting = timeout(self.timeout, TcpStream::connect(self.address)).await;
        let stream = match connecting {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Fault::Unconnected(error.to_string())),
            Err(_) => return Err(Fault::Unconnected(format!("no answer within {} s", self.timeout.as_secs()))),
        };
        let seen = Arc::new(Seen::new(&self.roots)?);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Fault::Tls(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(self.server_name.clone()).map_err(|error| Fault::Tls(error.to_string()))?;
        let shaking = timeout(self.timeout, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
        let shown = seen.shown();
        let tls = match (shaking, &shown) {
            (Ok(Ok(tls)), _) => tls,
            (Ok(Err(error)), Some(shown)) => {
                return Err(Fault::Untrusted { shown: shown.clone(), why: error.to_string() });
            }
            (Ok(Err(error)), None) => return Err(Fault::Tls(error.to_string())),
            (Err(_), _) => return Err(Fault::Tls(format!("no answer within {} s", self.timeout.as_secs()))),
        };
        let begun = Instant::now();
        let answering = async {
            let (mut sender, connection) = handshake(TokioIo::new(tls)).await?;
            let request = Request::post(&self.path)
                .header(header::HOST, &self.server_name)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from(review(api_version, kind).to_string())));
            let Ok(request) = request else { return Ok((StatusCode::BAD_REQUEST, Bytes::new())) };
            let answering = async {
                let answer = sender.send_request(request).await?;
                let status = answer.status();
                Ok((status, answer.into_body().collect().await?.to_bytes()))
            };
            tokio::select! {
                answer = answering => answer,
                ended = connection => Err(ended.err().map_or_else(|| hyper_closed(), Into::into)),
            }
        };
        let answer: Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> =
            match timeout(self.timeout, answering).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("none within {} s", self.timeout.as_secs()).into()),
            };
        let (status, body) = answer.map_err(|error| Fault::Silent(error.to_string()))?;
        judged(status, &body)?;
        Ok(Answered { shown: shown.unwrap_or_default(), taken: begun.elapsed() })
    }
}

fn hyper_closed() -> Box<dyn std::error::Error + Send + Sync> {
    "the connection was closed".into()
}

/// A review of a legal object at its creation, marked as dry-run so that it has no effect.
fn review(api_version: &str, kind: &str) -> Value {
    let (group, version) = api_version.split_once('/').unwrap_or_default();
    let gvk = json!({"group": group, "version": version, "kind": kind});
    let resource = json!({"group": group, "version": version, "resource": "redisinstances"});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": UID, "kind": gvk, "resource": resource, "requestKind": gvk, "requestResource": resource,
        "name": "check-webhook", "namespace": "default", "operation": "CREATE", "userInfo": {"username": "check-webhook"},
        "object": {"apiVersion": api_version, "kind": kind, "metadata": {"name": "check-webhook", "namespace": "default"},
            "spec": {}},
        "oldObject": null, "dryRun": true, "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"}}})
}

/// Whether this is what an API server takes for "allowed".
fn judged(status: StatusCode, body: &[u8]) -> Result<(), Fault> {
    let words = || String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(200).collect::<String>();
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let response = answer.get("response");
    let is = |key: &str, value: &Value| response.and_then(|response| response.get(key)) == Some(value);
    if status == StatusCode::OK && is("uid", &UID.into()) && is("allowed", &true.into()) {
        Ok(())
    } else {
        Err(Fault::Wrong(format!("HTTP {status}: {}", words())))
    }
}

/// Expiry of a certificate, in Unix time.
pub(super) fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

/// Verifies as rustls does, and remembers what was shown: for one who looks for the fault that is half of it.
#[derive(Debug)]
struct Seen {
    verifier: Arc<WebPkiServerVerifier>,
    shown: std::sync::Mutex<Option<String>>,
}

impl Seen {
    fn new(roots: &[CertificateDer<'static>]) -> Result<Self, Fault> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.clone()).map_err(|error| Fault::Roots(error.to_string()))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build();
        let verifier = verifier.map_err(|error| Fault::Roots(error.to_string()))?;
        Ok(Self { verifier, shown: std::sync::Mutex::default() })
    }

    fn shown(&self) -> Option<String> {
        self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(described(leaf));
        self.verifier.verify_server_cert(leaf, issuers, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_to_this_very_review_is_one() {
        let answer = |uid: &str, allowed: bool| json!({"response": {"uid": uid, "allowed": allowed}}).to_string();
        judged(StatusCode::OK, answer(UID, true).as_bytes()).unwrap();
        for (status, body) in [
            (StatusCode::OK, answer("other", true)),
            (StatusCode::OK, answer(UID, false)),
            (StatusCode::NOT_FOUND, answer(UID, true)),
            (StatusCode::OK, "hello\nworld".to_owned()),
        ] {
            let fault = judged(status, body.as_bytes()).unwrap_err().to_string();
            assert!(fault.starts_with("a wrong answer to a review: HTTP") && !fault.contains('\n'), "{fault}");
        }
    }

    #[test]
    fn the_review_is_of_an_object_that_is_allowed() {
        let review = review("redis.github.com/v1", "RedisInstance");
        assert_eq!(review.pointer("/request/kind/kind"), Some(&json!("RedisInstance")));
        assert_eq!(review.pointer("/request/resource/version"), Some(&json!("v1")));
    }
}
