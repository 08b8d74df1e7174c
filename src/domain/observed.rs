//! What is seen of a running instance, reduced to what its status needs. Pure: takes objects, makes no calls.

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ContainerStateWaiting, ContainerStatus, Pod, PodCondition},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{
    names::{CAUSE_ANNOTATION, CONTAINER, DATA_VOLUME, REVISION_LABEL},
    reason::Reason,
};

/// Label by which a StatefulSet's controller marks the revision a pod was made from.
/// How long after its last moment a pod may still be there before its node is doubted.
const OVERDUE_SECONDS: i64 = 30;

/// The pods of an instance as its StatefulSet and they themselves tell, and what is known beside that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// `None` while the StatefulSet does not exist or its controller has not looked at it yet.
    pub rollout: Option<Rollout>,
    /// Why the first pod that does not serve does not, as far as it is known.
    pub trouble: Option<Trouble>,
    /// Why the server that takes the writes accepts none, or whether it does is not known.
    pub writes: Option<Box<Trouble>>,
    /// Whether the running servers hold the configuration; `None` when this pass did not ask them.
    pub config: Option<Aspect>,
    /// Who takes the writes, and whether the others have its data; `None` for one pod alone.
    pub replication: Option<Replication>,
    /// Whether the servers accept one password; `None` when none changes.
    pub password: Option<Box<Aspect>>,
    /// Whether the volumes have the size that the spec wants; `None` while there is none.
    pub storage: Option<Aspect>,
}

/// The roles of several pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication {
    /// Name of the pod that takes the writes, if one does.
    pub primary: Option<String>,
    /// Whether all others have its data.
    pub aspect: Aspect,
}

/// What the StatefulSet's controller reports; counts are pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Pods that exist.
    pub replicas: i32,
    /// Pods that pass their readiness probe, as the controller and the pods themselves say.
    pub ready: i32,
    /// Pods of the newest template, ready or not.
    pub updated: i32,
    /// Whether the newest template has reached every pod, and every pod became ready with it.
    pub complete: bool,
    /// Why the template last changed.
    pub cause: Option<String>,
}

/// Why a pod does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The word for it.
    pub reason: Reason,
    /// Whether it will not go away by itself.
    pub stalled: bool,
    /// A sentence without its end: `cache-0: image cannot be pulled: ...`.
    pub message: String,
}

/// Something beside the phase that a condition tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aspect {
    /// `None` when it cannot be known.
    pub holds: Option<bool>,
    /// The word for it.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
}

impl Trouble {
    /// Whether no node takes the pod.
    #[must_use]
    pub fn is_unscheduled(&self) -> bool {
        self.reason == Reason::Unschedulable
    }
}

/// Reads the StatefulSet and its pods. A pod that is still there this long after it should have ended is told.
#[must_use]
pub fn observe(stateful_set: Option<&StatefulSet>, pods: &[&Pod], now: &Time) -> Observed {
    Observed {
        rollout: stateful_set.and_then(|set| rollout(set, pods)),
        trouble: pods.iter().filter(|pod| !is_leaving(stateful_set, pod)).find_map(|pod| trouble_of(pod, now)),
        ..Observed::default()
    }
}

fn rollout(stateful_set: &StatefulSet, pods: &[&Pod]) -> Option<Rollout> {
    let status = stateful_set.status.as_ref()?;
    let current = status.observed_generation? >= stateful_set.metadata.generation.unwrap_or(0);
    // A set that was replaced under its pods begins with equal revisions, while its pods are of an older one.
    let outdated = pods.iter().any(|pod| revision(pod).is_some() && revision(pod) != status.update_revision.as_ref());
    // The controller makes both revisions equal when all pods are of the newest template and ready.
    let complete = current && !outdated && status.current_revision == status.update_revision;
    let cause = stateful_set.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CAUSE_ANNOTATION));
    // The controller counts a pod for a moment after it is gone, when nothing else tells that the roll is not over.
    let there = i32::try_from(pods.iter().filter(|pod| is_ready(pod)).count()).unwrap_or(i32::MAX);
    Some(Rollout {
        replicas: status.replicas,
        ready: status.ready_replicas.unwrap_or(0).min(there),
        updated: status.updated_replicas.unwrap_or(0),
        complete,
        cause: cause.cloned(),
    })
}

/// Whether the controller is about to replace this pod by one of a newer template: what ails it is mended by that.
fn is_leaving(stateful_set: Option<&StatefulSet>, pod: &Pod) -> bool {
    let Some((set, status)) = stateful_set.and_then(|set| Some((set, set.status.as_ref()?))) else { return false };
    let seen = status.observed_generation >= set.metadata.generation;
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref()?.rolling_update.as_ref());
    let partition = strategy.and_then(|strategy| strategy.partition).unwrap_or(0);
    let ordinal = pod.metadata.name.as_deref().and_then(|name| name.rsplit('-').next()?.parse::<i32>().ok());
    let outdated = revision(pod).is_some() && revision(pod) != status.update_revision.as_ref();
    !seen || (outdated && ordinal.is_none_or(|ordinal| ordinal >= partition))
}

/// The template that a pod was made from, as its controller names it.
#[must_use]
pub fn revision(pod: &Pod) -> Option<&String> {
    pod.metadata.labels.as_ref()?.get(REVISION_LABEL)
}

/// Whether the pod passes its readiness probe.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// How long a pod has not passed its readiness probe, in seconds, as its condition tells; `None` while it does.
#[must_use]
pub fn unready_seconds(pod: &Pod, now: Timestamp) -> Option<u64> {
    if is_ready(pod) {
        return None;
    }
    let since = condition(pod, "Ready").and_then(|condition| condition.last_transition_time.as_ref());
    Some(since.map_or(0, |since| u64::try_from(now.duration_since(since.0).as_secs()).unwrap_or(0)))
}

/// The Redis container as the kubelet last told of it.
#[must_use]
pub fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|container| container.name == CONTAINER)
}

/// Since when a pod on its node waits for its container to be created, as for a volume that is not there: a Secret, for one.
#[must_use]
pub fn waits_since(pod: &Pod) -> Option<Timestamp> {
    let started = pod.status.as_ref()?.start_time.as_ref()?.0;
    let state = container(pod).and_then(|container| container.state.as_ref());
    let waits = match state.map(|state| state.waiting.as_ref()) {
        // The kubelet has not come to the container yet.
        None => true,
        Some(waiting) => waiting.and_then(|waiting| waiting.reason.as_deref()).is_some_and(|reason| {
            ["ContainerCreating", "PodInitializing", "CreateContainerConfigError"].contains(&reason)
        }),
    };
    (waits && pod.metadata.deletion_timestamp.is_none()).then_some(started)
}

/// Whether Redis ends again and again, and the kubelet waits longer and longer to start it.
#[must_use]
pub fn is_crash_looping(pod: &Pod) -> bool {
    let waiting = container(pod).and_then(|container| container.state.as_ref()?.waiting.as_ref());
    waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff"))
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Why a pod does not serve, in words for a person; `None` when it serves or nothing is known yet.
#[must_use]
pub fn trouble_of(pod: &Pod, now: &Time) -> Option<Trouble> {
    let name = pod.metadata.name.as_deref()?;
    let told = |reason, stalled, why: String| Some(Trouble { reason, stalled, message: format!("{name}: {why}") });
    if let Some(due) = &pod.metadata.deletion_timestamp {
        // The kubelet confirms the end of a pod; nobody else can know that its Redis no longer writes to the volume.
        let overdue = now.0.duration_since(due.0).as_secs() > OVERDUE_SECONDS;
        let why =
            "should have ended and its node does not confirm it; if the node is lost for good, delete its Node object";
        return if overdue { told(Reason::PodStuck, true, why.to_owned()) } else { None };
    }
    if is_ready(pod) {
        return None;
    }
    if let Some(unscheduled) = condition(pod, "PodScheduled").filter(|condition| condition.status == "False") {
        let message = one_line(unscheduled.message.as_deref());
        // The scheduler's word for the first moments of every new volume.
        if message.contains("unbound immediate PersistentVolumeClaims") {
            let why = format!("its volume is not there yet (PersistentVolumeClaim {DATA_VOLUME}-{name})");
            return told(Reason::VolumePending, false, why);
        }
        return told(Reason::Unschedulable, false, format!("cannot be scheduled: {message}"));
    }
    let (reason, why) = container_trouble(container(pod)?)?;
    told(reason, true, why)
}

fn container_trouble(container: &ContainerStatus) -> Option<(Reason, String)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let message = one_line(waiting.message.as_deref());
    match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            Some((Reason::ImagePullFailed, format!("image cannot be pulled: {message}")))
        }
        "CrashLoopBackOff" => Some(last_words(container, waiting)),
        "ContainerCreating" | "PodInitializing" => None,
        reason => Some((Reason::ContainerFailed, format!("{reason}: {message}"))),
    }
}

/// Why the container ended: for a refused redis.conf that is the line and Redis' own words about it.
fn last_words(container: &ContainerStatus, waiting: &ContainerStateWaiting) -> (Reason, String) {
    let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let said = ended.and_then(|ended| ended.message.as_deref()).map(str::trim).filter(|said| !said.is_empty());
    if ended.is_some_and(|ended| ended.reason.as_deref() == Some("OOMKilled")) {
        return (Reason::OutOfMemory, "redis was killed for using more than its memory limit".to_owned());
    }
    if let Some(refusal) = said.and_then(refused_line) {
        return (Reason::ConfigRejected, format!("redis refuses its configuration: {}", one_line(Some(&refusal))));
    }
    if let Some(words) = said.and_then(unreadable_data) {
        let cure =
            "a later version or another engine wrote it: set spec.image back, or move the data to a new RedisInstance";
        return (Reason::DataUnreadable, format!("redis cannot read the data ({}); {cure}", one_line(Some(words))));
    }
    let why = match (said.and_then(|said| said.lines().last()), ended) {
        (Some(said), _) => one_line(Some(said)),
        (None, Some(ended)) => format!("exit code {}", ended.exit_code),
        (None, None) => one_line(waiting.message.as_deref()),
    };
    (Reason::RedisCrashes, format!("redis ends again and again: {why}"))
}

/// The directive that Redis stumbled over and what it said about it, from the report it ends with. A line that would
/// carry a password is left out.
fn refused_line(said: &str) -> Option<String> {
    let (_, report) = said.split_once("FATAL CONFIG FILE ERROR")?;
    let (_, quoted) = report.split_once(">>> ")?;
    let mut lines = quoted.lines();
    let directive = lines.next().filter(|line| !line.contains("requirepass") && !line.contains("masterauth"))?;
    Some(format!("{directive}: {}", lines.next().unwrap_or("no reason given")))
}

/// What a server says of data that another release or engine wrote, from the line in its log. The signature of a file is
/// the name of the engine.
fn unreadable_data(said: &str) -> Option<&str> {
    let words = ["Can't handle RDB format version", "Wrong signature trying to load DB"];
    said.lines().find_map(|line| words.iter().find_map(|words| line.find(words).and_then(|at| line.get(at..))))
}

/// Text from outside as one printable line of at most 300 characters; one that was cut shows it.
pub(super) fn one_line(text: Option<&str>) -> String {
    let mut clean = text.unwrap_or("no reason given").chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = clean.by_ref().take(299).collect();
    match (clean.next(), clean.next()) {
        (Some(last), None) => line.push(last),
        (Some(_), Some(_)) => line.push('…'),
        (None, _) => {}
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_text_from_outside_is_one_line_and_shows_that_it_was_cut() {
        assert_eq!(one_line(Some("a\nb")), "a b");
        assert_eq!(one_line(Some(&"x".repeat(300))), "x".repeat(300));
        assert_eq!(one_line(Some(&"x".repeat(301))), "x".repeat(299) + "…");
    }

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "cache-0"}, "status": status})).unwrap()
    }

    fn now() -> Time {
        Time("2026-11-24T10:00:00Z".parse().unwrap())
    }

    fn told(pods: &[&Pod]) -> Option<(Reason, bool, String)> {
        observe(None, pods, &now()).trouble.map(|trouble| (trouble.reason, trouble.stalled, trouble.message))
    }

    fn waiting(reason: &str, ended: &Value) -> Pod {
        pod(
            json!({"containerStatuses": [{"name": "redis", "image": "", "imageID": "", "ready": false, "restartCount": 2,
            "state": {"waiting": {"reason": reason, "message": "no\nsuch tag"}}, "lastState": {"terminated": ended}}]}),
        )
    }

    #[test]
    fn a_pod_waits_until_its_container_is_created() {
        let waits = |state: Value, start: Value, deleted: Value| {
            let containers = json!([{"name": "redis", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
            let pod = json!({"metadata": {"name": "cache-0", "deletionTimestamp": deleted}, "status": {"startTime": start,
                "containerStatuses": if state.is_null() { json!([]) } else { containers }}});
            waits_since(&serde_json::from_value(pod).unwrap()).is_some()
        };
        let at = || json!("2026-11-24T10:00:00Z");
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        assert!(waits(waiting("ContainerCreating"), at(), json!(null)));
        assert!(waits(waiting("CreateContainerConfigError"), at(), json!(null)));
        assert!(waits(json!(null), at(), json!(null)), "not looked at by the kubelet");
        assert!(!waits(json!(null), json!(null), json!(null)), "on no node");
        assert!(!waits(waiting("ContainerCreating"), at(), at()), "on its way out");
        for running in [waiting("CrashLoopBackOff"), waiting("ImagePullBackOff"), json!({"running": {}})] {
            assert!(!waits(running, at(), json!(null)));
        }
    }

    #[test]
    fn the_first_pod_that_does_not_serve_says_why() {
        let serving = pod(json!({"conditions": [{"type": "Ready", "status": "True"}]}));
        let crashed = |message: &str| waiting("CrashLoopBackOff", &json!({"exitCode": 1, "message": message}));
        assert_eq!(told(&[&serving]), None);
        assert_eq!(told(&[&waiting("ContainerCreating", &json!(null))]), None);
        for (pod, reason, message) in [
            (
                waiting("ErrImagePull", &json!(null)),
                Reason::ImagePullFailed,
                "cache-0: image cannot be pulled: no such tag",
            ),
            (
                crashed(
                    "*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nReading the configuration file, at line 2\n>>> 'activedefrag yes'\nActive defragmentation cannot be enabled\n",
                ),
                Reason::ConfigRejected,
                "cache-0: redis refuses its configuration: 'activedefrag yes': Active defragmentation cannot be enabled",
            ),
            (
                crashed("*** FATAL CONFIG FILE ERROR ***\n>>> 'requirepass hunter2'\nBad\n"),
                Reason::RedisCrashes,
                "cache-0: redis ends again and again: Bad",
            ),
            (
                crashed("Can't open the log\n"),
                Reason::RedisCrashes,
                "cache-0: redis ends again and again: Can't open the log",
            ),
            (
                crashed(
                    "1:M 24 Nov 2026 19:06:02.537 # Can't handle RDB format version 12\n1:M 24 Nov 2026 19:06:02.537 # Fatal error loading the DB: Invalid argument. Exiting.\n",
                ),
                Reason::DataUnreadable,
                "cache-0: redis cannot read the data (Can't handle RDB format version 12); a later version or another engine wrote it: set spec.image back, or move the data to a new RedisInstance",
            ),
            (
                waiting("CrashLoopBackOff", &json!({"exitCode": 137, "reason": "OOMKilled"})),
                Reason::OutOfMemory,
                "cache-0: redis was killed for using more than its memory limit",
            ),
            (
                waiting("CreateContainerConfigError", &json!(null)),
                Reason::ContainerFailed,
                "cache-0: CreateContainerConfigError: no such tag",
            ),
        ] {
            assert_eq!(told(&[&serving, &pod]), Some((reason, true, message.to_owned())));
        }
    }

    #[test]
    fn what_may_go_away_by_itself_is_no_reason_to_give_up() {
        let unscheduled = |message: &str| {
            pod(json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": message}]}))
        };
        assert_eq!(told(&[&unscheduled("0/1 nodes: Insufficient memory")]).unwrap().0, Reason::Unschedulable);
        let (reason, stalled, _) = told(&[&unscheduled("pod has unbound immediate PersistentVolumeClaims")]).unwrap();
        assert_eq!((reason, stalled), (Reason::VolumePending, false));
    }

    #[test]
    fn a_pod_whose_node_does_not_confirm_its_end_is_told_and_no_sooner() {
        let ending = |at: &str| {
            serde_json::from_value::<Pod>(json!({"metadata": {"name": "cache-0", "deletionTimestamp": at}})).unwrap()
        };
        assert_eq!(told(&[&ending("2026-11-24T09:59:40Z")]), None);
        assert_eq!(told(&[&ending("2026-11-24T09:59:20Z")]).unwrap().0, Reason::PodStuck);
    }

    #[test]
    fn what_ails_a_pod_that_is_about_to_be_replaced_is_no_news() {
        let set = |observed: i64, partition: i32| -> StatefulSet {
            serde_json::from_value(json!({"metadata": {"generation": 2}, "spec": {"selector": {}, "template": {},
                "updateStrategy": {"rollingUpdate": {"partition": partition}}},
                "status": {"replicas": 1, "observedGeneration": observed, "updateRevision": "new"}}))
            .unwrap()
        };
        let broken = |revision: &str| {
            let mut pod = waiting("ErrImagePull", &json!(null));
            pod.metadata.labels = Some([("controller-revision-hash".to_owned(), revision.to_owned())].into());
            pod
        };
        let told =
            |set: &StatefulSet, revision: &str| observe(Some(set), &[&broken(revision)], &now()).trouble.is_some();
        assert!(told(&set(2, 0), "new") && !told(&set(2, 0), "old"));
        assert!(told(&set(2, 1), "old"), "it is not its turn, so it stays as it is");
        assert!(!told(&set(1, 0), "new"), "the controller has not seen the new template");
    }

    #[test]
    fn a_set_that_was_replaced_under_its_pods_is_not_complete_before_they_are_of_its_revision() {
        let set = json!({"metadata": {"generation": 1}, "spec": {"replicas": 1, "selector": {}, "template": {}},
            "status": {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "currentRevision": "b", "updateRevision": "b"}});
        let set: StatefulSet = serde_json::from_value(set).unwrap();
        let pod = |revision: &str| -> Pod {
            serde_json::from_value(
                json!({"metadata": {"name": "cache-0", "labels": {"controller-revision-hash": revision}}}),
            )
            .unwrap()
        };
        let complete = |revision: &str| observe(Some(&set), &[&pod(revision)], &now()).rollout.unwrap().complete;
        assert!(!complete("a") && complete("b"));
    }

    #[test]
    fn a_rollout_is_complete_when_the_newest_revision_is_everywhere_and_ready() {
        let rollout_of = |pods: usize, generation: i64, status: Value| {
            let set = json!({"metadata": {"generation": generation, "annotations": {"kubernetes.io/change-cause": "why"}},
                "spec": {"replicas": 1, "selector": {}, "template": {}}, "status": status});
            let pod = json!({"metadata": {"name": "cache-0"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
            let pods: Vec<Pod> = vec![serde_json::from_value(pod).unwrap(); pods];
            observe(Some(&serde_json::from_value(set).unwrap()), &pods.iter().collect::<Vec<_>>(), &now()).rollout
        };
        let rollout = |generation: i64, status: Value| rollout_of(1, generation, status);
        assert_eq!(rollout(1, json!({"replicas": 0})), None);
        let seen = json!({"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "a"});
        let complete = Rollout { replicas: 1, ready: 1, updated: 1, complete: true, cause: Some("why".to_owned()) };
        assert_eq!(rollout(1, seen.clone()).unwrap(), complete);
        assert_eq!(
            rollout_of(0, 1, seen.clone()).unwrap().ready,
            0,
            "its pod is gone, which the controller has not seen"
        );
        assert!(!rollout(2, seen).unwrap().complete);
        let unready = json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"});
        assert!(!rollout(2, unready).unwrap().complete, "a new pod that is not ready yet is no end");
    }
}
