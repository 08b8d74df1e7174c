//! The Secret of an instance: made once, or following the user's. Secrets are not watched, so they are looked at now and
//! then. A password that is to be another is only noted here: it is written when the running servers accept it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};

use super::{
    awaited,
    context::Context,
    error::{Error, spread, within},
    opening,
    own_secret::{self, bytes, read},
    rotation,
    stop::Stop,
};
use crate::domain::{
    auth::Password,
    instance::{Auth, ValidatedInstance},
    names::PASSWORD_KEY,
    reason::Reason,
    rotation::Keys,
    status::Finding,
};

/// How long a Secret of our own that was found right is taken to be so.
const TRUSTED: Duration = Duration::from_mins(4);
/// The same for the user's, and for ours while its password changes.
pub(super) const LOOK: Duration = Duration::from_secs(30);

/// What is remembered of the passwords of an instance; all of it can be lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Until when our own Secret need not be looked at, and for which source of the password that holds.
    trusted: Option<(Instant, Auth)>,
    /// Until when the user's Secret need not be.
    source_trusted: Option<Instant>,
    /// When our own was last looked at.
    looked: Option<Instant>,
    /// When it is to be looked at because a pod waits for its container.
    awaited: Option<Instant>,
    /// What our own Secret said when it was last looked at.
    pub(super) keys: Option<Keys>,
    /// The password that it is to have, where that is another.
    pub(super) wanted: Option<Password>,
    /// How far the running servers are.
    pub(super) rotation: rotation::Memory,
    /// Until when a Secret that was not there is not looked for again.
    pub(super) absent_until: Option<Instant>,
    /// The claims (uids) that own the Secret; `None` while it was not looked at.
    pub(super) owners: Option<BTreeSet<String>>,
    /// Whether a server asked for a password though its pod was not made to have one.
    pub(super) demanded: bool,
    /// Which servers were seen to ask for none.
    pub(super) opened: opening::Memory,
}

impl Memory {
    /// Until when nothing has to be looked at or done.
    pub(super) fn rest(&self) -> Option<Instant> {
        let own = self.trusted.as_ref().map(|(until, _)| *until);
        [own, self.source_trusted, self.awaited, self.rotation.due(), self.opened.due()].into_iter().flatten().min()
    }
}

/// Makes sure that the Secret the pods mount is there and right, but for a password that changes.
pub(super) async fn ensure(instance: &ValidatedInstance, settled: bool, context: &Context) -> Result<(), Stop> {
    let now = Instant::now();
    let waiting = awaited::time(instance, context).filter(|_| instance.auth.is_enabled());
    let (own, source) = context.remember(&instance.uid, |memory| {
        let memory = &mut memory.passwords;
        if instance.auth == Auth::Disabled {
            // What the servers had is needed until none of them asks for it.
            let Memory { looked, keys, absent_until, demanded, opened, .. } = std::mem::take(memory);
            *memory = Memory { looked, keys, absent_until, demanded, opened, ..Memory::default() };
        } else if settled {
            // The operator before this one saw to it: of a large fleet not all are asked for at once.
            let time = if instance.auth == Auth::Generated { context.time_for_all() } else { LOOK };
            let first = || now + within(time.clamp(LOOK, TRUSTED), &instance.uid);
            memory.trusted.get_or_insert_with(|| (first(), instance.auth.clone()));
        }
        memory.awaited = waiting.map(|waiting| awaited::due(waiting, memory.looked, now));
        let own = if instance.auth == Auth::Disabled {
            memory.opened.is_waiting() && memory.looked.is_none_or(|looked| looked + LOOK <= now)
        } else {
            memory.trusted.as_ref().is_none_or(|(until, auth)| *auth != instance.auth || *until <= now)
                || memory.awaited.is_some_and(|at| at <= now)
        };
        if own {
            memory.looked = Some(now);
            memory.awaited = waiting.map(|waiting| awaited::due(waiting, memory.looked, now));
        }
        (own, own || memory.source_trusted.is_some_and(|until| until <= now))
    });
    let outcome = match &instance.auth {
        Auth::Generated if own => generated(instance, context).await,
        Auth::Secret(name) if source => derived(instance, name, own, context).await,
        Auth::Disabled if own => return Ok(restore(instance, context).await?),
        _ => return Ok(()),
    };
    let outcome = Stop::failed(outcome)?;
    context.remember(&instance.uid, |memory| {
        let memory = &mut memory.passwords;
        if outcome.is_err() {
            memory.trusted = None;
            return;
        }
        let later = |duration| now + spread(duration, &instance.uid);
        memory.source_trusted = matches!(instance.auth, Auth::Secret(_)).then(|| later(LOOK));
        if own {
            let changes = memory.wanted.is_some() || memory.keys.as_ref().is_some_and(|keys| keys.former.is_some());
            memory.trusted = Some((later(if changes { LOOK } else { TRUSTED }), instance.auth.clone()));
        }
    });
    outcome
}

/// Creates the Secret again while servers that are to have no password still ask for one: an operator that starts anew could not
/// open them without it, and pods of the former template do not start without it.
async fn restore(instance: &ValidatedInstance, context: &Context) -> Result<(), Error> {
    let known = context.recall(&instance.uid, |memory| memory.passwords.keys.clone());
    let Some(keys) = known else { return Ok(()) };
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &instance.namespace);
    let name = instance.auth_secret();
    let found = api.get_metadata_opt(&name).await.map_err(Error::request("get", "Secret", &name))?;
    if found.is_none() {
        own_secret::create(instance, &keys, context).await?;
    }
    Ok(())
}

/// What became of a write of the Secret.
pub(super) enum Followed {
    Written,
    /// Somebody else changed the Secret: it is looked at first.
    Outrun,
}

/// Writes what the running servers have come to accept, or accept no more; not over a Secret that says something else than
/// it did.
pub(super) async fn follow(
    instance: &ValidatedInstance,
    before: &Keys,
    keys: Keys,
    context: &Context,
) -> Result<Followed, Stop> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &instance.namespace);
    let name = instance.auth_secret();
    let live = api.get_opt(&name).await.map_err(Error::request("get", "Secret", &name))?;
    let Some(live) = live.filter(|live| read(live).as_ref() == Some(before)) else {
        context.remember(&instance.uid, |memory| {
            memory.passwords.trusted = Some((Instant::now(), instance.auth.clone()));
        });
        return Ok(Followed::Outrun);
    };
    own_secret::write(instance, &keys, &keys.current, &live, context).await?;
    context.remember(&instance.uid, |memory| {
        let memory = &mut memory.passwords;
        memory.wanted.take_if(|wanted| *wanted == keys.current);
        memory.keys = Some(keys);
        // From now on it is looked at more often.
        memory.trusted = Some((Instant::now() + spread(LOOK, &instance.uid), instance.auth.clone()));
    });
    Ok(Followed::Written)
}

/// Creates the Secret with a new password; one that exists keeps its password for ever.
async fn generated(instance: &ValidatedInstance, context: &Context) -> Result<(), Stop> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &instance.namespace);
    let name = instance.auth_secret();
    // An instance with a StatefulSet has its Secret: trying to create it would be a failed write at every restart.
    let set = ObjectRef::new(&instance.name).within(&instance.namespace);
    let begun = context.stores.stateful_sets.glance(&set).is_some();
    if begun && let Some(live) = api.get_opt(&name).await.map_err(Error::request("get", "Secret", &name))? {
        return existing(instance, &live, context).await;
    }
    let mut entropy = [0; 24];
    getrandom::fill(&mut entropy).map_err(|error| Error::Entropy(error.to_string()))?;
    match make(instance, &Password::from_entropy(entropy), context).await? {
        None => Ok(()),
        Some(live) => existing(instance, &live, context).await,
    }
}

/// Creates the Secret with this password; answers the one that is there already.
async fn make(instance: &ValidatedInstance, password: &Password, context: &Context) -> Result<Option<Secret>, Error> {
    let keys = replaced(instance, password, context);
    let found = own_secret::create(instance, &keys, context).await?;
    if found.is_none() {
        note(instance, keys, None, context);
    }
    Ok(found)
}

/// Completes the Secret that is there from its own password: the lines for redis.conf, labels, owner.
async fn existing(instance: &ValidatedInstance, live: &Secret, context: &Context) -> Result<(), Stop> {
    if let Some(finding) = own_secret::hindrance(live, instance, context) {
        return Err(finding.into());
    }
    let claims = live.owner_references().iter().filter(|owner| owner.kind == "PersistentVolumeClaim");
    let owners = claims.map(|owner| owner.uid.clone()).collect();
    context.remember(&instance.uid, |memory| memory.passwords.owners = Some(owners));
    match Password::parse(bytes(live, PASSWORD_KEY)) {
        Ok(password) => bring(instance, password, live, context).await,
        Err(error) => {
            let message = format!("Secret {} {error}", instance.auth_secret());
            Err(Finding::Waiting(Reason::PasswordUnusable, message).into())
        }
    }
}

/// Derives the Secret from the user's. Where only that one is due and has the password that is known, no more is asked.
async fn derived(instance: &ValidatedInstance, source: &str, own: bool, context: &Context) -> Result<(), Stop> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &instance.namespace);
    let name = instance.auth_secret();
    let theirs = api.get_opt(source).await.map_err(Error::request("get", "Secret", source))?;
    let password = theirs.as_ref().map(|theirs| Password::parse(bytes(theirs, PASSWORD_KEY)));
    let same = context.recall(&instance.uid, |memory| {
        let known = memory.passwords.wanted.as_ref().or_else(|| Some(&memory.passwords.keys.as_ref()?.current));
        password.as_ref().is_some_and(|password| password.as_ref().ok() == known)
    });
    if same && !own {
        return Ok(());
    }
    let live = api.get_opt(&name).await.map_err(Error::request("get", "Secret", &name))?;
    match password {
        Some(Ok(password)) => {
            let found = if live.is_none() { make(instance, &password, context).await? } else { live };
            match found {
                Some(live) => bring(instance, password, &live, context).await,
                None => Ok(()),
            }
        }
        Some(Err(error)) => Err(Finding::Waiting(Reason::PasswordUnusable, format!("Secret {source} {error}")).into()),
        None => {
            let live = live.filter(|live| own_secret::hindrance(live, instance, context).is_none());
            if let Some((live, Keys { current, .. })) = live.and_then(|live| read(&live).map(|keys| (live, keys))) {
                let outcome = Stop::failed(bring(instance, current, &live, context).await)?;
                context.remember(&instance.uid, |memory| memory.passwords.rotation.miss(source));
                return outcome;
            }
            let message =
                format!("waiting for Secret {source} with the password under the key \"{PASSWORD_KEY}\"; create it");
            Err(Finding::Waiting(Reason::SecretNotFound, message).into())
        }
    }
}

/// Brings the Secret to this password, if no running server can have another; else notes that it is to be so, and brings it to no
/// more than the password that a server which starts has now.
async fn bring(instance: &ValidatedInstance, wanted: Password, live: &Secret, context: &Context) -> Result<(), Stop> {
    let keys = read(live).unwrap_or_else(|| replaced(instance, &wanted, context));
    // There the user says what it is to be.
    let shown = if instance.auth == Auth::Generated { &wanted } else { &keys.current };
    own_secret::write(instance, &keys, shown, live, context).await?;
    let wanted = (keys.current != wanted).then_some(wanted);
    note(instance, keys, wanted, context);
    Ok(())
}

/// What a Secret says that is made anew: the running servers accept what the one before it said, if that is known.
fn replaced(instance: &ValidatedInstance, password: &Password, context: &Context) -> Keys {
    let known = context.recall(&instance.uid, |memory| memory.passwords.keys.clone());
    let known = known.map(|known| known.succeeded_by(password, Timestamp::now()));
    known.unwrap_or_else(|| Keys::one(password.clone()))
}

fn note(instance: &ValidatedInstance, keys: Keys, wanted: Option<Password>, context: &Context) {
    context.remember(&instance.uid, |memory| {
        let memory = &mut memory.passwords;
        (memory.keys, memory.wanted, memory.absent_until) = (Some(keys), wanted, None);
        memory.rotation.find();
    });
}
