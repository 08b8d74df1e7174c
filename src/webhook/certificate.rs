//! The serving certificate: read from two PEM files, validated as a pair, replaced without a restart. Independent of
//! its issuer; never logs the contents of the key file.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use axum_server::tls_rustls::RustlsConfig;
use jiff::Timestamp;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use x509_parser::parse_x509_certificate;

use crate::{health::Health, metrics::WebhookMetrics};

/// Interval between two reads of the files. 10 s: well within the time between a renewal and the expiry of the old
/// certificate.
pub const POLL_PERIOD: Duration = Duration::from_secs(10);

/// The two PEM files of a serving certificate, as a `kubernetes.io/tls` Secret is mounted.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The chain: the leaf first, then its issuers.
    pub certificate: PathBuf,
    /// The leaf's private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Why a pair of files cannot be served. No variant quotes a file: PEM errors may contain a line of the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file is absent or may not be read.
    #[error("cannot read {path}: {source}; mount the Secret that holds it, or wait for its issue")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The chain is empty or cut short.
    #[error("{path} holds no complete PEM certificate; it needs the leaf first, then its issuers")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key file is empty, cut short or of another kind.
    #[error("{path} holds no complete PEM private key; it needs one in PKCS#8, PKCS#1 or SEC1 form")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Each file is whole, but together they do not serve.
    #[error("{certificate} and {key} are not a pair: {source}; issue the certificate again")]
    NotAPair {
        /// The chain's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The error of rustls, usually that the key does not match the leaf.
        source: rustls::Error,
    },
}

/// The certificate that new connections are shown.
#[derive(Clone)]
pub struct ServingCertificate {
    files: CertificateFiles,
    tls: RustlsConfig,
    content: String,
    metrics: WebhookMetrics,
    health: Health,
}

impl ServingCertificate {
    /// Reads and checks both files once.
    ///
    /// # Errors
    /// [`CertificateError`] names the file at fault and what to do about it.
    pub async fn load(
        files: CertificateFiles,
        metrics: WebhookMetrics,
        health: Health,
    ) -> Result<Self, CertificateError> {
        let pair = Pair::read(&files).await?;
        let (config, leaf) = pair.check(&files)?;
        leaf.announce(&files, &metrics, &health, "serving certificate loaded");
        Ok(Self { files, tls: RustlsConfig::from_config(config), content: pair.digest(), metrics, health })
    }

    /// Tries [`load`](Self::load) every `period` until it succeeds, and logs each distinct reason once. `None` when
    /// `shutdown` came first.
    pub async fn wait_for(
        files: CertificateFiles,
        period: Duration,
        metrics: WebhookMetrics,
        health: Health,
        shutdown: CancellationToken,
    ) -> Option<Self> {
        let mut ticks = every(period);
        let mut logged = String::new();
        loop {
            match Self::load(files.clone(), metrics.clone(), health.clone()).await {
                Ok(certificate) => return Some(certificate),
                Err(error) => {
                    let reason = error.to_string();
                    if reason != logged {
                        tracing::warn!(%reason, "waiting for the serving certificate");
                        logged = reason;
                    }
                }
            }
            shutdown.run_until_cancelled(ticks.tick()).await?;
        }
    }

    /// Follows the files until `shutdown`: a new pair is shown to the connections made from then on, open ones stay as
    /// they are. A pair that does not serve leaves the old one in place and is logged once; the next poll reads again.
    ///
    /// The files are compared by content, because a Secret volume is renewed by swapping the `..data` symlink above
    /// them: a watch on the files themselves never sees that.
    pub async fn watch(&self, period: Duration, shutdown: CancellationToken) {
        let mut ticks = every(period);
        let mut seen = self.content.clone();
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let content = content_of(&Pair::read(&self.files).await);
            if content == seen {
                continue;
            }
            // If the files are swapped between the two reads, certificate and key do not match; a second read decides.
            let pair = Pair::read(&self.files).await;
            if content_of(&pair) != content {
                continue;
            }
            seen = content;
            match pair.and_then(|pair| pair.check(&self.files)) {
                Ok((config, leaf)) => {
                    self.tls.reload_from_config(config);
                    leaf.announce(&self.files, &self.metrics, &self.health, "serving certificate reloaded");
                }
                Err(error) => {
                    self.metrics.certificate_refused();
                    tracing::warn!(%error, "new serving certificate refused; the old one stays");
                }
            }
        }
    }

    /// The live TLS settings, which follow every reload.
    pub(crate) fn tls(&self) -> RustlsConfig {
        self.tls.clone()
    }
}

/// Ticks every `period`, the first time after one period. Reads that take longer delay the next, and never bunch up.
fn every(period: Duration) -> Interval {
    // A period of zero would panic.
    let period = period.max(Duration::from_millis(1));
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The result of a poll, for comparison with the next: a digest, or the error.
fn content_of(pair: &Result<Pair, CertificateError>) -> String {
    pair.as_ref().map_or_else(ToString::to_string, Pair::digest)
}

/// The bytes of both files as they were read, possibly from two different issues.
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    async fn read(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let read = async |path: &PathBuf| {
            tokio::fs::read(path).await.map_err(|source| CertificateError::Unreadable { path: path.clone(), source })
        };
        Ok(Self { certificate: read(&files.certificate).await?, key: read(&files.key).await? })
    }

    /// Stands for the content in comparisons, so that no second copy of the key is kept.
    fn digest(&self) -> String {
        let each = [&self.certificate, &self.key].map(|bytes| hex(&Sha256::digest(bytes)));
        each.concat()
    }

    /// The TLS settings of this pair, and what is known of the leaf.
    fn check(&self, files: &CertificateFiles) -> Result<(Arc<ServerConfig>, Leaf), CertificateError> {
        let chain =
            CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>().unwrap_or_default();
        let Some(leaf) = chain.first() else {
            return Err(CertificateError::NoCertificate { path: files.certificate.clone() });
        };
        let leaf = Leaf::read(leaf);
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| CertificateError::NoKey { path: files.key.clone() })?;
        let config = server_config(chain, key).map_err(|source| CertificateError::NotAPair {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            source,
        })?;
        Ok((Arc::new(config), leaf))
    }
}

/// The reported details of the serving certificate.
struct Leaf {
    /// SHA-256, in hex.
    fingerprint: String,
    /// The end of its validity in Unix time, if it can be read: whether the certificate is any good is for its reader.
    expiry: Option<i64>,
}

impl Leaf {
    fn read(leaf: &CertificateDer<'_>) -> Self {
        let parsed = parse_x509_certificate(leaf).ok();
        let expiry = parsed.map(|(_, certificate)| certificate.validity().not_after.timestamp());
        Self { fingerprint: hex(&Sha256::digest(leaf)), expiry }
    }

    fn announce(&self, files: &CertificateFiles, metrics: &WebhookMetrics, health: &Health, message: &str) {
        health.certificate_loaded(self.expiry);
        if let Some(expiry) = self.expiry {
            metrics.certificate_loaded(expiry);
        }
        let expires = self.expiry.and_then(|expiry| Timestamp::from_second(expiry).ok()).map(tracing::field::display);
        tracing::info!(certificate = %files.certificate.display(), leaf = self.fingerprint, expires, "{message}");
    }
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    // The provider is named here so that serving does not depend on what main installed for the process.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // HTTP/1.1 only: an admission call gains nothing from streams, and HTTP/2 lets one connection open and reset them
    // faster than they can be counted (CVE-2023-44487), which is why Kubernetes' own webhooks turn it off too.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    let digits = |byte: &u8| [digit(byte >> 4), digit(byte & 0xf)];
    bytes.iter().flat_map(digits).collect()
}
