//! The admission table against a real API server: what `kubectl apply --dry-run=server` answers, schema, CEL and strict
//! decoding included; and that a dry run stores nothing.

mod common;

use common::{
    admission_table::{Case, cases},
    cluster::{Place, eventually},
};
use kube::{
    Api, Client, Resource,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, Request},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn the_table_holds_against_a_real_api_server() {
    let place = Place::new("admission").await;
    let mut differences = Vec::new();
    // What admission does not let through cannot be there to be changed.
    for case in cases().into_iter().filter(|case| !case.past_admission && !case.served) {
        let answer = answer(&place, &case).await;
        if let Some(difference) = difference(&case, &answer) {
            differences.push(format!("{}\n  {difference}", case.title()));
        }
    }
    let left = place.api::<RedisInstance>().list(&ListParams::default()).await.unwrap().items;
    place.leave().await;
    assert!(
        left.is_empty(),
        "dry runs have stored {:?}",
        left.iter().map(|left| &left.metadata.name).collect::<Vec<_>>()
    );
    assert!(differences.is_empty(), "{} cases differ:\n{}", differences.len(), differences.join("\n"));
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_image_that_cannot_read_the_data_is_refused_once_the_present_one_has_served() {
    let place = Place::new("downgrade").await;
    let stored = place.create("cache", json!({})).await.unwrap();
    let served = place.reaches("cache", Phase::Running).await.status.unwrap().version;
    assert!(served.is_some(), "the image of the local cluster shows its version: {:?}", stored.spec.image);
    let change = |image: &str, annotations: Value| {
        let patch = json!({"metadata": {"annotations": annotations}, "spec": {"image": image}});
        let dry = PatchParams { dry_run: true, ..PatchParams::default() };
        let api = place.api::<RedisInstance>();
        async move { api.patch("cache", &dry, &Patch::Merge(patch)).await.map(drop).map_err(|error| error.to_string()) }
    };
    let message = change("redis:6.2", json!({})).await.expect_err("Redis 6.2 reads no data of a later version");
    assert!(message.contains("redis 6.2 cannot read the data that redis 7.0 wrote"), "{message}");
    change("redis:6.2", json!({"redis.github.com/allow-downgrade": "redis:6.2"})).await.unwrap();
    change("redis:7.2", json!({})).await.unwrap();
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn kubectl_scale_is_judged_too() {
    let place = Place::new("scale").await;
    place.create("cache", json!({})).await.unwrap();
    let scale = Patch::Merge(json!({"spec": {"replicas": 17}}));
    let refusal = place.api::<RedisInstance>().patch_scale("cache", &PatchParams::default(), &scale).await;
    let message = refusal.expect_err("more than the operator knows to keep in step must be refused").to_string();
    assert!(message.contains("must be less than or equal to 16"), "{message}");
    place.leave().await;
}

/// The causes of the refusal, each as FIELD: MESSAGE; none when the object would be stored.
async fn answer(place: &Place, case: &Case) -> Vec<String> {
    let objects = untyped(&place.client, &place.namespace);
    let object = |mut raw: Value| {
        raw["metadata"]["namespace"] = json!(place.namespace);
        raw
    };
    let result = match case.old_object() {
        None => strict(place, &object(case.object()), None).await,
        Some(old) => {
            let old: DynamicObject = serde_json::from_value(object(old)).unwrap();
            objects.create(&PostParams::default(), &old).await.unwrap();
            let result = eventually("answer to an update that no status write overtook", || async {
                let mut new = object(case.object());
                let version = objects.get(&case.name).await.unwrap().metadata.resource_version;
                new["metadata"]["resourceVersion"] = json!(version);
                match strict(place, &new, Some(&case.name)).await {
                    Err(kube::Error::Api(status)) if status.is_conflict() => None,
                    answer => Some(answer),
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

/// A dry run that is strict about fields, as kubectl's: `PostParams` cannot say so, and typed metadata could not carry the
/// wrong types of the table.
async fn strict(place: &Place, object: &Value, name: Option<&str>) -> Result<(), kube::Error> {
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let requests = Request::new(RedisInstance::url_path(&(), Some(&place.namespace)));
    let body = serde_json::to_vec(object).unwrap();
    let mut request = match name {
        None => requests.create(&dry, body).unwrap(),
        Some(name) => requests.replace(name, &dry, body).unwrap(),
    };
    *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse().unwrap();
    place.client.request::<Value>(request).await.map(drop)
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
