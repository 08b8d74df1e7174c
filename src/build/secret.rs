//! The Secret that the pods mount: the password, and the lines that redis.conf includes. The only object that holds it.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};

use super::metadata;
use crate::domain::{
    auth::Password,
    instance::ValidatedInstance,
    names::{AUTH_CONF_KEY, PASSWORD_KEY},
};

/// The Secret for this password.
#[must_use]
pub fn auth_secret(instance: &ValidatedInstance, password: &Password) -> Secret {
    let data = BTreeMap::from([
        (PASSWORD_KEY.to_owned(), ByteString(password.as_bytes().to_vec())),
        (AUTH_CONF_KEY.to_owned(), ByteString(password.conf().into_bytes())),
    ]);
    Secret {
        metadata: metadata(instance, instance.auth_secret()),
        data: Some(data),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}
