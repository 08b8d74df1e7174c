//! Log output: structured, to standard output, one line an event.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::settings::{LogFormat, RunSettings};

/// Sets up the log output of the process.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(settings: &RunSettings) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(&settings.log_filter)?;
    let colour = std::io::stdout().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_ansi(colour);
    match settings.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).init(),
        LogFormat::Text => lines.init(),
    }
    Ok(())
}
