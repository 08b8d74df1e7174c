//! Log output: structured, to standard output, one line an event. What libraries say of requests is left to those of ours
//! who asked, and what quotes whole answers of the API server is never written, whatever the filter says.

use std::io::{self, IsTerminal};

use tracing::{Dispatch, Level, Metadata};
use tracing_subscriber::{
    EnvFilter,
    filter::{ParseError, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::settings::{LogFormat, RunSettings};

/// Sets up the log output of the process.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(settings: &RunSettings) -> Result<(), ParseError> {
    let colour = io::stdout().is_terminal();
    output(settings.log_format, &settings.log_filter, colour, io::stdout).map(SubscriberInitExt::init)
}

fn output<W>(format: LogFormat, filter: &str, colour: bool, writer: W) -> Result<Dispatch, ParseError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter)?;
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_ansi(colour).with_writer(writer);
    let worth = filter_fn(is_worth_a_line);
    Ok(match format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(true).with_span_list(false);
            lines.finish().with(worth).into()
        }
        LogFormat::Text => lines.finish().with(worth).into(),
    })
}

fn is_worth_a_line(metadata: &Metadata<'_>) -> bool {
    match metadata.target() {
        // An answer that cannot be read is quoted here as it came, and it may be a Secret.
        "kube_client::client" => false,
        // Every failed request, without the object it was for; who asked says it again.
        "kube_client::client::builder" => *metadata.level() != Level::ERROR,
        // The span that kube puts around a reconcile; ours says more.
        "kube_runtime::controller" => !metadata.is_span(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, events: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        tracing::dispatcher::with_default(&output(format, filter, false, move || writer.clone()).unwrap(), events);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_json_object_with_its_span() {
        let line = logged(LogFormat::Json, "info", || {
            let _span = tracing::info_span!("reconcile", instance = "cache", generation = 3).entered();
            tracing::info!(kind = "Secret", "created\nanew");
            tracing::debug!("not at this level");
        });
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "created\nanew");
        assert_eq!((&line["kind"], &line["level"]), (&"Secret".into(), &"INFO".into()));
        assert_eq!((&line["span"]["instance"], &line["span"]["generation"]), (&"cache".into(), &3.into()));
    }

    #[test]
    fn what_quotes_answers_is_never_written() {
        let lines = logged(LogFormat::Text, "trace", || {
            tracing::warn!(target: "kube_client::client", "{{\"data\":{{\"password\":\"aHVudGVyMg==\"}}}}");
            tracing::error!(target: "kube_client::client::builder", "failed with status 500");
            tracing::debug!(target: "kube_client::client::builder", "requesting");
            let _span = tracing::info_span!(target: "kube_runtime::controller", "reconciling object").entered();
            tracing::warn!(target: "kube_runtime::controller", "kept");
        });
        assert!(!lines.contains("aHVudGVyMg==") && !lines.contains("status 500"), "{lines}");
        assert!(lines.contains("requesting") && lines.contains("kept") && !lines.contains("reconciling"), "{lines}");
    }
}
