//! Every permission the operator needs, once: the roles are generated from these lists.
//! A call that is not covered here fails on a real cluster; a line that no call needs is one too many.

use k8s_openapi::{
    api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde_json::Value;

use crate::{api, domain::names::OPERATOR};

/// Namespace that the manifests put the operator into.
pub const NAMESPACE: &str = "redis-operator-system";

/// API group, resources and verbs.
type Permission = (&'static str, &'static [&'static str], &'static [&'static str]);

/// What the reconcile loop asks for, in every namespace that it looks after; each with its reason beside it.
const LOOP: &[Permission] = &[
    ("", &["configmaps"], &["create", "get", "list", "patch", "watch"]),
    // Deleted is the Service for reads, when one pod is left.
    ("", &["services"], &["create", "delete", "get", "list", "patch", "watch"]),
    // To grow, and to go or stay with the instance, the claims are patched. Deleted is the claim of a pod whose volume the
    // user moves to another StorageClass, when every other pod has its data; never created.
    ("", &["persistentvolumeclaims"], &["delete", "list", "patch", "watch"]),
    // To say which pod does not serve, and why. One whose Redis ends again and again is deleted when its configuration was
    // corrected, instead of waiting minutes for the kubelet to try again. Patched are the labels that tell the primary.
    ("", &["pods"], &["delete", "list", "patch", "watch"]),
    // By name only: no list and no watch, so the operator never sees a Secret it does not know of.
    ("", &["secrets"], &["create", "get", "patch"]),
    // Deleted without its pods, to take a larger claim template; or with them, where the user asked for that.
    ("apps", &["statefulsets"], &["create", "delete", "get", "list", "patch", "watch"]),
    // Whether there is the StorageClass that volumes are to move to. Where the operator looks after some namespaces only, a
    // Role cannot give this, and nobody is asked.
    ("storage.k8s.io", &["storageclasses"], &["get"]),
    ("policy", &["poddisruptionbudgets"], &["create", "delete", "get", "list", "patch", "watch"]),
    ("events.k8s.io", &["events"], &["create", "patch"]),
    (api::GROUP, &["redisinstances"], &["list", "watch"]),
    // Clusters that check owner references ask for this to set blockOwnerDeletion.
    (api::GROUP, &["redisinstances/finalizers"], &["update"]),
    (api::GROUP, &["redisinstances/status"], &["patch"]),
];

/// What the operator asks for in its own namespace: the Lease, and the Secret of self-managed certificates. What is created
/// has no name yet when it is judged, so a name can be asked for only with the other verbs.
const OWN_NAMESPACE: &[(Permission, &[&str])] = &[
    (("", &["secrets"], &["create"]), &[]),
    (("", &["secrets"], &["get", "update"]), &["redis-operator-webhook-cert"]),
    (("coordination.k8s.io", &["leases"], &["create"]), &[]),
    (("coordination.k8s.io", &["leases"], &["get", "update"]), &[OPERATOR]),
];

/// Read by name for `check-webhook`, and watched by name.
const CONFIGURATIONS: &[&str] = &["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];

/// What self-managed certificates ask for beyond that: the caBundle in the two webhook configurations, which are put back
/// when they are gone, owned by the ClusterRole that permits it.
const WEBHOOKS: &[(Permission, &[&str])] = &[
    (("admissionregistration.k8s.io", CONFIGURATIONS, &["create"]), &[]),
    (("admissionregistration.k8s.io", CONFIGURATIONS, &["get", "list", "patch", "watch"]), &[OPERATOR]),
    (("rbac.authorization.k8s.io", &["clusterroles"], &["get"]), &["redis-operator-webhooks"]),
];

/// What people may do with instances who may edit, or view, what is in a namespace.
const PEOPLE: &[(&str, &str, &[Permission])] = &[
    (
        "redis-operator-edit",
        "edit",
        &[
            (
                api::GROUP,
                &["redisinstances"],
                &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            ),
            (api::GROUP, &["redisinstances/scale"], &["get", "patch", "update"]),
            (api::GROUP, &["redisinstances/status"], &["get"]),
        ],
    ),
    (
        "redis-operator-view",
        "view",
        &[(
            api::GROUP,
            &["redisinstances", "redisinstances/scale", "redisinstances/status"],
            &["get", "list", "watch"],
        )],
    ),
];

/// Every role and binding of the operator that looks after all namespaces, in the order in which they are applied.
///
/// # Errors
/// When one does not pass through JSON, which is a defect of this program.
pub fn all() -> serde_json::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for (name, rules) in [(OPERATOR.to_owned(), loop_rules()), (format!("{OPERATOR}-webhooks"), named_rules(WEBHOOKS))]
    {
        objects.push(serde_json::to_value(cluster_role(&name, None, rules))?);
        objects.push(serde_json::to_value(ClusterRoleBinding {
            metadata: metadata(&name),
            role_ref: reference("ClusterRole", &name),
            subjects: Some(vec![account()]),
        })?);
    }
    let own = ObjectMeta { namespace: Some(NAMESPACE.to_owned()), ..metadata(OPERATOR) };
    objects.push(serde_json::to_value(Role { metadata: own.clone(), rules: Some(named_rules(OWN_NAMESPACE)) })?);
    objects.push(serde_json::to_value(RoleBinding {
        metadata: own,
        role_ref: reference("Role", OPERATOR),
        subjects: Some(vec![account()]),
    })?);
    for (name, into, permissions) in PEOPLE {
        let rules = permissions.iter().map(|permission| rule(permission, &[])).collect();
        objects.push(serde_json::to_value(cluster_role(name, Some(into), rules))?);
    }
    Ok(objects)
}

fn loop_rules() -> Vec<PolicyRule> {
    LOOP.iter().map(|permission| rule(permission, &[])).collect()
}

fn named_rules(permissions: &[(Permission, &[&str])]) -> Vec<PolicyRule> {
    permissions.iter().map(|(permission, names)| rule(permission, names)).collect()
}

fn rule((group, resources, verbs): &Permission, names: &[&str]) -> PolicyRule {
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(strings(&[group])),
        resources: Some(strings(resources)),
        resource_names: (!names.is_empty()).then(|| strings(names)),
        verbs: strings(verbs),
        ..PolicyRule::default()
    }
}

/// A ClusterRole; `into` names a built-in one that takes up its rules.
fn cluster_role(name: &str, into: Option<&str>, rules: Vec<PolicyRule>) -> ClusterRole {
    let mut metadata = metadata(name);
    let wider: &[&str] = if into == Some("edit") { &["admin", "edit"] } else { &["view"] };
    for wide in wider.iter().filter(|_| into.is_some()) {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{wide}");
        metadata.labels.get_or_insert_default().insert(label, "true".to_owned());
    }
    ClusterRole { metadata, rules: Some(rules), ..ClusterRole::default() }
}

fn metadata(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some([("app.kubernetes.io/name".to_owned(), OPERATOR.to_owned())].into()),
        ..ObjectMeta::default()
    }
}

fn reference(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: "rbac.authorization.k8s.io".to_owned(), kind: kind.to_owned(), name: name.to_owned() }
}

fn account() -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: OPERATOR.to_owned(),
        namespace: Some(NAMESPACE.to_owned()),
        ..Subject::default()
    }
}
