//! `check-webhook`: asks each webhook as the API server would, and says what is in the way. Changes nothing.

mod call;

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::{
            MutatingWebhookConfiguration, ServiceReference, ValidatingWebhookConfiguration, WebhookClientConfig,
        },
        core::v1::Service,
    },
};
use kube::{Api, Client, Config};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use thiserror::Error;
use x509_parser::parse_x509_certificate;

use crate::{api, domain::names::OPERATOR};

/// The arguments of `check-webhook`.
#[derive(Clone, Debug, Args)]
pub struct CheckArguments {
    /// Name of both webhook configurations.
    #[arg(long, env = "WEBHOOK_CONFIGURATION", default_value = OPERATOR)]
    pub webhook_configuration: String,
    /// Dial this address instead of the Service's, as after `kubectl port-forward`.
    #[arg(long)]
    pub connect: Option<SocketAddr>,
}

/// Nothing could be checked.
#[derive(Debug, Error)]
pub enum CheckError {
    /// Neither a kubeconfig nor a ServiceAccount provides access to the API server.
    #[error("no way to the API server: {0}; set KUBECONFIG, or run in a pod with a ServiceAccount")]
    Config(#[from] Box<kube::config::InferConfigError>),
    /// The client could not be made from the configuration.
    #[error("cannot make a client for the API server: {0}")]
    Client(#[from] Box<kube::Error>),
}

/// The findings, one per line, and whether one of them is an error.
#[derive(Debug, Default)]
pub struct Report {
    /// For people.
    pub lines: Vec<String>,
    /// Whether an apply would fail, or an answer be missing.
    pub faulty: bool,
}

impl Report {
    fn good(&mut self, what: impl AsRef<str>) {
        self.lines.push(format!("  ok     {}", what.as_ref()));
    }

    fn bad(&mut self, what: impl AsRef<str>, cure: &str) {
        self.faulty = true;
        self.lines.push(format!("  FAULT  {}", what.as_ref()));
        self.lines.push(format!("         {cure}"));
    }
}

/// One webhook as its configuration has it.
struct Registered {
    name: String,
    client_config: WebhookClientConfig,
    /// The longest that the API server waits.
    timeout: Duration,
}

impl Registered {
    fn new(name: String, client_config: WebhookClientConfig, seconds: Option<i32>) -> Self {
        let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(10);
        Self { name, client_config, timeout: Duration::from_secs(seconds) }
    }
}

/// Checks both webhooks.
///
/// # Errors
/// When there is no way to the API server. What is wrong with the webhooks is in the report.
pub async fn check(arguments: &CheckArguments) -> Result<Report, CheckError> {
    let config = Config::infer().await.map_err(Box::new)?;
    let client = Client::try_from(config).map_err(Box::new)?;
    let mut report = Report::default();
    let name = &arguments.webhook_configuration;

    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let found = configurations.get_opt(name).await.map(|found| {
        let webhooks = found.map(|found| found.webhooks.unwrap_or_default().into_iter());
        webhooks.map(|all| all.map(|one| Registered::new(one.name, one.client_config, one.timeout_seconds)).collect())
    });
    configuration("MutatingWebhookConfiguration", found, arguments, &client, &mut report).await;

    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let found = configurations.get_opt(name).await.map(|found| {
        let webhooks = found.map(|found| found.webhooks.unwrap_or_default().into_iter());
        webhooks.map(|all| all.map(|one| Registered::new(one.name, one.client_config, one.timeout_seconds)).collect())
    });
    configuration("ValidatingWebhookConfiguration", found, arguments, &client, &mut report).await;
    Ok(report)
}

async fn configuration(
    kind: &str,
    found: Result<Option<Vec<Registered>>, kube::Error>,
    arguments: &CheckArguments,
    client: &Client,
    report: &mut Report,
) {
    report.lines.push(format!("{kind} {}", arguments.webhook_configuration));
    match found {
        Err(error) => report.bad(format!("cannot be read: {error}"), "run this with an account that may read it"),
        Ok(None) => report.bad(
            "does not exist: specs are stored unseen",
            "apply the manifests again; with --certificates=self-managed the operator puts it back",
        ),
        Ok(Some(webhooks)) if webhooks.is_empty() => report.bad("names no webhook", "apply the manifests again"),
        Ok(Some(webhooks)) => {
            for registered in webhooks {
                webhook(&registered, arguments, client, report).await;
            }
        }
    }
}

/// Follows one webhook from its configuration to its answer; ends at the first thing that is in the way.
async fn webhook(registered: &Registered, arguments: &CheckArguments, client: &Client, report: &mut Report) {
    let Some(roots) = trusted(registered, report) else { return };
    let Some(service) = &registered.client_config.service else {
        report.bad(format!("{}: names no Service", registered.name), "apply the manifests again");
        return;
    };
    let Some(address) = address(service, arguments, client, report).await else { return };
    let call = call::Call {
        address,
        server_name: format!("{}.{}.svc", service.name, service.namespace),
        path: service.path.clone().unwrap_or_else(|| "/".to_owned()),
        roots,
        timeout: registered.timeout,
    };
    match call.make(&format!("{}/v1", api::GROUP), api::KIND).await {
        Ok(answered) => {
            report.good(format!("{}: {} shows {}", registered.name, call.address, answered.shown));
            report.good(format!(
                "{}: answers a review in {:.1} ms",
                registered.name,
                answered.taken.as_secs_f64() * 1000.0
            ));
        }
        Err(fault) => report.bad(format!("{}: {}: {fault}", registered.name, call.address), fault.cure()),
    }
}

/// The certificates that the API server trusts for this webhook.
fn trusted(registered: &Registered, report: &mut Report) -> Option<Vec<CertificateDer<'static>>> {
    let ByteString(bundle) = registered.client_config.ca_bundle.clone().unwrap_or_default();
    let cure = "cert-manager: is the annotation cert-manager.io/inject-ca-from there, and does its CA injector run? \
                self-managed: does an operator run?";
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bundle).filter_map(Result::ok).collect();
    if certificates.is_empty() {
        let what = if bundle.is_empty() { "has no caBundle" } else { "has a caBundle that holds no certificate" };
        report.bad(format!("{}: {what}: no apply gets through", registered.name), cure);
        return None;
    }
    let now = Timestamp::now().as_second();
    let ends: Vec<i64> = certificates.iter().filter_map(|certificate| call::expiry(certificate)).collect();
    let last = ends.iter().max().copied().unwrap_or(0);
    let until = Timestamp::from_second(last).unwrap_or_default();
    let words = format!("{}: trusts {} CA certificate(s), the last until {until}", registered.name, certificates.len());
    if last > now {
        report.good(words);
    } else {
        report.bad(words, cure);
    }
    Some(certificates)
}

/// The address that the API server would connect to.
async fn address(
    service: &ServiceReference,
    arguments: &CheckArguments,
    client: &Client,
    report: &mut Report,
) -> Option<SocketAddr> {
    if let Some(address) = arguments.connect {
        return Some(address);
    }
    let name = format!("Service {} in namespace {}", service.name, service.namespace);
    let services: Api<Service> = Api::namespaced(client.clone(), &service.namespace);
    let found = match services.get_opt(&service.name).await {
        Ok(found) => found,
        Err(error) => {
            report
                .bad(format!("{name} cannot be read: {error}"), "run this with an account that may, or with --connect");
            return None;
        }
    };
    let Some(spec) = found.and_then(|found| found.spec) else {
        report.bad(format!("{name} does not exist"), "apply the manifests again");
        return None;
    };
    let port = u16::try_from(service.port.unwrap_or(443)).ok()?;
    let cluster_ip = spec.cluster_ip.as_deref().and_then(|ip| ip.parse().ok());
    let Some(ip) = cluster_ip else {
        report.bad(format!("{name} has no cluster address"), "its type must be ClusterIP");
        return None;
    };
    Some(SocketAddr::new(ip, port))
}

/// Names and end of a certificate, for people.
fn described(certificate: &CertificateDer<'_>) -> String {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
        return "a certificate that cannot be read".to_owned();
    };
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let dns = names.filter_map(|name| match name {
        x509_parser::extensions::GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    let until = Timestamp::from_second(parsed.validity().not_after.timestamp()).unwrap_or_default();
    let names: Vec<&str> = dns.collect();
    let (first, more) = (names.first().copied().unwrap_or("no name"), names.len().saturating_sub(1));
    let more = if more == 0 { String::new() } else { format!(" and {more} more name(s)") };
    format!("a certificate for {first}{more} until {until}")
}
