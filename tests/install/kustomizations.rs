//! The folders of `manifests/`: the rendered default, the overlay, and the permissions that each variant grants.

use std::fs;

use super::{NAMESPACE, key, kustomize, objects, root};

#[test]
#[ignore = "runs kubectl: tests/run.sh install"]
fn install_yaml_is_the_default_rendered() {
    let committed = fs::read_to_string(root().join("manifests/install.yaml")).unwrap();
    let (_, rendered) = committed.split_once('\n').unwrap();
    assert!(rendered == kustomize("manifests"), "manifests/install.yaml is stale; run `just generate`");
    assert_eq!(rendered, kustomize("manifests/default"), "left: manifests; right: manifests/default");
}

#[test]
#[ignore = "runs kubectl: tests/run.sh install"]
fn the_example_of_an_overlay_is_what_it_says() {
    let made = objects(&kustomize("manifests/samples/overlay"));
    let deployment = &made[&key("Deployment", NAMESPACE, "redis-operator")];
    assert_eq!(deployment["spec"]["replicas"], 3);
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, "registry.example.com/redis-operator:0.1.0");
    assert!(made.contains_key(&key("ServiceMonitor", NAMESPACE, "redis-operator")), "{:?}", made.keys());
    assert!(made.contains_key(&key("NetworkPolicy", NAMESPACE, "redis-operator")), "{:?}", made.keys());
}

#[test]
#[ignore = "runs kubectl: tests/run.sh install"]
fn without_certificates_of_its_own_the_operator_may_touch_no_secret_of_its_namespace_and_no_webhook() {
    for folder in ["manifests/provided", "manifests/cert-manager"] {
        let made = objects(&kustomize(folder));
        let role = made[&key("Role", NAMESPACE, "redis-operator")].to_string();
        assert!(role.contains("leases") && !role.contains("secrets"), "{folder}: {role}");
        let about_webhooks: Vec<_> = made
            .iter()
            .filter(|((kind, ..), object)| {
                kind == "ClusterRole" && object.to_string().contains("admissionregistration.k8s.io")
            })
            .collect();
        assert!(about_webhooks.is_empty(), "{folder}: {about_webhooks:?}");
    }
}

#[test]
#[ignore = "runs kubectl: tests/run.sh install"]
fn a_namespaced_operator_may_do_its_work_in_the_watched_namespace_alone() {
    let made = objects(&kustomize("manifests/namespaced"));
    let bound: Vec<_> = made
        .iter()
        .filter(|((kind, ..), object)| kind.ends_with("RoleBinding") && object["roleRef"]["name"] == "redis-operator")
        .map(|((kind, namespace, _), object)| {
            (kind.as_str(), namespace.as_str(), object["roleRef"]["kind"].as_str().unwrap())
        })
        .collect();
    assert_eq!(bound, [("RoleBinding", "default", "ClusterRole"), ("RoleBinding", NAMESPACE, "Role")]);
    // The operator's ClusterRole that is bound in the whole cluster: it creates nothing and reads nothing but by name.
    let cluster_wide: Vec<&str> = made
        .iter()
        .filter(|((kind, ..), _)| kind == "ClusterRoleBinding")
        .map(|(_, object)| object["roleRef"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(cluster_wide, ["redis-operator-webhooks"]);
    let rules = made[&key("ClusterRole", "", "redis-operator-webhooks")]["rules"].as_array().unwrap();
    assert!(!rules.is_empty());
    for rule in rules {
        assert!(rule["resourceNames"].is_array(), "not restricted to names: {rule}");
        assert!(!rule["verbs"].to_string().contains("create"), "{rule}");
    }
}
