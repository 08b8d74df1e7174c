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

/// One rule of a role.
#[derive(Clone, Copy)]
struct Permission {
    /// API group; empty for the core group.
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    /// Object names that the rule is restricted to; empty for all names.
    names: &'static [&'static str],
    /// Why the operator needs it, for SECURITY.md.
    why: &'static str,
}

const fn rule(
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    why: &'static str,
) -> Permission {
    Permission { group, resources, verbs, names: &[], why }
}

const fn named(rule: Permission, names: &'static [&'static str]) -> Permission {
    Permission { names, ..rule }
}

/// The reconcile loop, in every watched namespace.
const LOOP: &[Permission] = &[
    rule(
        "",
        &["configmaps"],
        &["create", "get", "list", "patch", "watch"],
        "redis.conf and the scripts of each instance",
    ),
    rule(
        "",
        &["services"],
        &["create", "delete", "get", "list", "patch", "watch"],
        "the Services of each instance; `delete` removes `NAME-replicas` when one pod is left",
    ),
    rule(
        "",
        &["persistentvolumeclaims"],
        &["delete", "list", "patch", "watch"],
        "`patch` grows volumes, sets the owner reference of `retention: Delete`, records the replication state and labels a PVC that was made by hand; `delete` \
         replaces the volume of one pod after the user changed `storageClassName`, and only while every other pod has its data",
    ),
    rule(
        "",
        &["pods"],
        &["delete", "list", "patch", "watch"],
        "`patch` sets the role labels that the Services select; `delete` replaces a pod that cannot start with its present \
         template or configuration, or whose volume moves to another StorageClass, and ends a primary that does not answer before \
         another is promoted",
    ),
    rule(
        "",
        &["secrets"],
        &["create", "get", "patch"],
        "`NAME-auth`, and the Secret of `spec.auth.secretName`, by name; neither `list` nor `watch`",
    ),
    rule(
        "apps",
        &["statefulsets"],
        &["create", "delete", "get", "list", "patch", "watch"],
        "the StatefulSet of each instance; `delete` with orphan cascade to enlarge the claim template, or with its pods where \
         the user chose `updatePolicy: Recreate`",
    ),
    rule(
        "storage.k8s.io",
        &["storageclasses"],
        &["get"],
        "checks that the StorageClass exists to which volumes are to move; not available to an operator of named namespaces",
    ),
    rule(
        "policy",
        &["poddisruptionbudgets"],
        &["create", "delete", "get", "list", "patch", "watch"],
        "the PodDisruptionBudget of an instance with several pods",
    ),
    rule(
        "events.k8s.io",
        &["events"],
        &["create", "list", "patch"],
        "events about each instance; `list` reads why the API server rejects the pods of a StatefulSet that lacks pods",
    ),
    rule(api::GROUP, &["redisinstances"], &["list", "watch"], "the instances"),
    rule(
        api::GROUP,
        &["redisinstances/finalizers"],
        &["update"],
        "sets `blockOwnerDeletion` where the cluster checks owner references",
    ),
    rule(api::GROUP, &["redisinstances/status"], &["patch"], "the status of each instance"),
];

/// The operator's own namespace: the Lease, and the Secret of self-managed certificates. The API server authorizes a creation
/// without a name, so only the other verbs can be restricted to names.
const OWN_NAMESPACE: &[Permission] = &[
    rule("", &["secrets"], &["create"], "creates `redis-operator-webhook-cert` (self-managed certificates only)"),
    named(
        rule("", &["secrets"], &["get", "update"], "the webhooks' certificates (self-managed certificates only)"),
        &["redis-operator-webhook-cert"],
    ),
    rule("coordination.k8s.io", &["leases"], &["create"], "creates the Lease of leader election"),
    named(rule("coordination.k8s.io", &["leases"], &["get", "update"], "leader election"), &[OPERATOR]),
];

/// Read by name for `check-webhook`, and watched by name.
const CONFIGURATIONS: &[&str] = &["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];

/// The cluster-wide rules of self-managed certificates. An operator of named namespaces is not granted the first one.
const WEBHOOKS: &[Permission] = &[
    rule(
        "admissionregistration.k8s.io",
        CONFIGURATIONS,
        &["create"],
        "restores a deleted webhook configuration; RBAC cannot restrict it to a name; not granted for named namespaces",
    ),
    named(
        rule(
            "admissionregistration.k8s.io",
            CONFIGURATIONS,
            &["get", "list", "patch", "watch"],
            "writes the CA into the two webhook configurations",
        ),
        &[OPERATOR],
    ),
    named(
        rule(
            "rbac.authorization.k8s.io",
            &["clusterroles"],
            &["get"],
            "reads the ClusterRole that owns a restored webhook configuration",
        ),
        &["redis-operator-webhooks"],
    ),
];

/// What people may do with instances who may edit, or view, what is in a namespace.
const PEOPLE: &[(&str, &str, &[Permission])] = &[
    (
        "redis-operator-edit",
        "edit",
        &[
            rule(
                api::GROUP,
                &["redisinstances"],
                &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
                "",
            ),
            rule(api::GROUP, &["redisinstances/scale"], &["get", "patch", "update"], ""),
            rule(api::GROUP, &["redisinstances/status"], &["get"], ""),
        ],
    ),
    (
        "redis-operator-view",
        "view",
        &[rule(
            api::GROUP,
            &["redisinstances", "redisinstances/scale", "redisinstances/status"],
            &["get", "list", "watch"],
            "",
        )],
    ),
];

/// Every role and binding of the operator that looks after all namespaces, in the order in which they are applied.
///
/// # Errors
/// When one does not pass through JSON, which is a defect of this program.
pub fn all() -> serde_json::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for (name, rules) in
        [(OPERATOR.to_owned(), policy_rules(LOOP)), (format!("{OPERATOR}-webhooks"), policy_rules(WEBHOOKS))]
    {
        objects.push(serde_json::to_value(cluster_role(&name, None, rules))?);
        objects.push(serde_json::to_value(ClusterRoleBinding {
            metadata: metadata(&name),
            role_ref: reference("ClusterRole", &name),
            subjects: Some(vec![account()]),
        })?);
    }
    let own = ObjectMeta { namespace: Some(NAMESPACE.to_owned()), ..metadata(OPERATOR) };
    objects.push(serde_json::to_value(Role { metadata: own.clone(), rules: Some(policy_rules(OWN_NAMESPACE)) })?);
    objects.push(serde_json::to_value(RoleBinding {
        metadata: own,
        role_ref: reference("Role", OPERATOR),
        subjects: Some(vec![account()]),
    })?);
    for (name, into, permissions) in PEOPLE {
        objects.push(serde_json::to_value(cluster_role(name, Some(into), policy_rules(permissions)))?);
    }
    Ok(objects)
}

/// The operator's permissions as Markdown tables for SECURITY.md, ending in a newline.
#[must_use]
pub fn markdown() -> String {
    let parts = [
        ("In every watched namespace (ClusterRole `redis-operator`)", LOOP),
        ("In the operator's own namespace (Role `redis-operator`)", OWN_NAMESPACE),
        ("In the cluster, with self-managed certificates only (ClusterRole `redis-operator-webhooks`)", WEBHOOKS),
    ];
    let tables = parts.map(|(title, permissions)| {
        let rows: String = permissions.iter().map(row).collect();
        format!("{title}:\n\n| resource | verbs | purpose |\n|---|---|---|\n{rows}")
    });
    tables.join("\n")
}

fn row(Permission { group, resources, verbs, names, why }: &Permission) -> String {
    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
    let resources: Vec<String> = resources.iter().map(|resource| format!("`{resource}{group}`")).collect();
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let only = if names.is_empty() { String::new() } else { format!(" named {}", names.join(", ")) };
    format!("| {}{only} | {} | {why} |\n", resources.join(", "), verbs.join(", "))
}

fn policy_rules(permissions: &[Permission]) -> Vec<PolicyRule> {
    permissions.iter().map(policy_rule).collect()
}

fn policy_rule(Permission { group, resources, verbs, names, .. }: &Permission) -> PolicyRule {
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
