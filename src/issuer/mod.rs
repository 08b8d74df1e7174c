//! The operator as its own CA: keeps a CA and a leaf in one Secret, writes the leaf into the files that the webhooks serve
//! from, and has the API server trust the CA. Several operators do this at once; the Secret makes them agree.

mod authority;
mod bundle;
mod trust;

use std::{
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, api::PostParams};
use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use self::authority::AuthorityError;
use self::{
    authority::Pair,
    bundle::{Bundle, Renewal},
    trust::Trust,
};
use crate::{build::webhooks::Webhooks, domain::names::OPERATOR};

/// Interval between two reads of the Secret: it is not watched, so that the operator needs no permission to list
/// Secrets.
const PERIOD: Duration = Duration::from_secs(10);
/// Minimum time between two passes, regardless of watch events: another controller may keep overwriting the caBundle.
const PAUSE: Duration = Duration::from_secs(1);
/// Time between writing a new CA into the webhook configurations and serving its leaf: by then every API server has
/// received it.
const SETTLED: Duration = Duration::from_secs(5);
/// Annotation of a Secret that cert-manager manages.
const FOREIGN: &str = "cert-manager.io/certificate-name";

/// Why the certificates could not be maintained. The operation is retried.
#[derive(Debug, Error)]
pub enum IssuerError {
    /// A certificate could not be created.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A request was refused or not answered.
    #[error("cannot {verb} {kind}: {source}")]
    Request {
        /// The verb of the request.
        verb: &'static str,
        /// The kind of the object.
        kind: String,
        /// The error of the request.
        source: Box<kube::Error>,
    },
    /// Conflict: the Secret was changed after it was read.
    #[error("another operator wrote {0} at the same time")]
    Overtaken(String),
    /// An object cannot be converted to JSON, which is a defect of this program.
    #[error("cannot write the certificates as JSON: {0}")]
    Json(serde_json::Error),
    /// cert-manager manages the Secret.
    #[error(
        "{0} is kept by cert-manager; start the operator with --certificates=provided, or take cert-manager's annotation off"
    )]
    Foreign(String),
    /// The files cannot be written.
    #[error("cannot write {path}: {source}; mount a folder there that the operator may write to, such as an emptyDir")]
    Files {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

impl IssuerError {
    fn request(verb: &'static str, kind: &str) -> impl FnOnce(kube::Error) -> Self + use<> {
        let kind = kind.to_owned();
        move |source| match source {
            // 422: the object has changed since the patch was computed.
            kube::Error::Api(status)
                if status.code == 409 || (verb != "create" && matches!(status.code, 404 | 422)) =>
            {
                Self::Overtaken(kind)
            }
            source => Self::Request { verb, kind, source: Box::new(source) },
        }
    }
}

/// The configuration of the issuer.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// The webhooks; the certificate is issued for their Service.
    pub webhooks: Webhooks,
    /// Name of the Secret, in the operator's namespace.
    pub secret: String,
    /// Folder for tls.crt and tls.key.
    pub folder: PathBuf,
}

/// Issues and renews the certificates of the webhooks.
pub struct Issuer {
    secrets: Api<Secret>,
    settings: IssuerSettings,
    names: Vec<String>,
    trust: Trust,
    /// The CA whose leaves the API server trusts, and since when.
    trusted: Option<(String, Instant)>,
    installed: Option<Pair>,
    last_logged: String,
}

impl Issuer {
    /// An issuer in its initial state.
    #[must_use]
    pub fn new(client: Client, settings: IssuerSettings) -> Self {
        let Webhooks { namespace, service, .. } = &settings.webhooks;
        // The API server asks for NAME.NAMESPACE.svc; the others are for people with a client of their own.
        let names = vec![
            format!("{service}.{namespace}.svc"),
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc.cluster.local"),
        ];
        let trust = Trust::new(client.clone(), settings.webhooks.clone());
        let secrets = Api::namespaced(client, namespace);
        Self { secrets, names, trust, settings, trusted: None, installed: None, last_logged: String::new() }
    }

    /// Runs until `shutdown`. Failures are retried; meanwhile the webhooks serve the present certificate.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut shown = std::pin::pin!(self.trust.watch());
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
                Some(event) = shown.next() => self.trust.see(event),
            }
            // Pending events are processed before any action is taken.
            while let Some(Some(event)) = futures::FutureExt::now_or_never(shown.next()) {
                self.trust.see(event);
            }
            if !self.trust.is_known() {
                continue;
            }
            let begun = Instant::now();
            match self.pass(Timestamp::now()).await {
                Ok(()) => self.last_logged.clear(),
                Err(IssuerError::Overtaken(what)) => {
                    tracing::debug!(what, "another operator was faster");
                    ticks.reset_after(PAUSE);
                }
                Err(error) => self.tell(&error),
            }
            if self.awaits_trust() {
                ticks.reset_after(SETTLED);
            }
            shutdown.run_until_cancelled(tokio::time::sleep_until(begun + PAUSE)).await;
        }
    }

    /// Reads the Secret, renews what has to be renewed, makes the API server trust it, and only then serves it.
    async fn pass(&mut self, now: Timestamp) -> Result<(), IssuerError> {
        let name = self.settings.secret.clone();
        let stored = self.secrets.get_opt(&name).await.map_err(IssuerError::request("read", "Secret"))?;
        if stored.as_ref().is_some_and(|secret| secret.annotations().contains_key(FOREIGN)) {
            return Err(IssuerError::Foreign(format!("Secret {name}")));
        }
        let mut bundle = Bundle::read(stored.as_ref());
        let renewal = bundle.judge(&self.names, now);
        if renewal != Renewal::None {
            bundle = bundle.renewed(renewal, &self.trust.present(), &self.names, now)?;
            self.store(stored, &bundle).await?;
            tracing::info!(secret = name, ?renewal, "renewed the webhooks' certificate");
        }
        self.trust.ensure(&bundle.trusted()).await?;
        let at = Instant::now();
        let since = match &self.trusted {
            Some((authority, since)) if authority == bundle.authority() => *since,
            _ => at,
        };
        self.trusted = Some((bundle.authority().to_owned(), since));
        // Without a file the webhooks serve no certificate, so there is nothing to wait for.
        if self.installed.is_none() || at.duration_since(since) >= SETTLED {
            self.install(bundle.leaf()).await?;
        }
        Ok(())
    }

    /// Whether a leaf waits for the API servers to trust its CA.
    fn awaits_trust(&self) -> bool {
        self.trusted.as_ref().is_some_and(|(_, since)| since.elapsed() < SETTLED) && self.installed.is_some()
    }

    /// Writes conditionally: of two concurrent writes one fails with a conflict, and that operator then reads the
    /// result of the other.
    async fn store(&self, stored: Option<Secret>, bundle: &Bundle) -> Result<(), IssuerError> {
        let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        if let Some(secret) = stored {
            let secret = Secret { data: Some(bundle.data()), ..secret };
            let written = self.secrets.replace(&self.settings.secret, &params, &secret).await;
            written.map_err(IssuerError::request("update", "Secret"))?;
            return Ok(());
        }
        let created = self.secrets.create(&params, &bundle.secret(&self.settings.secret)).await;
        created.map_err(IssuerError::request("create", "Secret"))?;
        Ok(())
    }

    /// Writes the files that the webhooks serve, if they differ.
    async fn install(&mut self, leaf: &Pair) -> Result<(), IssuerError> {
        if self.installed.as_ref() == Some(leaf) {
            return Ok(());
        }
        let (folder, files) = (self.settings.folder.clone(), leaf.clone());
        let written = tokio::task::spawn_blocking(move || {
            write(&folder.join("tls.key"), &files.key)?;
            write(&folder.join("tls.crt"), &files.chain)
        });
        match written.await {
            Ok(outcome) => outcome?,
            Err(error) => {
                let path = self.settings.folder.clone();
                return Err(IssuerError::Files { path, source: io::Error::other(error) });
            }
        }
        self.installed = Some(leaf.clone());
        Ok(())
    }

    /// Logs each distinct failure once.
    fn tell(&mut self, error: &IssuerError) {
        let words = error.to_string();
        if words != self.last_logged {
            tracing::warn!(error = words, "cannot keep the webhooks' certificate in order; trying again");
            self.last_logged = words;
        }
    }
}

/// Replaces a file atomically: a reader sees the old text or the new one. Only the owner may read it.
fn write(path: &Path, text: &str) -> Result<(), IssuerError> {
    let failed = |source| IssuerError::Files { path: path.to_owned(), source };
    let fresh = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(failed)?;
    io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)
}
