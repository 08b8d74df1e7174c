//! What the operator was allowed and what it did, over all that the tests before this one had it do: it asked for nothing
//! that is not granted, and nothing is granted that it never asked for. The last of its tier, by its name.

mod common;

use std::collections::BTreeSet;

use common::{audit, manifests::manifests};
use jiff::Timestamp;
use serde_json::Value;

const OPERATOR: &str = "system:serviceaccount:redis-operator-system:redis-operator";
/// Granted and not asked for, each with the reason why it stays.
const UNUSED: &[(&str, &str, &str)] = &[
    // Asked for by admission of owner references, where that is on.
    ("redis.github.com", "redisinstances/finalizers", "update"),
    // Asked for by `check-webhook`, where an administrator runs it in the operator's pod.
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "get"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", "get"),
];

type Permission = (String, String, String);

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn what_is_granted_is_used_and_nothing_else_is_asked_for() {
    let granted = granted();
    let (mut used, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for entry in audit::since(Timestamp::UNIX_EPOCH).iter().filter(|entry| entry.user() == OPERATOR) {
        let permission = (entry.group().to_owned(), entry.resource(), entry.verb().to_owned());
        if entry.is_unauthorized() {
            refused.insert(permission);
        } else {
            used.insert(permission);
        }
    }
    let unknown: Vec<_> = used.iter().filter(|permission| !granted.contains(*permission)).collect();
    assert!(unknown.is_empty(), "asked for and not in manifests/rbac.yaml: {unknown:?}");
    assert!(refused.is_empty(), "asked for without permission: {refused:?}");
    let unused: BTreeSet<_> = granted.difference(&used).cloned().collect();
    let known = UNUSED.iter().map(|(group, resource, verb)| [group, resource, verb].map(|word| (*word).to_owned()));
    let known: BTreeSet<_> = known.map(|[group, resource, verb]| (group, resource, verb)).collect();
    assert_eq!(unused, known, "granted and never asked for in the whole tier");
}

/// Every rule of the operator's own roles, taken apart.
fn granted() -> BTreeSet<Permission> {
    let words = |rule: &Value, key: &str| -> Vec<String> { serde_json::from_value(rule[key].clone()).unwrap() };
    let mut granted = BTreeSet::new();
    for object in manifests("rbac.yaml") {
        let is_of_people = object["metadata"]["labels"].to_string().contains("aggregate-to");
        for rule in object["rules"].as_array().into_iter().flatten().filter(|_| !is_of_people) {
            for group in words(rule, "apiGroups") {
                for resource in words(rule, "resources") {
                    let each = words(rule, "verbs").into_iter();
                    granted.extend(each.map(|verb| (group.clone(), resource.clone(), verb)));
                }
            }
        }
    }
    granted
}
