//! Explains why a pod does not serve, from its conditions and the state of its container.

use k8s_openapi::{
    api::core::v1::{ContainerStateWaiting, ContainerStatus, Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{
    Trouble,
    pod::{condition, container, is_ready},
};
use crate::domain::{names::DATA_VOLUME, reason::Reason};

/// Seconds after the end of the grace period after which the node of a terminating pod is considered lost.
const OVERDUE_SECONDS: i64 = 30;

/// Explains why a pod does not serve; `None` if it serves or nothing is known yet.
#[must_use]
pub fn trouble_of(pod: &Pod, now: &Time) -> Option<Trouble> {
    let name = pod.metadata.name.as_deref()?;
    let problem = |reason, stalled, why: String| Some(Trouble { reason, stalled, message: format!("{name}: {why}") });
    if let Some(due) = &pod.metadata.deletion_timestamp {
        // Only the kubelet can confirm that the pod has ended and its Redis no longer writes to the volume.
        let overdue = now.0.duration_since(due.0).as_secs() > OVERDUE_SECONDS;
        let why =
            "should have ended and its node does not confirm it; if the node is lost for good, delete its Node object";
        return if overdue { problem(Reason::PodStuck, true, why.to_owned()) } else { None };
    }
    if is_ready(pod) {
        return None;
    }
    if let Some(unscheduled) = condition(pod, "PodScheduled").filter(|condition| condition.status == "False") {
        let message = one_line(unscheduled.message.as_deref());
        // The scheduler's word for the first moments of every new volume.
        if message.contains("unbound immediate PersistentVolumeClaims") {
            let why = format!("its volume is not there yet (PersistentVolumeClaim {DATA_VOLUME}-{name})");
            return problem(Reason::VolumePending, false, why);
        }
        return problem(Reason::Unschedulable, false, format!("cannot be scheduled: {message}"));
    }
    let (reason, why) = container_trouble(container(pod)?)?;
    problem(reason, true, why)
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

/// The cause of the container's end; for a refused redis.conf, the line and the message of Redis about it.
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

/// The log message of a server that cannot read data of another release or engine. The signature of a file is the name
/// of its engine.
fn unreadable_data(said: &str) -> Option<&str> {
    let words = ["Can't handle RDB format version", "Wrong signature trying to load DB"];
    said.lines().find_map(|line| words.iter().find_map(|words| line.find(words).and_then(|at| line.get(at..))))
}

/// External text as one printable line of at most 300 characters; truncated text ends in an ellipsis.
pub(in crate::domain) fn one_line(text: Option<&str>) -> String {
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
    use serde_json::json;

    use super::*;
    use crate::domain::observed::fixtures::{pod, told, waiting};

    #[test]
    fn a_text_from_outside_is_one_line_and_shows_that_it_was_cut() {
        assert_eq!(one_line(Some("a\nb")), "a b");
        assert_eq!(one_line(Some(&"x".repeat(300))), "x".repeat(300));
        assert_eq!(one_line(Some(&"x".repeat(301))), "x".repeat(299) + "…");
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
}
