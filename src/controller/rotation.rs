//! A password that changes while servers run: each is given it, then the Secret follows, then what they give to their
//! primary, and in the end the former one goes. What is next is `domain::rotation`'s; how far it is, the Secret knows.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{
    acceptance::{self, Brought, Failure},
    context::Context,
    error::{Error, reason_of},
    secret::{self, Followed},
    servers::{self, Running},
    stop::Stop,
};
use crate::domain::{
    auth::Password,
    instance::{Auth, ValidatedInstance},
    observed::Aspect,
    reason::Reason,
    redis_conf::hash,
    rotation::{Rotation, Step},
};

/// When a server that holds a change up is asked again, unless a watch calls.
const AGAIN: Duration = Duration::from_secs(10);
/// The same when nothing has to be given to it.
const UNREACHED: Duration = Duration::from_mins(5);
/// The most steps that one pass makes: accepted, dropped, and the Secret written after each.
const STEPS: usize = 4;

/// What is remembered of the running servers; all of it can be lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Which servers were seen to accept which passwords.
    proved: Option<String>,
    /// Which could not be asked, until when they are left alone, and what was told of it.
    held: Option<(Instant, String, Option<Aspect>)>,
    /// When the former password is to go.
    ends: Option<Instant>,
    /// The user's Secret that is not there.
    missing: Option<String>,
    /// Whether a server that cannot be asked may have been left without a password.
    open: bool,
}

impl Memory {
    /// Notes that the user's Secret is not there.
    pub(super) fn miss(&mut self, source: &str) {
        self.missing = Some(source.to_owned());
    }

    /// Notes that the source of the password is there.
    pub(super) fn find(&mut self) {
        self.missing = None;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        [self.ends, self.held.as_ref().map(|(until, ..)| *until)].into_iter().flatten().min()
    }
}

/// Goes as far as the running servers let it; answers what to tell. `told` says whether a change was told to be under way.
pub(super) async fn keep(instance: &ValidatedInstance, told: bool, context: &Context) -> Result<Option<Aspect>, Stop> {
    // What is known then is what servers had that are about to have none.
    if instance.auth == Auth::Disabled {
        return Ok(None);
    }
    for _ in 0..STEPS {
        let known = context.recall(&instance.uid, |memory| {
            let passwords = &memory.passwords;
            passwords.keys.clone().map(|keys| (keys, passwords.wanted.clone()))
        });
        let Some((keys, wanted)) = known else { break };
        let wanted = wanted.unwrap_or_else(|| keys.current.clone());
        let rotation = Rotation { keys: &keys, wanted: &wanted, now: Timestamp::now() };
        let step = rotation.next();
        if let Held::Not(aspect) = hold(instance, rotation, told || step != Step::Settled, context).await? {
            return Ok(aspect); // redis
        }
        let next = match step {
            Step::Follow(next) | Step::Forget(next) => next,
            Step::Settled => {
                return Ok(missing(instance, context).or_else(|| told.then(|| settled(instance, context))));
            }
            Step::Overlap(until) => return Ok(Some(overlapping(instance, until, rotation.now, context))),
            Step::Later(until) => return Ok(Some(queued(instance, until, rotation.now, context))),
        };
        match secret::follow(instance, &keys, next, context).await? {
            Followed::Written => {} // client
            Followed::Outrun => break,
        }
    }
    Ok(None)
}

/// Whether every running server accepts what it has to, and nothing else.
enum Held {
    Yes,
    /// One could not be asked, or would not; what to tell of it, if anything.
    Not(Option<Aspect>),
}

/// Makes sure that every running server accepts these passwords. `changing`: nothing goes on without it.
async fn hold(
    instance: &ValidatedInstance,
    rotation: Rotation<'_>,
    changing: bool,
    context: &Context,
) -> Result<Held, Error> {
    let servers = servers::running(instance, context);
    let fingerprint = fingerprint(rotation, &servers);
    let (proved, held) = context.recall(&instance.uid, |memory| {
        let rotation = &memory.passwords.rotation;
        (rotation.proved.as_ref() == Some(&fingerprint), rotation.held.clone())
    });
    if proved {
        return Ok(Held::Yes);
    }
    if let Some((.., aspect)) = held.filter(|(until, of, _)| *of == fingerprint && Instant::now() < *until) {
        return Ok(Held::Not(aspect));
    }
    if !context.leadership.is_held() {
        return Err(Error::NotLeading);
    }
    let Brought { failure, found_open } = acceptance::bring(rotation, &servers, || context.leadership.is_held()).await;
    if !context.leadership.is_held() {
        return Err(Error::NotLeading);
    }
    let Some(Failure { pod, error }) = failure else {
        context.remember(&instance.uid, |memory| {
            let rotation = &mut memory.passwords.rotation;
            (rotation.proved, rotation.held, rotation.ends, rotation.open) = (Some(fingerprint), None, None, false);
        });
        return Ok(Held::Yes);
    };
    tracing::debug!(pod, %error, "a server could not be given its passwords");
    // When spec.auth was off for a while, all that could be reached were opened.
    let open = context.remember(&instance.uid, |memory| {
        let opened = memory.passwords.opened.has_begun();
        memory.passwords.rotation.open |= found_open || opened;
        memory.passwords.rotation.open
    });
    let reason = reason_of(&error);
    let told = changing || open || reason == Reason::PasswordDiffers;
    let message = if open {
        format!("spec.auth requires a password, and {pod} may still accept clients without one: {error}")
    } else {
        format!("which passwords are accepted waits for {pod}: {error}")
    };
    let aspect = told.then_some(Aspect { holds: Some(false), reason, message });
    let until = Instant::now() + if told { AGAIN } else { UNREACHED };
    context.remember(&instance.uid, |memory| {
        let rotation = &mut memory.passwords.rotation;
        (rotation.held, rotation.ends) = (Some((until, fingerprint, aspect.clone())), None);
    });
    Ok(Held::Not(aspect))
}

/// Which passwords, and which servers.
fn fingerprint(rotation: Rotation<'_>, servers: &[Running]) -> String {
    let accepted = rotation.accepted().into_iter().map(Password::digest);
    hash(&format!("{} {}", accepted.collect::<Vec<_>>().join(" "), servers::fingerprint(servers)))
}

/// What to tell of a source of the password that is not there.
fn missing(instance: &ValidatedInstance, context: &Context) -> Option<Aspect> {
    let source = context.recall(&instance.uid, |memory| memory.passwords.rotation.missing.clone())?;
    let message =
        format!("Secret {source} with the password is not there, and the servers keep the one they have; create it");
    Some(Aspect { holds: Some(false), reason: Reason::SecretNotFound, message })
}

fn settled(instance: &ValidatedInstance, context: &Context) -> Aspect {
    context.remember(&instance.uid, |memory| memory.passwords.rotation.ends = None);
    let message = format!("the servers accept the password of Secret {} and no other", instance.auth_secret());
    Aspect { holds: Some(true), reason: Reason::PasswordRotated, message }
}

fn overlapping(instance: &ValidatedInstance, until: Timestamp, now: Timestamp, context: &Context) -> Aspect {
    ends(instance, until, now, context);
    let message = format!(
        "the servers accept the password of Secret {}, and the former one until {}",
        instance.auth_secret(),
        second(until)
    );
    Aspect { holds: Some(false), reason: Reason::PasswordChanged, message }
}

fn queued(instance: &ValidatedInstance, until: Timestamp, now: Timestamp, context: &Context) -> Aspect {
    ends(instance, until, now, context);
    let message = format!(
        "the servers accept the new password; Secret {} has it after {}, when the last but one has gone",
        instance.auth_secret(),
        second(until)
    );
    Aspect { holds: Some(false), reason: Reason::PasswordChanged, message }
}

/// Remembers when to go on.
fn ends(instance: &ValidatedInstance, until: Timestamp, now: Timestamp, context: &Context) {
    let rest = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    // A time that cannot be told is as good as never: the Secret is looked at again anyway.
    let at = Instant::now().checked_add(rest);
    context.remember(&instance.uid, |memory| memory.passwords.rotation.ends = at);
}

fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
