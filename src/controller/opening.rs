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
        names::{PORT, pod},
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
    /// The pods whose server asks for a password that is lost, so that only a restart opens it.
    locked: Vec<String>,
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
    let lost = failed.iter().filter(|(_, error)| is_lost(error));
    let locked: Vec<String> = lost.map(|(server, _)| server.pod.clone()).collect();
    let unopened = match failed.iter().find(|(_, error)| !is_lost(error)) {
        Some((server, error)) => Some(Opened { locked, ..waits(waiting(server, error), &servers) }),
        None => locked.first().map(|pod| beside_locked(restarted(pod, &instance.auth_secret()), locked.clone())),
    };
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
    /// The same, given the primary: where that asks for a password that is lost, restarts wait, since a replica that restarts could not
    /// follow it.
    pub(super) fn given(self, instance: &ValidatedInstance, primary: Option<i32>) -> Self {
        let primary = primary.map(|ordinal| pod(&instance.name, ordinal));
        match primary.filter(|pod| !self.waits && self.locked.contains(pod)) {
            Some(pod) => Self { waits: true, aspect: Some(kept(&pod, &instance.auth_secret())), ..self },
            None => self,
        }
    }
}

/// The outcome where the passwords of servers are lost: nothing but its restart opens such a server, so no restart waits for it.
fn beside_locked(aspect: Aspect, locked: Vec<String>) -> Opened {
    Opened { waits: false, locked, aspect: Some(aspect) }
}

fn lost(pod: &str, secret: &str, rest: &str) -> Aspect {
    let message = format!(
        "spec.auth.enabled: false: {pod} asks for the password of Secret {secret}, which does not exist; {rest}"
    );
    Aspect { holds: Some(false), reason: Reason::PasswordDiffers, message }
}

fn restarted(pod: &str, secret: &str) -> Aspect {
    lost(pod, secret, &format!("the rollout restarts {pod}, which then asks for none"))
}

fn kept(primary: &str, secret: &str) -> Aspect {
    let rest = format!(
        "restarts wait, because replicas that restart could not follow the primary {primary}: set spec.auth.enabled to true with spec.auth.secretName for a Secret with that password, wait for phase Running, then set it to false"
    );
    lost(primary, secret, &rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::instance::tests::validated;

    #[test]
    fn restarts_wait_beside_a_primary_whose_password_is_lost() {
        let instance = validated(json!({"replicas": 3}));
        let pod = |ordinal: i32| pod(&instance.name, ordinal);
        let of = |waits, locked: &[i32]| {
            let locked = locked.iter().map(|ordinal| pod(*ordinal)).collect();
            Opened { waits, ..beside_locked(restarted(&pod(0), "x-auth"), locked) }
        };
        let (restarts, waits) = (format!("the rollout restarts {}", pod(0)), format!("the primary {}:", pod(2)));
        for (waits_before, locked, primary, (expected, says)) in [
            (false, &[0, 2][..], Some(2), (true, &waits)),
            (false, &[0, 2], Some(1), (false, &restarts)),
            (false, &[0], None, (false, &restarts)),
            // The primary may refuse the operator for another reason.
            (false, &[], Some(0), (false, &restarts)),
            // Another server is named, for which restarts wait.
            (true, &[0], Some(0), (true, &restarts)),
        ] {
            let opened = of(waits_before, locked).given(&instance, primary);
            let message = opened.aspect.map(|aspect| aspect.message).unwrap_or_default();
            assert_eq!((opened.waits, message.contains(says.as_str())), (expected, true), "{locked:?} {message}");
        }
    }
}
