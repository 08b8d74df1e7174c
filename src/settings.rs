//! The process' settings, from flags and environment, checked before anything starts.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    domain::image::ImageReference,
    offline::arguments::{Topic, ValidateArguments},
};

/// Image of instances that name none, unless the operator is told another.
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
    Run(RunSettings),
    /// Judge every `RedisInstance` in files as admission would, without a cluster.
    ///
    /// Exit code 0: nothing is refused. 1: something is refused. 2: something could not be read, so not everything was
    /// judged.
    Validate(ValidateArguments),
    /// Explain what can be set.
    #[command(subcommand)]
    Explain(Topic),
    /// Print the reference of directives as Markdown.
    Directives,
    /// Print the CustomResourceDefinition as YAML.
    Crd,
    /// Print the ClusterRole as YAML.
    Rbac,
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

/// Form of the log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For reading in a terminal.
    Text,
}

/// Instances get this image unseen, so a bad one is refused here.
///
/// # Errors
/// What is wrong with it.
pub fn image(text: &str) -> Result<String, String> {
    ImageReference::parse(text).map(|image| image.as_str().to_owned()).map_err(|error| error.to_string())
}
