//! What is legal and yet worth a word to the user at `kubectl apply`. At most 120 characters each, as the API asks.
//! Judges a checked instance; refuses nothing.

use super::{
    cross_field,
    directives::release::{Release, release},
    instance::{Auth, ValidatedInstance},
};
use crate::api::v1::ConfigUpdate;

/// One line a warning, in the order of the spec.
#[must_use]
pub fn warnings(instance: &ValidatedInstance) -> Vec<String> {
    let checks: [(bool, &str); 4] = [
        (
            instance.image.is_mutable(),
            "spec.image: mutable tag: what runs can change at any restart; pin a version or digest",
        ),
        (
            instance.storage.class.as_deref() == Some(""),
            "spec.storage.storageClassName: \"\" waits for a volume made by hand; leave it out for the default class",
        ),
        (
            instance.auth == Auth::Disabled,
            "spec.auth.enabled: false: every pod that reaches this Redis can read, write and delete all of its data",
        ),
        (
            instance.config_update == ConfigUpdate::Recreate,
            "spec.updatePolicy.config: Recreate is not built yet: a change of config rolls the pods one at a time",
        ),
    ];
    let plain = checks.into_iter().filter(|(applies, _)| *applies).map(|(_, text)| text.to_owned());
    plain.chain(unjudged(instance)).chain(cross_field::doubts(instance)).collect()
}

/// What of the configuration could not be judged by the tables.
fn unjudged(instance: &ValidatedInstance) -> Vec<String> {
    let release = release(&instance.image);
    let mut warnings = Vec::new();
    if matches!(release, Release::Unknown) && instance.config.iter().next().is_some() {
        warnings.push(
            "spec.image: its name tells no known version, so spec.config is checked against all of them".to_owned(),
        );
    }
    let vouched =
        |name: &&str| instance.vouched.iter().any(|vouched| vouched == name) && release.candidates(name).is_empty();
    warnings.extend(
        instance.config.iter().map(|(name, _)| name).filter(vouched).map(|name| {
            format!("spec.config[{name}]: unknown, passed on as it is because the annotation vouches for it")
        }),
    );
    warnings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::instance::tests::validated;

    #[test]
    fn each_warning_is_short_enough_for_the_api() {
        let all = warnings(&validated(
            json!({"image": "redis", "storage": {"storageClassName": ""}, "auth": {"enabled": false}}),
        ));
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|text| text.len() <= 120), "{all:?}");
        assert!(warnings(&validated(json!({}))).is_empty());
    }
}
