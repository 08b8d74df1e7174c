//! Gives one running server the directives that it lacks, and takes a refused change back on all of them.

use std::collections::BTreeSet;

use crate::{
    controller::{error::Error, servers::Running, writes::persistence_trouble},
    domain::{names::PORT, observed::Trouble, persistence::decides_files, wanted::Wanted},
    lease::Leadership,
    redis::{Credentials, Figures, Server, ServerError},
};

/// What was found and done on the servers.
#[derive(Default)]
pub(super) struct Report {
    /// Whether a server lacked anything.
    pub(super) given: bool,
    /// Whether a server does not hold what decides about its data files, which `persistence` gives it.
    pub(super) files_differ: bool,
    pub(super) restored: BTreeSet<String>,
    pub(super) not_held: Vec<String>,
    pub(super) trouble: Option<Trouble>,
    pub(super) figures: Vec<(String, Figures)>,
}

/// Why a server does not have the configuration.
pub(super) enum Failure {
    /// It refuses a directive that the user changed.
    Refused { directive: String, why: String },
    /// It could not be asked.
    Unasked(ServerError),
    /// Another operator may lead by now.
    NotLeading,
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Self::Unasked(error)
    }
}

/// Gives one server what it lacks and reads it back. A server whose pod is about to be replaced need not know every directive: some
/// may be of the release of the new image alone.
pub(super) async fn bring(
    wanted: &Wanted,
    running: &Running,
    credentials: Option<Credentials<'_>>,
    report: &mut Report,
    leadership: &Leadership,
) -> Result<(), Failure> {
    let mut server = connect(running, credentials).await?;
    let held = server.config(&wanted.names()).await?;
    let mut given = Vec::new();
    report.files_differ |= wanted.lacking(&held).any(|directive| decides_files(&directive.name));
    for directive in wanted.lacking(&held).filter(|directive| !decides_files(&directive.name)) {
        if !leadership.is_held() {
            return Err(Failure::NotLeading);
        }
        match server.set(&directive.name, &wanted.argument(directive)).await {
            Ok(()) => given.push(directive),
            // A value that the server knows and refuses must not get into the ConfigMap: it may restart before its pod is replaced.
            Err(ServerError::Refused { .. }) if running.is_outdated && !held.contains_key(&directive.name) => {}
            Err(ServerError::Refused { why }) if directive.changed => {
                return Err(Failure::Refused { directive: directive.name.clone(), why });
            }
            Err(ServerError::Refused { why }) => {
                report.not_held.push(format!("{} does not take {} back: {why}", running.pod, directive.name));
            }
            Err(error) => return Err(error.into()),
        }
    }
    report.given |= !given.is_empty();
    if !given.is_empty() {
        let held = server.config(&wanted.names()).await?;
        let lacking: BTreeSet<&str> = wanted.lacking(&held).map(|directive| directive.name.as_str()).collect();
        for directive in given {
            if lacking.contains(directive.name.as_str()) {
                report.not_held.push(format!("{} took {} and holds another value", running.pod, directive.name));
            } else if !directive.changed {
                report.restored.insert(directive.name.clone());
            }
        }
    }
    let told = server.report().await?;
    report.trouble = report.trouble.take().or_else(|| persistence_trouble(&running.pod, told.persistence));
    report.figures.push((running.pod.clone(), told.figures));
    Ok(())
}

/// Gives every server the values that the ConfigMap still has for the changed directives, in this pass and in one before it:
/// a server that started with a change that others refuse would differ from them for as long as it runs. Returns the servers
/// that may still hold a changed value, each with the reason.
pub(super) async fn take_back(
    wanted: &Wanted,
    servers: &[Running],
    credentials: Option<Credentials<'_>>,
    leadership: &Leadership,
) -> Result<Vec<String>, Error> {
    let mut failed = Vec::new();
    for running in servers {
        if !leadership.is_held() {
            return Err(Error::NotLeading);
        }
        if let Err(error) = take_back_from(wanted, running, credentials).await {
            failed.push(format!("{}: {error}", running.pod));
        }
    }
    Ok(failed)
}

async fn take_back_from(
    wanted: &Wanted,
    running: &Running,
    credentials: Option<Credentials<'_>>,
) -> Result<(), ServerError> {
    let mut server = connect(running, credentials).await?;
    let held = server.config(&wanted.changed()).await?;
    for (name, former) in wanted.taken(&held).filter(|(name, _)| !decides_files(name)) {
        match server.set(name, &former).await {
            // When it started, a server lowered it to what its limit of open files allows.
            Err(ServerError::Refused { .. }) if name == "maxclients" => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

async fn connect(running: &Running, credentials: Option<Credentials<'_>>) -> Result<Server, ServerError> {
    let port = u16::try_from(PORT).unwrap_or_default();
    Server::connect((running.address, port), credentials).await
}
