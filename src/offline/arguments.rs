//! The arguments of the commands that need no cluster.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::settings::{DEFAULT_IMAGE, image};

/// Arguments of `validate`.
#[derive(Clone, Debug, Args)]
pub struct ValidateArguments {
    /// Files to judge, or folders of .yaml, .yml and .json files; - is standard input.
    #[arg(short = 'f', long = "filename", required = true, num_args = 1.., value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Look into folders below folders too.
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// The stored objects: judge the change from those of the same name instead of a creation.
    #[arg(long, value_name = "FILE")]
    pub old: Option<PathBuf>,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Image of instances that name none: that of the operator that will run them.
    #[arg(long, env = "DEFAULT_IMAGE", default_value = DEFAULT_IMAGE, value_parser = image)]
    pub default_image: String,
}

/// What can be explained.
#[derive(Clone, Debug, Subcommand)]
pub enum Topic {
    /// A directive of spec.config: its values, and what a change of it does.
    Config(ExplainArguments),
}

/// Arguments of `explain config`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArguments {
    /// The directive, or one of its other names; left out: a list of all.
    pub directive: Option<String>,
    /// The version to explain, such as 7.2; left out: every known version.
    #[arg(long)]
    pub version: Option<String>,
    /// The server to explain; left out: both, or redis where a version is given.
    #[arg(long, value_enum)]
    pub engine: Option<Engine>,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Whose server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
}

impl Engine {
    /// As the tables name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs; docs/offline.md describes it.
    Json,
}
