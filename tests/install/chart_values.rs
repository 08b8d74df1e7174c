//! The chart's values: each reaches the objects, and each is in the schema.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use super::{EVERY_MONITOR, NAMESPACE, key, objects, root, template, text, tool};

/// Values whose fields Kubernetes defines; each counts as one.
const OF_KUBERNETES: &[&str] = &[".affinity", ".resources"];

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

fn chart(file: &str) -> String {
    fs::read_to_string(root().join("charts/redis-operator").join(file)).unwrap()
}
