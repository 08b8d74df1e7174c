//! The watches, and the stores they fill: one list and one watch a kind, of our own children only.
//! What a reconcile does not read is thrown away before it is stored.

use std::fmt::Debug;

use futures::{StreamExt, stream::BoxStream};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service},
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
use tokio::sync::watch;

use super::Stored;
use crate::domain::names::{CHILDREN_SELECTOR, INSTANCE_LABEL};

/// Seconds after which the API server ends a watch and it is opened anew; a connection that died unnoticed is
/// given up 5 s later (kube's margin).
const TIMEOUT: u32 = 60;
/// How many kinds are watched.
const KINDS: usize = 6;

type Changes<K> = BoxStream<'static, Result<K, watcher::Error>>;

/// The children as the watches last showed them.
pub(super) struct Stores {
    pub(super) config_maps: Store<ConfigMap>,
    pub(super) services: Store<Service>,
    pub(super) stateful_sets: Store<StatefulSet>,
    pub(super) pods: Store<Pod>,
    /// Claims of all instances, also of deleted ones: a retained claim waits for an instance of its name.
    pub(super) claims: Store<PersistentVolumeClaim>,
    /// How many of the kinds have been listed.
    synced: watch::Receiver<usize>,
}

impl Stores {
    /// Waits until every kind has been listed once. Not kube's `wait_until_ready`: that wakes only the last of several
    /// waiters, and the controller is one of them, so a second one can put the whole loop to sleep for good.
    pub(super) async fn wait_until_synced(&self) -> bool {
        self.synced.clone().wait_for(|kinds| *kinds == KINDS).await.is_ok()
    }
}

/// The changes, each of which triggers an instance; a store is filled only while its stream is polled.
pub(super) struct Streams {
    pub(super) instances: Changes<Stored>,
    pub(super) config_maps: Changes<ConfigMap>,
    pub(super) services: Changes<Service>,
    pub(super) stateful_sets: Changes<StatefulSet>,
    pub(super) pods: Changes<Pod>,
    pub(super) claims: Changes<PersistentVolumeClaim>,
}

/// Opens the watches; the instances' own store is the controller's to read.
pub(super) fn open(client: &Client) -> (Store<Stored>, Stores, Streams) {
    let (listed, synced) = watch::channel(0);
    let all = watcher::Config::default().timeout(TIMEOUT);
    let ours = all.clone().labels(CHILDREN_SELECTOR);
    let of_instances = all.clone().labels(INSTANCE_LABEL);
    let (reader, instances) = open_one(client, all, &listed, |_: &mut Stored| {});
    let (config_maps, config_map_changes) = open_one(client, ours.clone(), &listed, |_: &mut ConfigMap| {});
    let (services, service_changes) = open_one(client, ours.clone(), &listed, |_: &mut Service| {});
    let (stateful_sets, stateful_set_changes) = open_one(client, ours.clone(), &listed, |_: &mut StatefulSet| {});
    let (pods, pod_changes) = open_one(client, ours, &listed, |pod: &mut Pod| pod.spec = None);
    let (claims, claim_changes) = open_one(client, of_instances, &listed, |_: &mut PersistentVolumeClaim| {});
    let streams = Streams {
        instances,
        config_maps: config_map_changes,
        services: service_changes,
        stateful_sets: stateful_set_changes,
        pods: pod_changes,
        claims: claim_changes,
    };
    (reader, Stores { config_maps, services, stateful_sets, pods, claims, synced }, streams)
}

fn open_one<K>(
    client: &Client,
    config: watcher::Config,
    listed: &watch::Sender<usize>,
    trim: impl Fn(&mut K) + Send + 'static,
) -> (Store<K>, Changes<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let listed = listed.clone();
    let mut first = true;
    let changes = watcher(Api::all(client.clone()), config)
        .default_backoff()
        .modify(move |object: &mut K| {
            object.meta_mut().managed_fields = None;
            trim(object);
        })
        .reflect(writer)
        .inspect(move |event| {
            if first && matches!(event, Ok(watcher::Event::InitDone)) {
                first = false;
                listed.send_modify(|kinds| *kinds += 1);
            }
        })
        .touched_objects();
    (reader, changes.boxed())
}
