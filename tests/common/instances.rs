//! Instances as most tests begin with them: small, Running, and named `cache`. Knows no test.

use k8s_openapi::api::core::v1::Secret;
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::{Value, json};

use super::{
    cluster::{Place, Redis},
    members::Members,
};

impl Place {
    /// Creates an instance and waits until it is Running.
    pub(crate) async fn create_running(&self, name: &str, spec: Value) -> RedisInstance {
        self.create(name, spec).await.unwrap();
        self.reaches(name, Phase::Running).await
    }

    /// Creates the instance `cache` of so many pods with a small volume each, and waits until it is Running. The fields of
    /// `spec` are added to these or replace them.
    pub(crate) async fn create_cache(&self, replicas: i32, spec: Value) -> Members<'_> {
        let mut whole = json!({"image": "redis:7.0.15", "replicas": replicas, "storage": {"size": "64Mi"}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        self.create_running("cache", whole).await;
        Members { place: self, instance: "cache" }
    }

    /// Creates a Secret with a password, for `spec.auth.secretName`.
    pub(crate) async fn put_password(&self, name: &str, password: &str) {
        self.put::<Secret>(json!({"metadata": {"name": name}, "stringData": {"password": password}})).await;
    }

    /// A connection to the instance's Service that is logged in, if the instance has a password.
    pub(crate) async fn connect_logged_in(&self, instance: &str) -> Redis {
        let mut redis = self.connect(instance).await;
        if let Some(login) = self.login(instance).await {
            assert_eq!(redis.ask(&login).await, "+OK");
        }
        redis
    }
}
