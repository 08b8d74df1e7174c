//! The watches, and the stores they fill: one list and one watch a kind, of what has the label of our children.
//! What a reconcile does not read is thrown away before it is stored; how much of a stranger's object is kept is bounded.

use std::{fmt::Debug, sync::Arc, time::Instant};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::{
    Stored,
    folded::{Folded, Shelf},
    lists::Lists,
    namespaces,
    patience::patient,
    pruned::Prune,
    queue::Queue,
    relisted,
};
use crate::{
    domain::names::INSTANCE_LABEL,
    health::Health,
    metrics::{ControllerMetrics, Kind},
};

/// Seconds after which the API server ends a watch and it is opened anew; a connection that died unnoticed is
/// given up 5 s later (kube's margin).
const TIMEOUT: u32 = 60;
/// Objects a page of a list: small ones leave the API server room for others' requests between them, and a page is in memory
/// three times, each object with what `client::shortened` leaves of it.
const PAGE: u32 = 50;
/// The kinds that are watched.
pub const WATCHED: [Kind; 7] = [
    Kind::RedisInstance,
    Kind::ConfigMap,
    Kind::Service,
    Kind::StatefulSet,
    Kind::Pod,
    Kind::PersistentVolumeClaim,
    Kind::PodDisruptionBudget,
];

type Changes<K> = BoxStream<'static, Result<Arc<K>, watcher::Error>>;

/// The children as the watches last showed them.
pub(super) struct Stores {
    pub(super) config_maps: Shelf<ConfigMap>,
    pub(super) services: Shelf<Service>,
    pub(super) stateful_sets: Shelf<StatefulSet>,
    pub(super) pods: Store<Pod>,
    /// Claims of all instances, also of deleted ones: a retained claim waits for an instance of its name.
    pub(super) claims: Shelf<PersistentVolumeClaim>,
    pub(super) budgets: Shelf<PodDisruptionBudget>,
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
    pub(super) instances: BoxStream<'static, Result<Stored, watcher::Error>>,
    /// The instances whose children changed.
    pub(super) children: BoxStream<'static, ObjectRef<Stored>>,
}

/// What every watch is opened with.
pub(super) struct Opening<'a> {
    pub(super) client: &'a Client,
    /// None: all of them.
    pub(super) namespaces: &'a [String],
    pub(super) health: &'a Health,
    pub(super) metrics: &'a ControllerMetrics,
    pub(super) queue: &'a Queue,
}

/// Opens the watches; the instances' own store is the controller's to read.
pub(super) fn open(opening: &Opening<'_>) -> (Store<Stored>, Stores, Streams) {
    let (listed, synced) = watch::channel(0);
    let all = watcher::Config::default().timeout(TIMEOUT).page_size(PAGE);
    let ours = all.clone().labels(INSTANCE_LABEL);
    let open = (opening, &listed, &Lists::default());
    let (reader, instances) = open_one(open, Kind::RedisInstance, all, itself);
    let (config_maps, of_config_maps) = open_folded(open, Kind::ConfigMap, ours.clone(), owner);
    let (services, of_services) = open_folded(open, Kind::Service, ours.clone(), owner);
    let (stateful_sets, of_stateful_sets) = open_folded(open, Kind::StatefulSet, ours.clone(), owner);
    let (budgets, of_budgets) = open_folded(open, Kind::PodDisruptionBudget, ours.clone(), owner);
    let (pods, of_pods) = open_one(open, Kind::Pod, ours.clone(), named_in_label);
    let (claims, of_claims) = open_folded(open, Kind::PersistentVolumeClaim, ours, named_in_label);
    let children = [
        calls(of_config_maps, owner),
        calls(of_services, owner),
        calls(of_stateful_sets, owner),
        calls(of_budgets, owner),
        calls(of_pods, named_in_label),
        calls(of_claims, named_in_label),
    ];
    let instances = instances.map(|change| change.map(Arc::unwrap_or_clone)).boxed();
    let streams = Streams { instances, children: stream::select_all(children).boxed() };
    (reader, Stores { config_maps, services, stateful_sets, pods, claims, budgets, synced }, streams)
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
    K: Resource<DynamicType = ()> + Send + Sync + 'static,
{
    changes.filter_map(move |change| std::future::ready(change.ok().and_then(|object| whose(object.meta())))).boxed()
}

/// Opening, who is told of a kind that has been listed, and whose turn it is to list.
type Open<'a> = (&'a Opening<'a>, &'a watch::Sender<usize>, &'a Lists);

/// A watch of objects that are read when somebody looks at them.
fn open_folded<K>(open: Open<'_>, kind: Kind, config: watcher::Config, whose: Whose) -> (Shelf<K>, Changes<Folded<K>>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + 'static,
{
    let (reader, changes) = open_one(open, kind, config, whose);
    (Shelf::new(reader), changes)
}

fn open_one<K>(
    (opening, listed, lists): Open<'_>,
    kind: Kind,
    config: watcher::Config,
    whose: Whose,
) -> (Store<K>, Changes<K>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Prune + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store::<K>();
    let listed = listed.clone();
    let (health, metrics, queue) = (opening.health.clone(), opening.metrics.clone(), opening.queue.clone());
    health.watching(kind.word(), Instant::now());
    metrics.watching(kind);
    let client = || opening.client.clone();
    let watched = match opening.namespaces {
        [] => patient(kind, Api::all(client()), config, metrics, lists.clone()),
        [namespace] => patient(kind, Api::namespaced(client(), namespace), config, metrics, lists.clone()),
        several => {
            let one = |namespace: &String| {
                let api = Api::namespaced(client(), namespace);
                (namespace.clone(), patient(kind, api, config.clone(), metrics.clone(), lists.clone()))
            };
            namespaces::merged(several.iter().map(one).collect(), reader.clone()).boxed()
        }
    };
    let mut first = true;
    let shown = watched.reflect(writer).inspect(move |event| {
        if first && matches!(event, Ok(watcher::Event::InitDone)) {
            first = false;
            health.watch_synced(kind.word());
            listed.send_modify(|kinds| *kinds += 1);
        }
    });
    let changes = relisted::changes(shown, reader.clone()).filter(move |change| {
        if let Some(instance) = change.as_ref().ok().and_then(|object| whose(object.meta())) {
            queue.called(instance.namespace.as_deref().unwrap_or_default(), &instance.name, Instant::now());
        }
        std::future::ready(change.is_ok())
    });
    (reader, changes.boxed())
}
