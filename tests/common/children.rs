//! What the operator created for the instances of a namespace. Knows no test.

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Secret, Service},
};
use kube::{ResourceExt, api::ListParams};

use super::cluster::{Namespaced, Place};

/// Kind and name of everything that was made for instances in this namespace.
pub(crate) async fn children(place: &Place) -> Vec<String> {
    let mut found = names::<ConfigMap>(place).await;
    found.extend(names::<Secret>(place).await);
    found.extend(names::<Service>(place).await);
    found.extend(names::<StatefulSet>(place).await);
    found
}

async fn names<K: Namespaced>(place: &Place) -> Vec<String> {
    let ours = ListParams::default().labels("redis.github.com/instance");
    let found = place.api::<K>().list(&ours).await.unwrap();
    found.iter().map(|object| format!("{} {}", K::kind(&()), object.name_any())).collect()
}
