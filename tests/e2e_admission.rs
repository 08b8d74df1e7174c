//! The admission table against a real API server: what `kubectl apply --dry-run=server` answers, schema and CEL included.

mod common;

use common::{
    admission_table::{Case, cases},
    cluster::{Place, eventually},
};
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::ApiResource,
};
use redis_operator::api::v1::RedisInstance;
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn the_table_holds_against_a_real_api_server() {
    let place = Place::new("admission").await;
    let mut differences = Vec::new();
    for case in cases() {
        let answer = answer(&place, &case).await;
        if let Some(difference) = difference(&case, &answer) {
            differences.push(format!("{}\n  {difference}", case.title()));
        }
    }
    place.leave().await;
    assert!(differences.is_empty(), "{} cases differ:\n{}", differences.len(), differences.join("\n"));
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn kubectl_scale_is_judged_too() {
    let place = Place::new("scale").await;
    place.create("cache", json!({})).await.unwrap();
    let scale = kube::api::Patch::Merge(json!({"spec": {"replicas": 3}}));
    let refusal = place.api::<RedisInstance>().patch_scale("cache", &kube::api::PatchParams::default(), &scale).await;
    let message = refusal.expect_err("three unrelated servers must be refused").to_string();
    assert!(message.contains("spec.replicas: Unsupported value: 3"), "{message}");
    place.leave().await;
}

/// The causes of the refusal, each as FIELD: MESSAGE; none when the object would be stored.
async fn answer(place: &Place, case: &Case) -> Vec<String> {
    let objects = untyped(&place.client, &place.namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let object = |raw: Value| -> DynamicObject {
        let mut object: DynamicObject = serde_json::from_value(raw).unwrap();
        object.metadata.namespace = Some(place.namespace.clone());
        object
    };
    let result = match case.old_object() {
        None => objects.create(&dry, &object(case.object())).await.map(drop),
        Some(old) => {
            objects.create(&PostParams::default(), &object(old)).await.unwrap();
            let result = eventually("answer to an update that no status write overtook", || async {
                let mut new = object(case.object());
                new.metadata.resource_version = objects.get(&case.name).await.unwrap().metadata.resource_version;
                match objects.replace(&case.name, &dry, &new).await {
                    Err(kube::Error::Api(status)) if status.is_conflict() => None,
                    answer => Some(answer.map(drop)),
                }
            })
            .await;
            place.delete::<RedisInstance>(&case.name).await;
            place.gone::<RedisInstance>(&case.name).await;
            result
        }
    };
    match result {
        Ok(()) => Vec::new(),
        Err(kube::Error::Api(status)) => {
            let causes = status.details.clone().map(|details| details.causes).unwrap_or_default();
            let listed: Vec<String> =
                causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
            if listed.is_empty() { vec![format!("{} {}", status.code, status.message)] } else { listed }
        }
        Err(error) => panic!("{}: {error}", case.title()),
    }
}

fn difference(case: &Case, answer: &[String]) -> Option<String> {
    if case.server.is_empty() {
        return (answer != case.deny).then(|| format!("expected {:?}\n  answered {answer:?}", case.deny));
    }
    let whole = answer.join("\n");
    let missing: Vec<&String> = case.server.iter().filter(|part| !whole.contains(part.as_str())).collect();
    (!missing.is_empty()).then(|| format!("expected {missing:?}\n  answered {answer:?}"))
}

/// Typed objects could not carry the wrong types of the table.
fn untyped(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<RedisInstance>(&()))
}
