//! The objects that are built, byte for byte. A change here reaches every running instance at the next upgrade of the
//! operator, and one in a pod template restarts every Redis: so it has to be seen in review. `just golden` writes them.

#[path = "golden/versions.rs"]
mod versions;

use std::{env, fs, path::Path};

use redis_operator::{
    api::v1::RedisInstance,
    build,
    domain::{auth::Password, defaults::Defaults, rotation::Keys, validate::validate},
};
use serde_json::{Value, json};

/// Name of a golden file, and the spec it shows.
fn cases() -> Vec<(&'static str, Value)> {
    vec![
        ("minimal", json!({})),
        (
            "full",
            json!({
                "image": "registry.example.com:5000/team/redis:7.2.5-alpine",
                "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": 1, "memory": "1024Mi"}},
                "storage": {"size": "1.5Gi", "storageClassName": "fast", "retention": "Delete"},
                "config": {"maxmemory": "256mb", "maxmemory-policy": "allkeys-lru", "save": "900 1 300 10", "notify-keyspace-events": ""},
                "auth": {"secretName": "shop-password"},
            }),
        ),
        ("replicated", json!({"replicas": 3, "config": {"repl-backlog-size": "64mb"}})),
        (
            "scheduled",
            json!({
                "pod": {
                    "labels": {"team": "shop"},
                    "annotations": {"example.com/note": "any text"},
                    "nodeSelector": {"disk": "ssd"},
                    "affinity": {
                        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]}]},
                        ]}},
                        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "redis"}}},
                        ]},
                    },
                    "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "redis", "effect": "NoSchedule"}],
                    "topologySpreadConstraints": [
                        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway",
                         "labelSelector": {"matchLabels": {"app": "redis"}}},
                    ],
                    "priorityClassName": "high",
                    "imagePullSecrets": [{"name": "registry"}],
                },
            }),
        ),
        ("open", json!({"auth": {"enabled": false}, "storage": {"storageClassName": ""}})),
    ]
}

#[test]
fn built_objects_are_the_golden_ones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut stale = Vec::new();
    for (name, spec) in cases() {
        let built = render(spec);
        let file = folder.join(format!("{name}.yaml"));
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &built).unwrap();
        }
        let golden = fs::read_to_string(&file).unwrap_or_default();
        let first = golden.lines().zip(built.lines()).position(|(golden, built)| golden != built);
        if golden != built {
            stale.push(format!(
                "{name}.yaml, first at line {}",
                first.unwrap_or_else(|| golden.lines().count().min(built.lines().count())) + 1
            ));
        }
    }
    assert!(
        stale.is_empty(),
        "built objects differ from tests/golden: {stale:?}; if that is meant, run `just golden` and look at the diff"
    );
}

fn render(spec: Value) -> String {
    let texts: Vec<String> = objects(spec).iter().map(|object| serde_saphyr::to_string(object).unwrap()).collect();
    texts.join("---\n")
}

/// Every object that is made of a spec; the StatefulSet is the last.
fn objects(spec: Value) -> Vec<Value> {
    let metadata = json!({"name": "cache", "namespace": "shop", "uid": "8d1c6a7e-0000-4000-8000-000000000001"});
    let mut object =
        json!({"apiVersion": "redis.github.com/v1", "kind": "RedisInstance", "metadata": metadata, "spec": spec});
    Defaults { image: "redis:7.4.1".to_owned() }.apply(&mut object);
    let instance: RedisInstance = serde_json::from_value(object).unwrap();
    let instance = validate(&instance).unwrap();
    let children = build::build(&instance);
    let secret = build::auth_secret(&instance, &Keys::one(Password::from_entropy([7; 24])));
    let mut objects = vec![
        serde_json::to_value(children.config_map),
        serde_json::to_value(secret),
        serde_json::to_value(children.pods_service),
        serde_json::to_value(children.service),
    ];
    objects.extend(children.replicas_service.map(serde_json::to_value));
    objects.extend(children.disruption_budget.map(serde_json::to_value));
    objects.push(serde_json::to_value(children.stateful_set));
    objects.into_iter().map(Result::unwrap).collect()
}
