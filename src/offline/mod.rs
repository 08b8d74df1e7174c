//! The commands that need no cluster: `validate` judges files as admission would, `explain` says what is known of a
//! directive, `directives` prints all of it. They read files and write to the terminal; every answer is `domain`'s.

pub mod arguments;
pub mod explain;
pub mod facts;
pub mod fields;
pub mod json;
pub mod judge;
pub mod node;
pub mod objects;
pub mod path;
pub mod reference;
pub mod report;
pub mod resource;
pub mod scalar;
pub mod schema;
pub mod sources;
pub mod topics;
pub mod validate;
pub mod yaml;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use self::{
    arguments::{ExplainArguments, Output, ValidateArguments},
    report::Report,
};

/// Exit code if an object was refused, or a name is not known.
const REFUSED: u8 = 1;
/// Exit code if an input could not be read, so that not everything was validated.
const UNREADABLE: u8 = 2;

/// `redis-operator validate`.
///
/// # Errors
/// When nothing can be written, or the CRD's schema is no JSON.
pub fn validate(arguments: &ValidateArguments) -> anyhow::Result<ExitCode> {
    let read = |paths: &[std::path::PathBuf]| sources::read(paths, arguments.recursive, &mut io::stdin().lock());
    let old: Vec<_> = arguments.old.iter().cloned().collect();
    let report = validate::judge(&read(&arguments.files), &read(&old), &arguments.default_image)?;
    match arguments.output {
        Output::Text => {
            print(&report.text())?;
            io::stderr().write_all(report.errors().as_bytes())?;
        }
        Output::Json => print(&report.json()?)?,
    }
    Ok(exit_code(&report))
}

fn exit_code(report: &Report) -> ExitCode {
    match report.summary() {
        summary if summary.unreadable > 0 => ExitCode::from(UNREADABLE),
        summary if summary.refused > 0 => ExitCode::from(REFUSED),
        _ => ExitCode::SUCCESS,
    }
}

/// `redis-operator explain config`.
///
/// # Errors
/// When nothing can be written.
pub fn explain(arguments: &ExplainArguments) -> anyhow::Result<ExitCode> {
    match explain::answer(arguments) {
        Ok(text) => print(&text)?,
        Err(error) => {
            writeln!(io::stderr(), "error: {error}")?;
            return Ok(ExitCode::from(REFUSED));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `redis-operator directives`.
///
/// # Errors
/// When nothing can be written.
pub fn directives() -> anyhow::Result<()> {
    print(&reference::markdown())
}

/// Writes to the terminal or a pipe; whoever closes the pipe early has read enough.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
