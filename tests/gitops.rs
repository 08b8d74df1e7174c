//! The health check that docs/gitops.md gives to Argo CD, in the Lua that Argo CD has, over statuses that the operator writes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use redis_operator::{
    api::v1::{RedisInstance, RedisInstanceStatus},
    domain::{
        observed::{Observed, Rollout},
        reason::Reason,
        status::{Finding, Subject, derive},
        validate::validate,
    },
};
use serde_json::{Value, json};

#[test]
#[ignore = "needs tests/tools/tool build"]
fn argo_cd_shows_the_health_of_an_instance() {
    let serves = Rollout { replicas: 1, ready: 1, complete: true, ..Rollout::default() };
    let serves = Observed { rollout: Some(serves), ..Observed::default() };
    let none = Observed::default();
    let of = |generation, finding: Finding, observed: &Observed| instance(generation, &finding, observed);
    let cases = [
        ("Progressing", json!({"metadata": {"generation": 1}})),
        ("Progressing", of(1, Finding::Waiting(Reason::PodsNotReady, "waits".to_owned()), &none)),
        ("Progressing", of(1, Finding::Changing(Reason::RollingOut, "rolls".to_owned()), &serves)),
        ("Progressing", of(1, Finding::Deleting, &serves)),
        ("Healthy", of(1, Finding::Applied(serves.clone()), &serves)),
        // What is known is of the spec before.
        ("Progressing", of(2, Finding::Applied(serves.clone()), &serves)),
        ("Degraded", of(1, Finding::Stalled(Reason::Rejected, "needs a person".to_owned()), &serves)),
        ("Degraded", of(1, Finding::Invalid(Vec::new()), &serves)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("health.lua");
    fs::write(&script, documented()).unwrap();
    let mut lua = Command::new(root().join("tests/tools/tool"))
        .arg("lua")
        .arg(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut objects = lua.stdin.take().unwrap();
    for (_, object) in &cases {
        writeln!(objects, "{object}").unwrap();
    }
    drop(objects);
    let output = lua.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<&str> = answers.lines().collect();
    assert_eq!(answers.len(), cases.len(), "{answers:?}");
    for ((health, object), answer) in cases.iter().zip(answers) {
        let (status, message) = answer.split_once(' ').unwrap();
        assert_eq!(status, *health, "{object}");
        assert!(!message.is_empty() && message != "nil", "{answer}: {object}");
    }
}

/// An instance whose spec was changed so often, and what the operator wrote of the first.
fn instance(generation: i64, finding: &Finding, observed: &Observed) -> Value {
    let object = json!({"apiVersion": "redis.github.com/v1", "kind": "RedisInstance",
        "metadata": {"name": "cache", "namespace": "shop", "uid": "1"}, "spec": {"image": "redis:7.4.1"}});
    let mut instance: RedisInstance = serde_json::from_value(object).unwrap();
    let valid = validate(&instance).unwrap();
    let subject = Subject { generation: Some(1), instance: Some(&valid), observed };
    let now = Time(jiff::Timestamp::UNIX_EPOCH);
    instance.status = Some(derive(&RedisInstanceStatus::default(), subject, finding, &now));
    instance.metadata.generation = Some(generation);
    serde_json::to_value(instance).unwrap()
}

/// The script in docs/gitops.md, without what the ConfigMap has around it.
fn documented() -> String {
    let page = fs::read_to_string(root().join("docs/gitops.md")).unwrap();
    let (_, rest) = page.split_once("resource.customizations.health.redis.github.com_RedisInstance: |\n").unwrap();
    let (script, _) = rest.split_once("```").unwrap();
    script.to_owned()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
