//! The operator's account in a test: the permissions of `manifests/rbac.yaml` and no others. Knows no test.

use std::{env, fs};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    cluster::Place,
    manifests::{manifest, manifests},
};

/// Name of the operator's account.
pub(super) const ACCOUNT: &str = "redis-operator";

/// A token of an account in this namespace that may do what `manifests/rbac.yaml` lets the loop do: everywhere, or in
/// these namespaces only.
pub(super) async fn token(place: &Place, namespaces: &[&str]) -> String {
    let ours = PatchParams::apply("test").force();
    let roles: Api<ClusterRole> = Api::all(place.client.clone());
    roles.patch("redis-operator", &ours, &Patch::Apply(manifest("rbac.yaml"))).await.unwrap();
    let accounts = place.api::<ServiceAccount>();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}});
    accounts.patch(ACCOUNT, &ours, &Patch::Apply(account)).await.unwrap();
    let mut binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": place.namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "redis-operator"},
        "subjects": [subject(place)]});
    if namespaces.is_empty() {
        binding["kind"] = json!("ClusterRoleBinding");
        let bindings: Api<ClusterRoleBinding> = Api::all(place.client.clone());
        bindings.patch(&place.namespace, &ours, &Patch::Apply(&binding)).await.unwrap();
    }
    for namespace in namespaces {
        binding["kind"] = json!("RoleBinding");
        let bindings: Api<RoleBinding> = Api::namespaced(place.client.clone(), namespace);
        bindings.patch(&place.namespace, &ours, &Patch::Apply(&binding)).await.unwrap();
    }
    let request = TokenRequest {
        spec: TokenRequestSpec { audiences: Vec::new(), ..TokenRequestSpec::default() },
        ..TokenRequest::default()
    };
    accounts.create_token_request(ACCOUNT, &PostParams::default(), &request).await.unwrap().status.unwrap().token
}

fn subject(place: &Place) -> Value {
    json!({"kind": "ServiceAccount", "name": ACCOUNT, "namespace": place.namespace})
}

/// Lets the account of `place` do in the namespace of `home` what the operator does in its own: the Lease, and the Secret of
/// its certificates; and what it does with the webhook configurations.
pub(crate) async fn admit(place: &Place, home: &Place) {
    let ours = PatchParams::apply("test").force();
    for mut object in manifests("rbac.yaml") {
        let (kind, name) = (object["kind"].clone(), object["metadata"]["name"].clone());
        match (kind.as_str().unwrap(), name.as_str().unwrap()) {
            ("ClusterRole", "redis-operator-webhooks") => {
                let roles: Api<ClusterRole> = Api::all(place.client.clone());
                roles.patch("redis-operator-webhooks", &ours, &Patch::Apply(object)).await.unwrap();
            }
            ("ClusterRoleBinding", "redis-operator-webhooks") => {
                object["metadata"]["name"] = json!(format!("{}-webhooks", place.namespace));
                object["subjects"] = json!([subject(place)]);
                let bindings: Api<ClusterRoleBinding> = Api::all(place.client.clone());
                let name = format!("{}-webhooks", place.namespace);
                bindings.patch(&name, &ours, &Patch::Apply(object)).await.unwrap();
            }
            ("Role", name) => {
                object["metadata"]["namespace"] = json!(home.namespace);
                home.api::<Role>().patch(name, &ours, &Patch::Apply(&object)).await.unwrap();
            }
            ("RoleBinding", _) => {
                object["metadata"] = json!({"name": place.namespace, "namespace": home.namespace});
                object["subjects"] = json!([subject(place)]);
                home.api::<RoleBinding>().patch(&place.namespace, &ours, &Patch::Apply(object)).await.unwrap();
            }
            _ => {}
        }
    }
}

/// A kubeconfig like the test's own, for the account of this token.
pub(super) fn account(token: &str, server: Option<&str>) -> String {
    let file = env::var("KUBECONFIG").expect("KUBECONFIG must name a cluster");
    let mut kubeconfig: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    kubeconfig["users"][0]["user"] = json!({ "token": token });
    if let Some(server) = server {
        kubeconfig["clusters"][0]["cluster"] = json!({ "server": server });
    }
    kubeconfig.to_string()
}
