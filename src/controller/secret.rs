//! The Secret of an instance: made once, or derived from the user's. Secrets are not watched, so it is looked at on each
//! periodic pass. No password leaves this file but into a Secret.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::PostParams, runtime::reflector::ObjectRef};

use super::{apply, context::Context, error::Error, events, ownership::obstacle};
use crate::{
    build::auth_secret,
    domain::{
        auth::Password,
        instance::{Auth, ValidatedInstance},
        names::{self, AUTH_CONF_KEY, OPERATOR, PASSWORD_KEY},
        reason::Reason,
        status::Finding,
    },
};

/// How long a Secret that was found right is taken to be so.
const TRUSTED: Duration = Duration::from_mins(4);

/// Makes sure that the Secret the pods mount is there and right; answers what stands in the way, if anything.
pub(super) async fn ensure(
    instance: &ValidatedInstance,
    settled: bool,
    context: &Context,
) -> Result<Option<Finding>, Error> {
    if settled {
        // The operator that came before this one saw to it: its successor need not ask for a thousand Secrets at once.
        context.remember(&instance.uid, |memory| {
            memory.secret_checked.get_or_insert_with(|| (Instant::now(), instance.auth.clone()));
        });
    }
    let checked = context.recall(&instance.uid, |memory| memory.secret_checked.clone());
    let trusted = checked.is_some_and(|(at, auth)| auth == instance.auth && at.elapsed() < TRUSTED);
    if instance.auth == Auth::Disabled || trusted {
        return Ok(None);
    }
    let finding = match &instance.auth {
        Auth::Disabled => None,
        Auth::Generated => generated(instance, context).await?,
        Auth::Secret(name) => derived(instance, name, context).await?,
    };
    let checked = finding.is_none().then(|| (Instant::now(), instance.auth.clone()));
    context.remember(&instance.uid, |memory| memory.secret_checked = checked);
    Ok(finding)
}

/// The password that the Secret has, which is the running servers' unless it was changed since they started; `None` for an
/// instance without one.
pub(super) async fn password(instance: &ValidatedInstance, context: &Context) -> Result<Option<Password>, Error> {
    match instance.auth {
        Auth::Disabled => Ok(None),
        _ => password_of(&instance.namespace, &instance.name, &instance.uid, context).await,
    }
}

/// The same for an instance of which no more is known than that its pods mount a password.
pub(super) async fn password_of(
    namespace: &str,
    instance: &str,
    uid: &str,
    context: &Context,
) -> Result<Option<Password>, Error> {
    if let Some(password) = context.recall(uid, |memory| memory.password.clone()) {
        return Ok(Some(password));
    }
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let name = names::auth_secret(instance);
    let secret = api.get_opt(&name).await.map_err(Error::request("get", "Secret", &name))?;
    let password = secret.and_then(|secret| Password::parse(bytes(&secret)).ok());
    context.remember(uid, |memory| memory.password.clone_from(&password));
    Ok(password)
}

/// Creates the Secret with a new password; one that exists keeps its password for ever.
async fn generated(instance: &ValidatedInstance, context: &Context) -> Result<Option<Finding>, Error> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &instance.namespace);
    let name = instance.auth_secret();
    // An instance with a StatefulSet has its Secret: trying to create it would be a failed write at every restart.
    let begun = context.stores.stateful_sets.get(&ObjectRef::new(&instance.name).within(&instance.namespace)).is_some();
    if begun && let Some(live) = api.get_opt(&name).await.map_err(Error::request("get", "Secret", &name))? {
        return existing(instance, &live, context).await;
    }
    let mut entropy = [0; 24];
    getrandom::fill(&mut entropy).map_err(|error| Error::Entropy(error.to_string()))?;
    let password = Password::from_entropy(entropy);
    let secret = apply::stamped(auth_secret(instance, &password))?;
    let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
    match api.create(&params, &secret).await {
        Ok(_) => {
            tracing::info!(kind = "Secret", child = name, "created");
            context.remember(&instance.uid, |memory| memory.password = Some(password));
            if begun {
                events::password_changed(instance, "was gone: a new password was made", context).await;
            }
            Ok(None)
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let live = api.get(&name).await.map_err(Error::request("get", "Secret", &name))?;
            existing(instance, &live, context).await
        }
        Err(error) => Err(Error::request("create", "Secret", &name)(error)),
    }
}

/// Completes the Secret that is there from its own password: the lines for redis.conf, labels, owner.
async fn existing(instance: &ValidatedInstance, live: &Secret, context: &Context) -> Result<Option<Finding>, Error> {
    if let Some(finding) = obstacle("Secret", &live.metadata, instance) {
        return Ok(Some(finding));
    }
    match Password::parse(bytes(live)) {
        Ok(password) => follow(instance, &password, Some(live), context).await,
        Err(error) => {
            Ok(Some(Finding::Waiting(Reason::PasswordUnusable, format!("Secret {} {error}", instance.auth_secret()))))
        }
    }
}

/// Derives the Secret from the user's.
async fn derived(instance: &ValidatedInstance, source: &str, context: &Context) -> Result<Option<Finding>, Error> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &instance.namespace);
    let name = instance.auth_secret();
    let live = api.get_opt(&name).await.map_err(Error::request("get", "Secret", &name))?;
    let Some(theirs) = api.get_opt(source).await.map_err(Error::request("get", "Secret", source))? else {
        if live.as_ref().is_some_and(|live| obstacle("Secret", &live.metadata, instance).is_none()) {
            // Redis has its password and serves; that its source is gone is no reason to say otherwise.
            tracing::warn!(secret = source, "the Secret of the password is gone; the one derived from it stays");
            return Ok(None);
        }
        let message =
            format!("waiting for Secret {source} with the password under the key \"{PASSWORD_KEY}\"; create it");
        return Ok(Some(Finding::Waiting(Reason::SecretNotFound, message)));
    };
    let password = match Password::parse(bytes(&theirs)) {
        Ok(password) => password,
        Err(error) => return Ok(Some(Finding::Waiting(Reason::PasswordUnusable, format!("Secret {source} {error}")))),
    };
    follow(instance, &password, live.as_ref(), context).await
}

/// Brings the Secret to this password, and says so when a running Redis has another one.
async fn follow(
    instance: &ValidatedInstance,
    password: &Password,
    live: Option<&Secret>,
    context: &Context,
) -> Result<Option<Finding>, Error> {
    let included = live.and_then(|live| live.data.as_ref()?.get(AUTH_CONF_KEY));
    let changed = included.is_some_and(|included| included.0 != password.conf().into_bytes());
    let finding = apply::ensure(instance, auth_secret(instance, password), live, context).await?.err();
    if finding.is_none() {
        context.remember(&instance.uid, |memory| memory.password = Some(password.clone()));
    }
    if changed && finding.is_none() {
        events::password_changed(instance, "follows its source", context).await;
    }
    Ok(finding)
}

fn bytes(secret: &Secret) -> Option<&[u8]> {
    secret.data.as_ref().and_then(|data| data.get(PASSWORD_KEY)).map(|bytes| bytes.0.as_slice())
}
