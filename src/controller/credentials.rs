//! What to log in to the servers of an instance with. A login with the name of the user is taken by a server without a password
//! too, so one login does for all pods while some of them have a password and others do not.

use std::time::Instant;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::{context::Context, error::Error, own_secret, secret::LOOK, servers};
use crate::{
    domain::{
        instance::{Auth, ValidatedInstance},
        names,
        reason::Reason,
        rotation::Keys,
    },
    redis::Credentials,
};

/// What the servers of an instance accept; `None` if no server asks for a password.
pub(super) async fn keys(instance: &ValidatedInstance, context: &Context) -> Result<Option<Keys>, Error> {
    let needed = || {
        is_demanded(&instance.uid, context)
            || servers::running(instance, context).iter().any(|server| server.has_password)
    };
    if instance.auth == Auth::Disabled && !needed() {
        return Ok(None);
    }
    keys_of(&instance.namespace, &instance.name, &instance.uid, context).await
}

/// The same for an instance of which no more is known than that a server of it has a password.
pub(super) async fn keys_of(
    namespace: &str,
    instance: &str,
    uid: &str,
    context: &Context,
) -> Result<Option<Keys>, Error> {
    let now = Instant::now();
    let (known, absent) = context.recall(uid, |memory| {
        let passwords = &memory.passwords;
        (passwords.keys.clone(), passwords.absent_until.is_some_and(|until| now < until))
    });
    if known.is_some() || absent {
        return Ok(known);
    }
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let name = names::auth_secret(instance);
    let secret = api.get_opt(&name).await.map_err(Error::request("get", "Secret", &name))?;
    let whose = (namespace, instance, uid);
    let ours = secret.filter(|secret| own_secret::is_usable(&secret.metadata, whose, context));
    let keys = ours.as_ref().and_then(own_secret::read);
    context.remember(uid, |memory| {
        memory.passwords.absent_until = keys.is_none().then_some(now + LOOK);
        memory.passwords.keys.clone_from(&keys);
    });
    Ok(keys)
}

/// What to log in with.
pub(super) fn credentials(keys: &Keys) -> Credentials<'_> {
    let former = keys.former.as_ref().map(|former| former.password.as_bytes());
    Credentials { current: keys.current.as_bytes(), former }
}

/// The reason to report when a server takes none of the passwords. Where there should be none, it is found out for the next pass.
pub(super) fn refused(instance: &ValidatedInstance, context: &Context) -> Reason {
    if instance.auth == Auth::Disabled {
        demand(&instance.uid, context);
    }
    Reason::PasswordDiffers
}

/// Remembers that a server asks for a password that none of the pods was made to have: its redis.conf was older than the pod,
/// or newer.
pub(super) fn demand(uid: &str, context: &Context) {
    context.remember(uid, |memory| memory.passwords.demanded = true);
}

/// Whether a server did.
pub(super) fn is_demanded(uid: &str, context: &Context) -> bool {
    context.recall(uid, |memory| memory.passwords.demanded)
}
