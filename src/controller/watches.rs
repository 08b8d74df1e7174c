//! The watches, and the stores they fill: one list and one watch a kind, of our own children only.
//! What a reconcile does not read is thrown away before it is stored.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        utils::Backoff,
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::{Stored, queue::Queue};
use crate::{
    domain::names::{CHILDREN_SELECTOR, INSTANCE_LABEL},
    metrics::{ControllerMetrics, Kind},
};

/// Seconds after which the API server ends a watch and it is opened anew; a connection that died unnoticed is
/// given up 5 s later (kube's margin).
const TIMEOUT: u32 = 60;
/// How long a watch that failed waits before it is opened again: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The kinds that are watched.
pub const WATCHED: [Kind; 6] =
    [Kind::RedisInstance, Kind::ConfigMap, Kind::Service, Kind::StatefulSet, Kind::Pod, Kind::PersistentVolumeClaim];

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
        self.synced.clone().wait_for(|kinds| *kinds == WATCHED.len()).await.is_ok()
    }
}

/// The changes, each of which calls for a reconcile; a store is filled only while its stream is polled.
pub(super) struct Streams {
    pub(super) instances: Changes<Stored>,
    /// The instances whose children changed.
    pub(super) children: BoxStream<'static, ObjectRef<Stored>>,
}

/// What every watch is opened with.
pub(super) struct Opening<'a> {
    pub(super) client: &'a Client,
    pub(super) metrics: &'a ControllerMetrics,
    pub(super) queue: &'a Queue,
}

/// Opens the watches; the instances' own store is the controller's to read.
pub(super) fn open(opening: &Opening<'_>) -> (Store<Stored>, Stores, Streams) {
    let (listed, synced) = watch::channel(0);
    let all = watcher::Config::default().timeout(TIMEOUT);
    let ours = all.clone().labels(CHILDREN_SELECTOR);
    let of_instances = all.clone().labels(INSTANCE_LABEL);
    let open = (opening, &listed);
    let (reader, instances) = open_one(open, Kind::RedisInstance, all, itself, |_: &mut Stored| {});
    let (config_maps, of_config_maps) = open_one(open, Kind::ConfigMap, ours.clone(), owner, |_: &mut ConfigMap| {});
    let (services, of_services) = open_one(open, Kind::Service, ours.clone(), owner, |_: &mut Service| {});
    let (stateful_sets, of_stateful_sets) =
        open_one(open, Kind::StatefulSet, ours.clone(), owner, |_: &mut StatefulSet| {});
    let (pods, of_pods) = open_one(open, Kind::Pod, ours, named_in_label, |pod: &mut Pod| pod.spec = None);
    let (claims, of_claims) =
        open_one(open, Kind::PersistentVolumeClaim, of_instances, named_in_label, |_: &mut PersistentVolumeClaim| {});
    let children = [
        calls(of_config_maps, owner),
        calls(of_services, owner),
        calls(of_stateful_sets, owner),
        calls(of_pods, named_in_label),
        calls(of_claims, named_in_label),
    ];
    let streams = Streams { instances, children: stream::select_all(children).boxed() };
    (reader, Stores { config_maps, services, stateful_sets, pods, claims, synced }, streams)
}

/// The instance that an object's change calls for.
type Whose = fn(&ObjectMeta) -> Option<ObjectRef<Stored>>;

fn itself(metadata: &ObjectMeta) -> Option<ObjectRef<Stored>> {
    Some(ObjectRef::new(metadata.name.as_ref()?).within(metadata.namespace.as_ref()?))
}

/// The instance that owns a child.
fn owner(metadata: &ObjectMeta) -> Option<ObjectRef<Stored>> {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.find_map(|owner| ObjectRef::from_owner_ref(metadata.namespace.as_deref(), owner, ()))
}

/// The instance that the label of a pod or a claim names; neither has it for an owner.
fn named_in_label(metadata: &ObjectMeta) -> Option<ObjectRef<Stored>> {
    let name = metadata.labels.as_ref()?.get(INSTANCE_LABEL)?;
    Some(ObjectRef::new(name).within(metadata.namespace.as_ref()?))
}

fn calls<K>(changes: Changes<K>, whose: Whose) -> BoxStream<'static, ObjectRef<Stored>>
where
    K: Resource<DynamicType = ()> + Send + 'static,
{
    changes.filter_map(move |change| std::future::ready(change.ok().and_then(|object| whose(object.meta())))).boxed()
}

fn open_one<K>(
    (opening, listed): (&Opening<'_>, &watch::Sender<usize>),
    kind: Kind,
    config: watcher::Config,
    whose: Whose,
    trim: impl Fn(&mut K) + Send + 'static,
) -> (Store<K>, Changes<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let listed = listed.clone();
    let (metrics, queue) = (opening.metrics.clone(), opening.queue.clone());
    metrics.watching(kind);
    let mut first = true;
    let changes = watcher(Api::all(opening.client.clone()), config)
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
        .filter(move |change| {
            match change {
                Ok(object) => {
                    if let Some(instance) = whose(object.meta()) {
                        queue.called(instance.namespace.as_deref().unwrap_or_default(), &instance.name, Instant::now());
                    }
                }
                Err(error) => {
                    metrics.watch_interrupted(kind);
                    tracing::warn!(kind = kind.word(), %error, "the watch was interrupted; it is opened again");
                }
            }
            std::future::ready(change.is_ok())
        });
    (reader, changes.boxed())
}
