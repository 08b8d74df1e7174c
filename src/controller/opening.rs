//! An instance that is to have no password: its running servers are opened before any pod restarts, since a replica without a
//! password cannot follow a primary with one.

use std::time::{Duration, Instant};

use futures::future::join_all;

use super::{
    context::Context,
    credentials::{self, credentials},
    error::{Error, reason_of},
    secret,
    servers::{self, Running},
};
use crate::{
    domain::{
        instance::{Auth, ValidatedInstance},
        names::PORT,
        observed::Aspect,
        reason::Reason,
    },
    redis::{Credentials, Server, ServerError},
};

/// How long a server may take to accept a connection, and to answer a command.
const DEADLINES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
/// When a server that could not be opened is asked again, unless a watch calls.
const AGAIN: Duration = Duration::from_secs(5);

/// What is remembered of the running servers; all of it can be lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Which servers were seen to ask for no password.
    proved: Option<String>,
    /// Which could not be opened, until when they are left alone, and what was told of it.
    held: Option<(Instant, String, Opened)>,
}

impl Memory {
    /// Whether this process opened servers, or was about to.
    pub(super) fn has_begun(&self) -> bool {
        self.proved.is_some() || self.held.is_some()
    }

    /// Whether a server that is to be opened could not be.
    pub(super) const fn is_waiting(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.held.as_ref().map(|(until, ..)| *until)
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Opened {
    /// Whether restarts have to wait.
    pub(super) waits: bool,
    /// Whether a server asks for a password that is lost, so that only a restart opens it; and what to say if it is the primary.
    locked: Option<String>,
    /// What to tell of it, if anything.
    pub(super) aspect: Option<Aspect>,
}

/// Has every running server ask for no password, if the instance is to have none. `told` says whether a change of the password
/// was told to be under way.
pub(super) async fn keep(instance: &ValidatedInstance, told: bool, context: &Context) -> Result<Opened, Error> {
    if instance.auth != Auth::Disabled {
        context.remember(&instance.uid, |memory| memory.passwords.opened = Memory::default());
        return Ok(Opened::default());
    }
    let mut servers = servers::running(instance, context);
    servers.retain(|server| !server.leaving);
    if !servers.iter().any(|server| server.has_password) && !credentials::is_demanded(&instance.uid, context) {
        context.remember(&instance.uid, |memory| memory.passwords = secret::Memory::default());
        return Ok(done(told));
    }
    let fingerprint = servers::fingerprint(&servers);
    let Memory { proved, held } = context.recall(&instance.uid, |memory| memory.passwords.opened.clone());
    if proved.as_ref() == Some(&fingerprint) {
        return Ok(done(told));
    }
    if let Some((.., opened)) = held.filter(|(until, of, _)| *of == fingerprint && Instant::now() < *until) {
        return Ok(opened);
    }
    if !context.leadership.is_held() {
        return Err(Error::NotLeading);
    }
    let keys = credentials::keys(instance, context).await?;
    let outcomes = join_all(servers.iter().map(|server| open(server, keys.as_ref().map(credentials)))).await;
    let failed = servers.iter().zip(outcomes).filter_map(|(server, outcome)| match outcome {
        // It starts, and is asked when it is ready.
        Err(ServerError::Closed { .. }) if !server.ready => None,
        outcome => Some((server, outcome.err()?)),
    });
    let failed: Vec<_> = failed.collect();
    let is_lost = |error: &ServerError| keys.is_none() && matches!(error, ServerError::Password { .. });
    let first = failed.iter().find(|(_, error)| !is_lost(error)).or_else(|| failed.first());
    let unopened = first.map(|(server, error)| {
        if is_lost(error) { locked(server, &instance.auth_secret()) } else { waits(waiting(server, error), &servers) }
    });
    context.remember(&instance.uid, |memory| {
        let passwords = &mut memory.passwords;
        passwords.demanded &= unopened.is_some();
        passwords.opened = match &unopened {
            None => Memory { proved: Some(fingerprint), held: None },
            Some(opened) => Memory { proved: None, held: Some((Instant::now() + AGAIN, fingerprint, opened.clone())) },
        };
    });
    Ok(unopened.unwrap_or_else(|| done(told)))
}

fn done(told: bool) -> Opened {
    let message = "the servers ask for no password".to_owned();
    let aspect = told.then_some(Aspect { holds: Some(true), reason: Reason::PasswordRotated, message });
    Opened { aspect, ..Opened::default() }
}

/// One that is alone has nobody to follow, and no replica to lose.
fn waits(aspect: Aspect, servers: &[Running]) -> Opened {
    let waits = servers.len() > 1;
    Opened { waits, aspect: waits.then_some(aspect), ..Opened::default() }
}

async fn open(running: &Running, credentials: Option<Credentials<'_>>) -> Result<(), ServerError> {
    let address = (running.address, u16::try_from(PORT).unwrap_or_default());
    let mut server = Server::connect_within(address, credentials, DEADLINES).await?;
    if server.accepted().await?.is_some() {
        server.open().await?;
        tracing::info!(pod = running.pod, "asks for no password any more");
    }
    Ok(())
}

fn waiting(server: &Running, error: &ServerError) -> Aspect {
    let message = format!("spec.auth.enabled: false: restarts wait until {} asks for no password: {error}", server.pod);
    Aspect { holds: Some(false), reason: reason_of(error), message }
}

impl Opened {
    /// The same, given whether the primary asks for a password that is lost: a replica that restarts could not follow it, so restarts
    /// wait.
    pub(super) fn given(self, has_locked_primary: bool) -> Self {
        match self.locked {
            Some(message) if has_locked_primary && !self.waits => {
                let aspect = Aspect { holds: Some(false), reason: Reason::PasswordDiffers, message };
                Self { waits: true, locked: None, aspect: Some(aspect) }
            }
            _ => self,
        }
    }
}

/// The outcome where the password of a server is lost: nothing but its restart opens it, so no restart waits for it.
fn locked(server: &Running, secret: &str) -> Opened {
    let pod = server.pod.as_str();
    let lost = format!("spec.auth.enabled: false: {pod} asks for the password of Secret {secret}, which is gone");
    let message = format!("{lost}; the rollout restarts {pod}, which then asks for none");
    let primary = format!(
        "{lost}; restarts wait, because replicas that restart could not follow the primary: set spec.auth.enabled to true with spec.auth.secretName for a Secret with that password, wait for phase Running, then set it to false"
    );
    let aspect = Aspect { holds: Some(false), reason: Reason::PasswordDiffers, message };
    Opened { waits: false, locked: Some(primary), aspect: Some(aspect) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_wait_beside_a_primary_whose_password_is_lost() {
        let server = |locked: Option<&str>, waits| Opened { waits, locked: locked.map(str::to_owned), aspect: None };
        for (locked, waits, waits_beside_locked) in
            [(None, false, false), (None, true, true), (Some("lost"), false, true), (Some("lost"), true, true)]
        {
            assert_eq!(server(locked, waits).given(false).waits, waits, "{locked:?} {waits}");
            let opened = server(locked, waits).given(true);
            assert_eq!(opened.waits, waits_beside_locked, "{locked:?} {waits}");
            let says = opened.aspect.map(|aspect| aspect.message);
            assert_eq!(says.as_deref(), locked.filter(|_| !waits), "the primary is named where restarts wait for it");
        }
    }
}
