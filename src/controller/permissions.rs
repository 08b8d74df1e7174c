//! Every permission the operator needs, once: the ClusterRole is generated from this list.
//! A call that is not covered here fails on a real cluster; a line that no call needs is one too many.

use k8s_openapi::{
    api::rbac::v1::{ClusterRole, PolicyRule},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::{api, domain::names::OPERATOR};

/// API group, resources and verbs, each with its reason beside it.
const PERMISSIONS: &[(&str, &[&str], &[&str])] = &[
    ("", &["configmaps", "services"], &["create", "get", "list", "patch", "watch"]),
    // To grow, and to go or stay with the instance: the claims are patched, never created or deleted.
    ("", &["persistentvolumeclaims"], &["list", "patch", "watch"]),
    // To say which pod does not serve, and why. One whose Redis ends again and again is deleted when its configuration was
    // corrected, instead of waiting minutes for the kubelet to try again.
    ("", &["pods"], &["delete", "list", "watch"]),
    // By name only: no list and no watch, so the operator never sees a Secret it does not know of.
    ("", &["secrets"], &["create", "get", "patch"]),
    // Deleted without its pods, to take a larger claim template; or with them, where the user asked for that.
    ("apps", &["statefulsets"], &["create", "delete", "get", "list", "patch", "watch"]),
    ("events.k8s.io", &["events"], &["create", "patch"]),
    (api::GROUP, &["redisinstances"], &["get", "list", "watch"]),
    // Clusters that check owner references ask for this to set blockOwnerDeletion.
    (api::GROUP, &["redisinstances/finalizers"], &["update"]),
    (api::GROUP, &["redisinstances/status"], &["patch"]),
];

/// The ClusterRole of the operator.
#[must_use]
pub fn cluster_role() -> ClusterRole {
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let rules = PERMISSIONS.iter().map(|(group, resources, verbs)| PolicyRule {
        api_groups: Some(strings(&[group])),
        resources: Some(strings(resources)),
        verbs: strings(verbs),
        ..PolicyRule::default()
    });
    ClusterRole {
        metadata: ObjectMeta { name: Some(OPERATOR.to_owned()), ..ObjectMeta::default() },
        rules: Some(rules.collect()),
        ..ClusterRole::default()
    }
}
