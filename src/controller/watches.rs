//! The watches, and the stores they fill: one list and one watch a kind, of our own children only.
//! What a reconcile does not read is thrown away before it is stored.

use std::{fmt::Debug, time::Duration};

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
        utils::Backoff,
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
/// How long a watch that failed waits before it is opened again: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How many kinds are watched.
const KINDS: usize = 6;

type Changes<K> = BoxStream<'static, Result<K, watcher::Error>>;

/// Waits that double from the first to the longest; kube's own go up to 30 s, which is long to be blind for.
struct Patience(Duration);

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.0;
        self.0 = (wait * 2).min(LONGEST_WAIT);
        Some(wait)
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.0 = FIRST_WAIT;
    }
}

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
        .backoff(Patience(FIRST_WAIT))
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
        .touched_objects()
        // The controller backs off for all kinds at once, and for minutes, when it sees one of them fail: after a restart
        // of the API server, which ends every watch, that put the whole loop to sleep. Each watch mends itself.
        .filter(|change| {
            if let Err(error) = change {
                tracing::warn!(kind = %K::kind(&()), %error, "the watch was interrupted; it is opened again");
            }
            std::future::ready(change.is_ok())
        });
    (reader, changes.boxed())
}
