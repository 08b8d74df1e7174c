//! The process' settings, from flags and environment, checked before anything starts.

use std::{net::SocketAddr, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::{
    check::CheckArguments,
    domain::{image::ImageReference, names::OPERATOR, syntax},
    offline::arguments::{Topic, ValidateArguments},
};

/// Default image of instances, unless `--default-image` is set.
pub const DEFAULT_IMAGE: &str = "redis:7.4.10";

/// Serves the admission webhooks of RedisInstance and keeps every instance as its spec says.
#[derive(Debug, Parser)]
#[command(name = "redis-operator", version)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the process is asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator: webhooks and reconcile loop.
    Run(Box<RunSettings>),
    /// Judge every `RedisInstance` in files as admission would, without a cluster.
    ///
    /// Exit code 0: nothing is refused. 1: something is refused. 2: something could not be read, so not everything was
    /// judged.
    Validate(ValidateArguments),
    /// Ask the webhooks as the API server would, and say what is in the way.
    ///
    /// Exit code 0: both answer. 1: something is wrong.
    CheckWebhook(CheckArguments),
    /// Explain what can be set.
    #[command(subcommand)]
    Explain(Topic),
    /// Print the reference of directives as Markdown.
    Directives,
    /// Print the reference of fields as Markdown.
    Fields,
    /// Print the CustomResourceDefinition as YAML.
    Crd,
    /// Print what the operator may do, as YAML.
    Rbac,
    /// Print the operator's permissions with their purpose, as Markdown.
    Permissions,
    /// Print the webhook configurations as YAML.
    Webhooks,
}

/// Settings of the running operator.
#[derive(Clone, Debug, Args)]
pub struct RunSettings {
    /// Address of the webhooks (HTTPS).
    #[arg(long, env = "WEBHOOK_ADDRESS", default_value = "0.0.0.0:9443")]
    pub webhook_address: SocketAddr,
    /// Address of /livez, /readyz and /metrics (HTTP).
    #[arg(long, env = "ADMIN_ADDRESS", default_value = "0.0.0.0:8081")]
    pub admin_address: SocketAddr,
    /// Folder with tls.crt and tls.key, as a Secret of type kubernetes.io/tls is mounted.
    #[arg(long, env = "CERTIFICATE_DIR", default_value = "/etc/webhook-certs")]
    pub certificate_dir: PathBuf,
    /// Where the webhooks' certificate comes from.
    #[arg(long, env = "CERTIFICATES", value_enum, default_value_t = Certificates::Provided)]
    pub certificates: Certificates,
    /// Secret of the operator's namespace that holds the self-managed CA and certificate.
    #[arg(long, env = "CERTIFICATE_SECRET", default_value = "redis-operator-webhook-cert")]
    pub certificate_secret: String,
    /// Service that leads to the webhooks; the self-managed certificate is for its name.
    #[arg(long, env = "WEBHOOK_SERVICE", default_value = "redis-operator-webhook")]
    pub webhook_service: String,
    /// Name of both webhook configurations, whose caBundle is kept when certificates are self-managed.
    #[arg(long, env = "WEBHOOK_CONFIGURATION", default_value = OPERATOR)]
    pub webhook_configuration: String,
    /// Namespaces whose instances are reconciled, separated by commas; none: all.
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',', value_parser = namespace)]
    pub watch_namespaces: Vec<String>,
    /// Whether only the holder of a Lease reconciles; false is for a process that is certainly alone.
    #[arg(long, env = "LEADER_ELECTION", default_value_t = true, action = ArgAction::Set)]
    pub leader_election: bool,
    /// Name of the Lease, in the operator's namespace.
    #[arg(long, env = "LEASE", default_value = OPERATOR)]
    pub lease: String,
    /// Whether /metrics shows how each Redis fares too: memory, clients, role. As many series as there are pods, with their
    /// names.
    #[arg(long, env = "REDIS_METRICS")]
    pub redis_metrics: bool,
    /// Namespace of the operator. Default: that of its ServiceAccount, or of the kubeconfig.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: Option<String>,
    /// Name of this process in the Lease. Default: a random one.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,
    /// Image of instances that name none.
    #[arg(long, env = "DEFAULT_IMAGE", default_value = DEFAULT_IMAGE, value_parser = image)]
    pub default_image: String,
    /// Form of the log lines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// Which log lines are written, as tracing's EnvFilter reads it.
    #[arg(long, env = "LOG_FILTER", default_value = "info")]
    pub log_filter: String,
}

impl RunSettings {
    /// The namespaces whose instances are reconciled; empty for all.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        self.watch_namespaces.iter().filter(|name| !name.is_empty()).cloned().collect()
    }
}

/// Where the webhooks' certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Certificates {
    /// Another controller, such as cert-manager, puts the files into the folder and their CA into the webhook
    /// configurations.
    Provided,
    /// The operator is its own CA: it makes and renews the certificate, writes the files, and keeps the CA and the webhook
    /// configurations in place.
    SelfManaged,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For reading in a terminal.
    Text,
}

/// A name that no namespace has would be watched in vain.
///
/// # Errors
/// What is wrong with it.
pub fn namespace(text: &str) -> Result<String, String> {
    // An environment variable that is set to nothing.
    let fault = (!text.is_empty()).then(|| syntax::namespace_fault(text)).flatten();
    fault.map_or_else(|| Ok(text.to_owned()), Err)
}

/// Instances get this image unseen, so a bad one is refused here.
///
/// # Errors
/// What is wrong with it.
pub fn image(text: &str) -> Result<String, String> {
    ImageReference::parse(text).map(|image| image.as_str().to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(argument: &str) -> Result<Vec<String>, String> {
        match CommandLine::try_parse_from(["redis-operator", "run", argument])
            .map_err(|error| error.to_string())?
            .command
        {
            Command::Run(settings) => Ok(settings.namespaces()),
            _ => unreachable!(),
        }
    }

    #[test]
    fn namespaces_are_names_and_none_means_all() {
        assert_eq!(watched("--watch-namespaces=shop,billing").unwrap(), ["shop", "billing"]);
        assert!(watched("--watch-namespaces=").unwrap().is_empty());
        assert!(watched("--watch-namespaces=Shop").unwrap_err().contains("lowercase RFC 1123 label"));
    }
}
