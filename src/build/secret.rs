//! The Secret that the pods mount: the password, and the lines that redis.conf includes. The only object that holds it.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};

use super::metadata;
use crate::domain::{
    auth::Password,
    instance::ValidatedInstance,
    names::{AUTH_CONF_KEY, FORMER_PASSWORD_KEY, FORMER_UNTIL_ANNOTATION, PASSWORD_KEY},
    rotation::Keys,
};

/// The Secret for this password, and for the one before it while that is accepted too: a server that starts takes the one,
/// and the operator gives it the other.
#[must_use]
pub fn auth_secret(instance: &ValidatedInstance, keys: &Keys) -> Secret {
    auth_secret_with(instance, keys, &keys.current)
}

/// The Secret with another password under the key `password`: the user wrote it there, and the servers do not accept it
/// yet.
#[must_use]
pub fn auth_secret_with(instance: &ValidatedInstance, keys: &Keys, password: &Password) -> Secret {
    let mut data = BTreeMap::from([
        (PASSWORD_KEY.to_owned(), ByteString(password.as_bytes().to_vec())),
        (AUTH_CONF_KEY.to_owned(), ByteString(keys.current.conf().into_bytes())),
    ]);
    let mut metadata = metadata(instance, instance.auth_secret());
    if let Some(former) = &keys.former {
        data.insert(FORMER_PASSWORD_KEY.to_owned(), ByteString(former.password.as_bytes().to_vec()));
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(FORMER_UNTIL_ANNOTATION.to_owned(), former.until.to_string());
    }
    Secret { metadata, data: Some(data), type_: Some("Opaque".to_owned()), ..Secret::default() }
}
