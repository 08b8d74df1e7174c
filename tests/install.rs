//! The two ways to install, kustomize and Helm, held against each other object by object, and the chart's values held to
//! their schema. The ignored tests run the real programs (`tests/tools/tool`), as `tests/run.sh install` does; no cluster.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Map, Value};

/// Where the kustomizations install; Helm is told to do the same.
const NAMESPACE: &str = "redis-operator-system";

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
const EVERY_MONITOR: &str = "monitoring.serviceMonitor.enabled=true,monitoring.prometheusRule.enabled=true,\
                             monitoring.dashboard.enabled=true";

/// Values whose fields Kubernetes defines; each counts as one.
const OF_KUBERNETES: &[&str] = &[".affinity", ".resources"];

/// Objects by kind, namespace and name.
type Objects = BTreeMap<(String, String, String), Value>;

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

#[test]
#[ignore = "runs Helm: tests/run.sh install"]
fn helm_finds_no_fault_in_the_chart() {
    let output = tool("helm", &["lint", "--strict", "charts/redis-operator"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
#[ignore = "runs Helm: tests/run.sh install"]
fn values_reach_the_objects() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let values = [
        &format!("image.repository=registry.example.com/ro,image.tag=v1,image.digest={digest},replicas=3"),
        "imagePullSecrets[0].name=pull,priorityClassName=urgent,defaultImage=valkey:8.1.3,logFilter=debug",
        "labels.team=data,annotations.contact=data@example.com,podLabels.zone=a,podAnnotations.note=b",
        "nodeSelector.disk=ssd,tolerations[0].operator=Exists,topologyKey=zone,resources.limits.memory=1Gi",
        "podDisruptionBudget.minAvailable=50%,watchNamespaces={a,b},crds.keep=false",
        "networkPolicy.enabled=true,networkPolicy.apiServer.cidrs={10.0.0.0/8},networkPolicy.apiServer.ports={8443}",
        EVERY_MONITOR,
        "monitoring.serviceMonitor.labels.release=prometheus,monitoring.serviceMonitor.interval=10s",
    ]
    .join(",");
    let rendered = template("elsewhere", &values);
    assert!(!rendered.contains(NAMESPACE), "a name of the kustomizations' namespace is left");
    let made = objects(&rendered);
    let object = |kind: &str, name: &str| &made[&key(kind, "elsewhere", name)];
    let deployment = object("Deployment", "redis-operator");
    let template = &deployment["spec"]["template"];
    let pod = &template["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["image"], format!("registry.example.com/ro@{digest}"));
    let arguments = container["args"].to_string();
    for argument in ["--default-image=valkey:8.1.3", "--log-filter=debug", "--watch-namespaces=a,b"] {
        assert!(arguments.contains(argument), "no {argument} in {arguments}");
    }
    assert_eq!(container["resources"]["limits"]["memory"], "1Gi");
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(pod["imagePullSecrets"][0]["name"], "pull");
    assert_eq!(pod["priorityClassName"], "urgent");
    assert_eq!(pod["nodeSelector"]["disk"], "ssd");
    assert_eq!(pod["tolerations"][0]["operator"], "Exists");
    assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], "zone");
    assert_eq!(template["metadata"]["labels"]["zone"], "a");
    assert_eq!(template["metadata"]["annotations"]["note"], "b");
    assert_eq!(object("PodDisruptionBudget", "redis-operator")["spec"]["minAvailable"], "50%");
    assert_eq!(object("ServiceMonitor", "redis-operator")["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(object("ServiceMonitor", "redis-operator")["spec"]["endpoints"][0]["interval"], "10s");
    let policy = &object("NetworkPolicy", "redis-operator")["spec"];
    assert_eq!(policy["ingress"][0]["from"][0]["ipBlock"]["cidr"], "10.0.0.0/8");
    assert_eq!(policy["egress"][1]["ports"][0]["port"], 8443);
    for namespace in ["a", "b"] {
        let subject = &made[&key("RoleBinding", namespace, "redis-operator")]["subjects"][0];
        assert_eq!(subject["namespace"], "elsewhere");
    }
    assert!(!made.contains_key(&key("ClusterRoleBinding", "", "redis-operator")), "bound in every namespace too");
    for (key, object) in &made {
        assert_eq!(object["metadata"]["labels"]["team"], "data", "{key:?}");
        assert_eq!(object["metadata"]["annotations"]["contact"], "data@example.com", "{key:?}");
        assert_eq!(object["metadata"]["annotations"]["helm.sh/resource-policy"], Value::Null, "{key:?}");
    }
}

#[test]
#[ignore = "runs Helm: tests/run.sh install"]
fn what_is_no_value_is_refused() {
    for (value, said) in [
        ("replica=3", "additional properties 'replica' not allowed"),
        ("certificates.source=acme", "value must be one of"),
        ("image.digest=latest", "does not match pattern"),
        ("replicas=two", "want integer"),
        ("monitoring.serviceMonitor.enable=true", "additional properties 'enable' not allowed"),
    ] {
        let output = tool("helm", &["template", "redis-operator", "charts/redis-operator", "--set", value]);
        let refusal = text(&output.stderr);
        assert!(!output.status.success() && refusal.contains(said), "--set {value}, expected {said:?}: {refusal}");
    }
}

#[test]
fn every_value_is_in_the_schema_and_none_more() {
    let values: Value = serde_saphyr::from_str(&chart("values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&chart("values.schema.json")).unwrap();
    let (mut there, mut described) = (BTreeSet::new(), BTreeSet::new());
    paths_of_values("", &values, &schema, &mut there);
    paths_of_schema("", &schema, &mut described);
    described.remove(".global"); // Helm's own
    assert!(there.len() > 25, "only {} values found", there.len());
    assert_eq!(there, described, "left: values.yaml; right: values.schema.json");
}

#[test]
fn the_chart_is_of_this_version() {
    for key in ["version", "appVersion"] {
        let line = format!("{key}: {}", env!("CARGO_PKG_VERSION"));
        assert!(chart("Chart.yaml").lines().any(|found| found == line), "Chart.yaml has no line {line:?}");
    }
}

/// Paths of the values that are set, as far down as the schema names fields.
fn paths_of_values(path: &str, value: &Value, schema: &Value, found: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(fields) if schema["properties"].is_object() && !OF_KUBERNETES.contains(&path) => {
            for (name, value) in fields {
                paths_of_values(&format!("{path}.{name}"), value, &schema["properties"][name], found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// Paths of the values that the schema names.
fn paths_of_schema(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    match schema["properties"].as_object() {
        Some(fields) if !OF_KUBERNETES.contains(&path) => {
            assert_eq!(schema["additionalProperties"], false, "{path} takes any field");
            for (name, schema) in fields {
                paths_of_schema(&format!("{path}.{name}"), schema, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
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

fn key(kind: &str, namespace: &str, name: &str) -> (String, String, String) {
    (kind.to_owned(), namespace.to_owned(), name.to_owned())
}

fn objects(stream: &str) -> Objects {
    let mut found = Objects::new();
    let documents: Vec<Option<Map<String, Value>>> = serde_saphyr::from_multiple(stream).unwrap();
    for document in documents.into_iter().flatten() {
        let object = Value::Object(document);
        let field = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = (field("/kind"), field("/metadata/namespace"), field("/metadata/name"));
        assert!(!key.0.is_empty() && !key.2.is_empty(), "no object: {object}");
        assert!(found.insert(key.clone(), object).is_none(), "{key:?} twice");
    }
    assert!(!found.is_empty(), "no objects");
    found
}

fn kustomize(folder: &str) -> String {
    succeeded("kubectl", &["kustomize", folder])
}

fn template(namespace: &str, values: &str) -> String {
    succeeded("helm", &["template", "redis-operator", "charts/redis-operator", "-n", namespace, "--set", values])
}

fn succeeded(program: &str, arguments: &[&str]) -> String {
    let output = tool(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn tool(program: &str, arguments: &[&str]) -> Output {
    Command::new("tests/tools/tool").current_dir(root()).arg(program).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn chart(file: &str) -> String {
    fs::read_to_string(root().join("charts/redis-operator").join(file)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
