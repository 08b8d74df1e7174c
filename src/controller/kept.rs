//! How much of a watched object is kept. Anybody who may create objects in a namespace can give them the labels of our
//! children, so what is kept is bounded for each object: of one that may be a child what is read of it, up to a limit; of
//! any other only whose it is. Must not know what is read.

use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod, PodStatus},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

use crate::{
    api,
    domain::{
        judgement::SPEC_LIMIT,
        names::{
            CAUSE_ANNOTATION, CONTAINER, DATA_VOLUME, INSTANCE_LABEL, OPERATOR, POD_NAME_LABEL, READS_LABEL,
            REVISION_LABEL, ROLE_LABEL, pods_service, replicas_service,
        },
    },
};

/// What may be kept of one object, in bytes: of the fields beside its metadata, and of its annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) fields: usize,
    annotations: usize,
}

/// An instance: its spec, its status, and the directives that it vouches for.
pub(super) const INSTANCE: Room = Room { fields: SPEC_LIMIT + (64 << 10), annotations: 32 << 10 };
/// A child: what the largest spec comes to in a StatefulSet or, with quotes, in a ConfigMap. There are six of an instance.
pub(super) const CHILD: Room = Room { fields: 192 << 10, annotations: 128 << 10 };
/// What has the labels of a child and no owner: no instance bounds how many there are.
const ORPHAN: Room = Room { fields: 32 << 10, annotations: 16 << 10 };
/// A claim or a pod.
const SMALL: Room = Room { fields: 16 << 10, annotations: 4 << 10 };

/// The longest name, kind or version in a reference to an owner, and the longest finalizer.
const NAME: usize = 253;
/// The most owners and finalizers of an object that may be a child.
const OWNERS: usize = 8;
/// The longest message of a container or a condition.
const MESSAGE: usize = 4 << 10;

/// The labels that are read or compared.
const LABELS: [&str; 11] = [
    "app",
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app.kubernetes.io/part-of",
    MANAGED_BY,
    INSTANCE_LABEL,
    ROLE_LABEL,
    READS_LABEL,
    POD_NAME_LABEL,
    REVISION_LABEL,
];
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// What the keys of our own annotations begin with.
const OURS: &str = "redis.github.com/";

/// How much is kept of the fields of an object of this kind; `None` for one that is no child, whatever its labels say.
pub(super) fn room(kind: &str, metadata: &ObjectMeta) -> Option<Room> {
    let instance = label(metadata, INSTANCE_LABEL)?;
    let name = metadata.name.as_deref()?;
    match kind {
        "Pod" => {
            let owned = controller(metadata).is_none_or(|owner| owner.kind == "StatefulSet" && owner.name == instance);
            (owned && is_numbered(name, instance)).then_some(SMALL)
        }
        "PersistentVolumeClaim" => {
            let pod = name.strip_prefix(DATA_VOLUME)?.strip_prefix('-')?;
            is_numbered(pod, instance).then_some(SMALL)
        }
        _ if ![instance, &pods_service(instance), &replicas_service(instance)].contains(&name) => None,
        _ => match controller(metadata) {
            Some(owner) => (owner.kind == api::KIND && owner.name == instance).then_some(CHILD),
            None => (label(metadata, MANAGED_BY)? == OPERATOR).then_some(ORPHAN),
        },
    }
}

/// The metadata without what nobody reads of them; of an object that is no child only whose it is.
pub(super) fn reduce(metadata: &mut ObjectMeta, room: Option<Room>) {
    let Some(room) = room else {
        *metadata = stub(metadata);
        return;
    };
    metadata.managed_fields = None;
    if let Some(labels) = &mut metadata.labels {
        labels.retain(|key, _| LABELS.contains(&key.as_str()));
    }
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|key, _| key.starts_with(OURS) || key == CAUSE_ANNOTATION);
        let mut lengths: Vec<usize> = annotations.iter().map(|(key, value)| key.len() + value.len()).collect();
        lengths.sort_unstable();
        let mut sum = 0;
        let excess = lengths.into_iter().find(|length| {
            sum += length;
            sum > room.annotations
        });
        // The longest go first.
        if let Some(longest) = excess {
            annotations.retain(|key, value| key.len() + value.len() < longest);
        }
    }
    if let Some(owners) = &mut metadata.owner_references {
        owners.retain(is_short);
        // The one that controls it is there whatever else is.
        owners.sort_by_key(|owner| owner.controller != Some(true));
        owners.truncate(OWNERS);
    }
    if let Some(finalizers) = &mut metadata.finalizers {
        finalizers.retain(|finalizer| finalizer.len() <= NAME);
        finalizers.truncate(OWNERS);
    }
}

/// Who an object is and whose.
fn stub(metadata: &ObjectMeta) -> ObjectMeta {
    let kept = [INSTANCE_LABEL, MANAGED_BY];
    let labels = metadata.labels.iter().flatten().filter(|(key, _)| kept.contains(&key.as_str()));
    let labels = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
    ObjectMeta {
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        deletion_timestamp: metadata.deletion_timestamp.clone(),
        labels: Some(labels),
        owner_references: controller(metadata).filter(|owner| is_short(owner)).map(|owner| vec![owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// Of a pod its containers' states and what keeps it from serving.
pub(super) fn reduce_pod(pod: &mut Pod) {
    let room = room("Pod", &pod.metadata);
    reduce(&mut pod.metadata, room);
    pod.spec = None;
    pod.status = pod.status.take().filter(|_| room.is_some()).map(|status| PodStatus {
        phase: status.phase,
        pod_ip: status.pod_ip,
        start_time: status.start_time,
        reason: status.reason.map(cut),
        conditions: status.conditions.map(|mut all| {
            all.retain(|one| ["Ready", "PodScheduled"].contains(&one.type_.as_str()));
            all.truncate(2);
            for one in &mut all {
                one.message = one.message.take().map(cut);
            }
            all
        }),
        container_statuses: status.container_statuses.map(|mut all| {
            all.retain(|one| one.name == CONTAINER);
            all.truncate(1);
            for one in &mut all {
                reduce_container(one);
            }
            all
        }),
        ..PodStatus::default()
    });
}

fn reduce_container(container: &mut ContainerStatus) {
    container.volume_mounts = None;
    container.allocated_resources_status = None;
    for state in [&mut container.state, &mut container.last_state].into_iter().flatten() {
        if let Some(waiting) = &mut state.waiting {
            waiting.message = waiting.message.take().map(cut);
        }
        if let Some(terminated) = &mut state.terminated {
            terminated.message = terminated.message.take().map(cut);
        }
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MESSAGE));
    text
}

fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

fn is_short(owner: &OwnerReference) -> bool {
    [&owner.api_version, &owner.kind, &owner.name, &owner.uid].into_iter().all(|text| text.len() <= NAME)
}

/// Whether this is the name of an instance with the number of a pod.
fn is_numbered(name: &str, instance: &str) -> bool {
    let number = name.strip_prefix(instance).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn metadata(value: Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    fn labels() -> Value {
        json!({INSTANCE_LABEL: "cache", MANAGED_BY: OPERATOR})
    }

    fn owned(kind: &str, name: &str) -> Value {
        json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": true}])
    }

    #[test]
    fn only_what_may_be_a_child_is_kept() {
        for (kind, name, owners, expected) in [
            ("ConfigMap", "cache", owned("RedisInstance", "cache"), Some(CHILD)),
            ("Service", "cache-pods", owned("RedisInstance", "cache"), Some(CHILD)),
            ("Service", "cache-replicas", owned("RedisInstance", "cache"), Some(CHILD)),
            ("ConfigMap", "bomb-1", owned("RedisInstance", "cache"), None),
            ("ConfigMap", "cache", owned("RedisInstance", "other"), None),
            ("ConfigMap", "cache", owned("Deployment", "cache"), None),
            ("ConfigMap", "cache", json!([]), Some(ORPHAN)),
            ("ConfigMap", "bomb-1", json!([]), None),
            ("Pod", "cache-0", owned("StatefulSet", "cache"), Some(SMALL)),
            ("Pod", "cache-12", json!([]), Some(SMALL)),
            ("Pod", "cache-0", owned("ReplicaSet", "cache"), None),
            ("Pod", "cache-x", owned("StatefulSet", "cache"), None),
            ("Pod", "cache-", json!([]), None),
            ("PersistentVolumeClaim", "redis-data-cache-0", json!([]), Some(SMALL)),
            ("PersistentVolumeClaim", "redis-data-other-0", json!([]), None),
        ] {
            let object = json!({"name": name, "labels": labels(), "ownerReferences": owners});
            assert_eq!(room(kind, &metadata(object)), expected, "{kind} {name} of {owners}");
        }
        assert_eq!(room("ConfigMap", &metadata(json!({"name": "cache"}))), None);
    }

    /// Metadata as large as they can get.
    fn large(name: &str) -> ObjectMeta {
        let mut labels = labels();
        let mut annotations = json!({"redis.github.com/applied-hash": "1", "x": "x".repeat(250_000)});
        for n in 0..500 {
            labels[format!("redis.github.com/{n}")] = json!("x".repeat(63));
            annotations[format!("redis.github.com/{n}")] = json!("x".repeat(900));
        }
        let owner = |n: usize| json!({"apiVersion": "v1", "kind": "x".repeat(n * 10), "name": "x", "uid": "u"});
        metadata(json!({"name": name, "labels": labels, "annotations": annotations,
            "finalizers": (1..500).map(|n| "x".repeat(n * 10)).collect::<Vec<_>>(),
            "ownerReferences": (1..500).map(owner).collect::<Vec<_>>()}))
    }

    #[test]
    fn what_is_kept_of_metadata_is_bounded() {
        for (name, most) in [("bomb", 500), ("cache", ORPHAN.annotations + 8_000)] {
            let mut object = large(name);
            let room = room("ConfigMap", &object);
            assert_eq!(room.is_some(), name == "cache");
            reduce(&mut object, room);
            let kept = serde_json::to_string(&object).unwrap();
            assert!(kept.len() < most, "{name}: {} bytes", kept.len());
            assert_eq!(label(&object, INSTANCE_LABEL), Some("cache"));
            assert_eq!(
                object.annotations.is_some_and(|all| all.contains_key("redis.github.com/applied-hash")),
                room.is_some()
            );
        }
    }

    #[test]
    fn of_a_pod_the_state_of_redis_is_kept_and_of_a_strangers_none() {
        let status = |name: String| {
            json!({"name": name, "ready": true, "restartCount": 0, "image": "x", "imageID": "x",
            "state": {"waiting": {"reason": "x", "message": "é".repeat(100_000)}}})
        };
        let mut statuses: Vec<Value> = (0..1000).map(|n| status(format!("c-{n}"))).collect();
        statuses.push(status(CONTAINER.to_owned()));
        let pod = |name: &str| -> Pod {
            let mut pod: Pod = serde_json::from_value(json!({"metadata": large(name), "status": {"podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "True"}],
                "containerStatuses": statuses}}))
            .unwrap();
            reduce_pod(&mut pod);
            pod
        };
        assert_eq!(pod("bomb").status, None);
        let status = pod("cache-0").status.unwrap();
        assert_eq!((status.pod_ip.as_deref(), status.conditions.unwrap().len()), (Some("10.0.0.1"), 1));
        let containers = status.container_statuses.unwrap();
        assert_eq!((containers.len(), containers[0].name.as_str()), (1, CONTAINER));
        let message = containers[0].state.clone().unwrap().waiting.unwrap().message.unwrap();
        assert!(message.len() <= MESSAGE && message.ends_with('é'));
    }
}
