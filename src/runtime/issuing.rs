//! Configures the issuer if the operator is its own CA. Independent of how certificates are created.

use kube::Config;
use tokio_util::sync::CancellationToken;

use super::RuntimeError;
use crate::{
    build::webhooks::Webhooks,
    client::{self, Pulse},
    health::Health,
    issuer::{Issuer, IssuerSettings},
    lease::Leadership,
    metrics::Metrics,
    settings::{Certificates, RunSettings},
};

/// Renews the certificates until `shutdown`, if the operator issues them itself. Standbys do so too, because their
/// webhooks also serve requests.
pub(super) async fn issue(
    settings: RunSettings,
    metrics: &Metrics,
    shutdown: CancellationToken,
) -> Result<(), RuntimeError> {
    if settings.certificates == Certificates::Provided {
        shutdown.cancelled().await;
        return Ok(());
    }
    let config = Config::infer().await.map_err(Box::new)?;
    let only = settings.namespaces();
    let namespace = settings.namespace.unwrap_or_else(|| config.default_namespace.clone());
    // Its watches are no sign of life of the reconcile loop.
    let pulse = Pulse::new(Health::new(std::time::Instant::now()));
    let client = client::connect(config, metrics.requests.clone(), pulse, Leadership::alone()).map_err(Box::new)?;
    let webhooks =
        Webhooks { name: settings.webhook_configuration, namespace, service: settings.webhook_service, only };
    let (secret, folder) = (settings.certificate_secret, settings.certificate_dir);
    Issuer::new(client, IssuerSettings { webhooks, secret, folder }).run(shutdown).await;
    Ok(())
}
