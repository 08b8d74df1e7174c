//! The same objects from the chart and from the kustomizations.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{EVERY_MONITOR, NAMESPACE, Objects, kustomize, objects, template};

/// Labels and annotations that only Helm's objects have: how it finds its own again, and what it keeps.
const HELMS_OWN: &[&str] = &[
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
    "helm.sh/resource-policy",
];

/// What is installed by these folders of `manifests/`, and by the chart with these values.
const SAME: &[(&[&str], &str)] = &[
    (&["default"], ""),
    (&["provided"], "certificates.source=provided"),
    (&["cert-manager"], "certificates.source=cert-manager"),
    (&["namespaced"], "watchNamespaces={default}"),
    (&["default", "monitoring"], EVERY_MONITOR),
    (&["default", "network-policy"], "networkPolicy.enabled=true"),
];

#[test]
#[ignore = "runs kubectl and Helm: tests/run.sh install"]
fn the_chart_and_the_kustomizations_make_the_same_objects() {
    for (folders, values) in SAME {
        let mut kustomized: Objects =
            folders.iter().flat_map(|folder| objects(&kustomize(&format!("manifests/{folder}")))).collect();
        // Helm makes no namespace: `helm install --create-namespace` does
        let namespace = ("Namespace".to_owned(), String::new(), NAMESPACE.to_owned());
        assert!(kustomized.remove(&namespace).is_some(), "{folders:?}: no namespace among {:?}", kustomized.keys());
        let templated: Objects = objects(&template(NAMESPACE, values))
            .into_iter()
            .map(|(key, object)| (key, without_helms_own(object)))
            .collect();
        let keys = |objects: &Objects| objects.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(
            keys(&kustomized),
            keys(&templated),
            "left: objects of {folders:?}; right: of the chart with {values:?}"
        );
        for (key, object) in &kustomized {
            assert_eq!(object, &templated[key], "{key:?}, left: of {folders:?}; right: of the chart with {values:?}");
        }
    }
}

fn without_helms_own(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["labels", "annotations"] {
        let Some(entries) = metadata.get_mut(field).and_then(Value::as_object_mut) else { continue };
        entries.retain(|name, _| !HELMS_OWN.contains(&name.as_str()));
        if entries.is_empty() {
            metadata.remove(field);
        }
    }
    object
}
