//! Classifies the differences of `spec.config` and `spec.updatePolicy.config`.

use super::{Change, Class, fields::change};
use crate::{
    api::v1::ConfigUpdate,
    domain::{
        directives::release::{Release, release},
        effective::Effective,
        image::ImageReference,
        instance::ValidatedInstance,
        live::Live,
        persistence::decides_files,
        redis_conf::{comes_with_replication, restart_hash},
    },
};

/// Directives that determine the data files change on the running servers first. The others are applied live if all of
/// them can be and the policy allows it; otherwise all of them wait for the restart.
pub(super) fn config(live: &Live, desired: &ValidatedInstance, others: &[Change]) -> Vec<Change> {
    let wanted = Effective::of(desired, release(&desired.image));
    let mut changed = live.config.as_ref().map(|before| before.differing(&wanted)).unwrap_or_default();
    // Directives that the operator adds or removes with replication are not changes by the user; the change of replicas
    // is reported instead.
    changed.retain(|name| !comes_with_replication(name) || desired.config.iter().any(|(own, _)| own == name));
    let restart = match desired.config_update {
        ConfigUpdate::Recreate => Class::Recreate,
        ConfigUpdate::Auto | ConfigUpdate::RollingUpdate => Class::Rolling,
    };
    let (files, changed): (Vec<String>, Vec<String>) = changed.into_iter().partition(|name| decides_files(name));
    let of = |class: Class, names: &[String]| Change {
        class,
        fields: names.iter().map(|name| format!("spec.config[{name}]")).collect(),
        reason: format!("config changed: {}", names.join(", ")),
    };
    let mut found: Vec<Change> = (!files.is_empty()).then(|| of(Class::Persistence, &files)).into_iter().collect();
    let stale = live.restart_hash != restart_hash(desired);
    if changed.is_empty() {
        // Another release, or another choice about the password, also changes the start configuration, and causes a
        // rollout anyway.
        let rolls_anyway = others.iter().any(|change| change.class == Class::Rolling);
        let reason = "the pods were started with another configuration, or under another update policy".to_owned();
        found.extend((stale && !rolls_anyway).then(|| change(restart, "spec.updatePolicy.config", reason)));
        return found;
    }
    // A directive that only the release of the new image supports is applied when the pods run that image.
    let present = ImageReference::parse(&live.image).map_or(Release::Unknown, |image| release(&image));
    let is_new = live.image != desired.image.as_str() && changed.iter().any(|name| !present.is_live(name));
    let class = match (stale, is_new) {
        (true, _) => restart,
        (false, true) => Class::Rolling,
        (false, false) => Class::Live,
    };
    found.push(of(class, &changed));
    found
}
