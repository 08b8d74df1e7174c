//! The watches on children, and the stores they fill: one list and one watch a kind, of our own children only.
//! What a reconcile does not read is thrown away before it is stored.

use futures::{StreamExt, stream::BoxStream};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod, Service},
};
use kube::{
    Api, Client, Resource,
    runtime::{
        WatchStreamExt,
        reflector::{self, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;

use crate::domain::names::CHILDREN_SELECTOR;

/// Seconds after which the API server ends a watch and it is opened anew; a connection that died unnoticed is
/// given up 5 s later (kube's margin).
pub(super) const TIMEOUT: u32 = 60;

type Changes<K> = BoxStream<'static, Result<K, watcher::Error>>;

/// The children as the watches last showed them.
pub(super) struct Stores {
    pub(super) config_maps: Store<ConfigMap>,
    pub(super) services: Store<Service>,
    pub(super) stateful_sets: Store<StatefulSet>,
    pub(super) pods: Store<Pod>,
}

impl Stores {
    /// Waits until every store holds what the first list showed; false when a watch ended before that.
    pub(super) async fn wait_until_ready(&self) -> bool {
        self.config_maps.wait_until_ready().await.is_ok()
            && self.services.wait_until_ready().await.is_ok()
            && self.stateful_sets.wait_until_ready().await.is_ok()
            && self.pods.wait_until_ready().await.is_ok()
    }
}

/// The changes of children, each of which triggers its owner; a store is filled only while its stream is polled.
pub(super) struct Streams {
    pub(super) config_maps: Changes<ConfigMap>,
    pub(super) services: Changes<Service>,
    pub(super) stateful_sets: Changes<StatefulSet>,
    pub(super) pods: Changes<Pod>,
}

/// Opens the watches.
pub(super) fn open(client: &Client) -> (Stores, Streams) {
    let (config_maps, config_map_changes) = watch(client, |_: &mut ConfigMap| {});
    let (services, service_changes) = watch(client, |_: &mut Service| {});
    let (stateful_sets, stateful_set_changes) = watch(client, |_: &mut StatefulSet| {});
    let (pods, pod_changes) = watch(client, |pod: &mut Pod| pod.spec = None);
    let streams = Streams {
        config_maps: config_map_changes,
        services: service_changes,
        stateful_sets: stateful_set_changes,
        pods: pod_changes,
    };
    (Stores { config_maps, services, stateful_sets, pods }, streams)
}

/// One list and one watch of a kind; a store that is not polled through its stream stays empty.
fn watch<K>(client: &Client, trim: impl Fn(&mut K) + Send + 'static) -> (Store<K>, Changes<K>)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let ours = watcher::Config::default().labels(CHILDREN_SELECTOR).timeout(TIMEOUT);
    let changes = watcher(Api::all(client.clone()), ours)
        .default_backoff()
        .modify(move |object: &mut K| {
            object.meta_mut().managed_fields = None;
            trim(object);
        })
        .reflect(writer)
        .touched_objects();
    (reader, changes.boxed())
}
