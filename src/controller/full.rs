//! A larger `maxclients` for a server that has all the clients it may have: nobody can connect to give it that, so its pod is
//! restarted. The status says so first, then the ConfigMap has the new value, then the pod goes: an operator that is killed
//! in between leaves a state from which the next one goes on.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::{context::Context, error::Error, events, live_config::Outcome, observe, restart};
use crate::{
    api::v1::RedisInstanceStatus,
    domain::{
        directives::release::release,
        effective::Effective,
        instance::ValidatedInstance,
        observed::{Aspect, container, is_ready},
        reason::Reason,
        wanted::Wanted,
    },
};

const MAXCLIENTS: &str = "maxclients";
/// What every announcement of a restart has in its message.
const RESTARTED: &str = "its pod is restarted with maxclients";

/// What is known of a configuration that a server could not be given.
pub(super) struct Cure<'a> {
    pub(super) instance: &'a ValidatedInstance,
    /// The configuration in the ConfigMap.
    pub(super) before: Option<&'a Effective>,
    pub(super) wanted: &'a Wanted,
    /// Whether the ConfigMap still has the former one.
    pub(super) pending: bool,
    pub(super) status: &'a RedisInstanceStatus,
}

impl Cure<'_> {
    /// Goes one step further for the pod of a server that is full; nothing where a restart is no cure.
    pub(super) async fn apply(&self, full: &str, context: &Context) -> Result<Option<Outcome>, Error> {
        if self.pending && !is_cured_by_restart(self.instance, self.before, self.wanted) {
            return Ok(None);
        }
        let pods = observe::pods(observe::of(self.instance), self.instance.replicas, context);
        let Some((_, pod)) = pods.iter().find(|(_, pod)| pod.name_any() == full) else { return Ok(None) };
        let Some(aspect) = restarting(pod, self.instance) else { return Ok(None) };
        match (is_announced(self.status, &aspect.message), self.pending) {
            (false, true) => return Ok(Some(Outcome::Pending(aspect))),
            (false, false) => return Ok(None),
            (true, true) => {}
            (true, false) => {
                let pods: Vec<&Pod> = pods.iter().map(|(_, pod)| pod.as_ref()).collect();
                // The spec may have changed since the announcement.
                if keeps_data(self.instance) && others_serve(self.instance.replicas, &pods, full) {
                    self.restart(pod, context).await?; // client
                }
            }
        }
        Ok(Some(Outcome::Held(Some(aspect))))
    }

    async fn restart(&self, pod: &Pod, context: &Context) -> Result<(), Error> {
        if restart::delete(pod, context).await? {
            let name = pod.name_any();
            tracing::info!(
                pod = name,
                "deleted a pod that accepts no connection, to start it with a larger maxclients"
            );
            events::pod_replaced(self.instance, &name, context).await;
        }
        Ok(())
    }
}

/// Whether every pod but this one is there to stay and ready. Whether the replicas are in sync cannot be asked for: neither of a
/// replica that is full nor while the primary is.
fn others_serve(replicas: i32, pods: &[&Pod], full: &str) -> bool {
    let serves = |pod: &&&Pod| pod.metadata.deletion_timestamp.is_none() && (pod.name_any() == full || is_ready(pod));
    i32::try_from(pods.iter().filter(serves).count()) == Ok(replicas)
}

/// Whether the change is nothing but a larger `maxclients`, and the server keeps its data over a restart.
fn is_cured_by_restart(instance: &ValidatedInstance, before: Option<&Effective>, wanted: &Wanted) -> bool {
    let effective = Effective::of(instance, release(&instance.image));
    let number = |config: &Effective| config.words(MAXCLIENTS).and_then(|words| words.first()?.parse::<u64>().ok());
    let grows = before.is_some_and(|before| number(&effective).unwrap_or(u64::MAX) > number(before).unwrap_or(0));
    keeps_data(instance) && grows && wanted.changed() == [MAXCLIENTS]
}

/// Whether a server keeps its data over a restart.
fn keeps_data(instance: &ValidatedInstance) -> bool {
    let effective = Effective::of(instance, release(&instance.image));
    let is =
        |name: &str, value: &str| effective.words(name).is_some_and(|words| words.iter().all(|word| word == value));
    !is("appendonly", "no") || !is("save", "")
}

/// Whether the status says just this: for another start of the server, or another value, it would say something else.
fn is_announced(status: &RedisInstanceStatus, message: &str) -> bool {
    let announced = |held: &Condition| {
        held.type_ == "ConfigApplied" && held.reason == Reason::MaxClientsReached.as_str() && held.message == message
    };
    status.conditions.iter().any(announced)
}

/// Whether this says that a pod is restarted.
pub(super) fn is_restart(aspect: &Aspect) -> bool {
    aspect.reason == Reason::MaxClientsReached && aspect.message.contains(RESTARTED)
}

/// What is reported until the server has the new value; nothing of a pod whose server does not run.
fn restarting(pod: &Pod, instance: &ValidatedInstance) -> Option<Aspect> {
    let started = container(pod)?.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0;
    let effective = Effective::of(instance, release(&instance.image));
    let value = effective.words(MAXCLIENTS).and_then(|words| words.first().cloned());
    let message = format!(
        "{}, started at {started}, has all the clients that maxclients allows and accepts no connection to raise it: {RESTARTED} {}",
        pod.name_any(),
        value.as_deref().unwrap_or("of its default")
    );
    Some(Aspect { holds: Some(false), reason: Reason::MaxClientsReached, message })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::domain::instance::tests::validated;

    #[test]
    fn only_a_larger_maxclients_alone_is_worth_a_restart() {
        let cured = |before: serde_json::Value, after: serde_json::Value| {
            let (before, after) = (validated(json!({"config": before})), validated(json!({"config": after})));
            let before = Effective::of(&before, release(&before.image));
            let wanted = Wanted::of(&after, Some(&before), &BTreeSet::new());
            is_cured_by_restart(&after, Some(&before), &wanted)
        };
        assert!(cured(json!({"maxclients": "50"}), json!({"maxclients": "100"})));
        assert!(cured(json!({"maxclients": "50"}), json!({})), "the default is larger");
        assert!(!cured(json!({"maxclients": "100"}), json!({"maxclients": "50"})));
        assert!(!cured(json!({"maxclients": "50"}), json!({"maxclients": "100", "hz": "20"})), "redis may refuse that");
        let memory = |clients: &str| json!({"maxclients": clients, "appendonly": "no", "save": ""});
        assert!(!cured(memory("50"), memory("100")), "a restart would lose the data");
        let snapshots = |clients: &str| json!({"maxclients": clients, "appendonly": "no", "save": "900 1"});
        assert!(cured(snapshots("50"), snapshots("100")));
    }

    fn pod(name: &str, started: &str, is_ready: bool, leaving: bool) -> Pod {
        let deleted = leaving.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(json!({
            "metadata": {"name": name, "deletionTimestamp": deleted},
            "status": {
                "conditions": [{"type": "Ready", "status": if is_ready { "True" } else { "False" }}],
                "containerStatuses": [{"name": "redis", "image": "", "imageID": "", "ready": is_ready, "restartCount": 0,
                    "state": {"running": {"startedAt": started}}}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn an_announcement_holds_for_one_start_and_one_value() {
        let instance = |clients: &str| validated(json!({"config": {"maxclients": clients}}));
        let said = |started: &str, clients: &str| {
            restarting(&pod("cache-0", started, true, false), &instance(clients)).unwrap()
        };
        let first = said("2026-01-01T00:00:00Z", "100");
        let status = |message: &str| -> RedisInstanceStatus {
            serde_json::from_value(json!({"conditions": [{"type": "ConfigApplied", "status": "False",
                "reason": "MaxClientsReached", "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}))
            .unwrap()
        };
        let announced = status(&first.message);
        assert!(is_restart(&first) && is_announced(&announced, &first.message));
        assert!(!is_announced(&announced, &said("2026-01-01T00:00:09Z", "100").message), "it was restarted");
        assert!(!is_announced(&announced, &said("2026-01-01T00:00:00Z", "200").message), "another value");
        let reported = status("spec.config is not applied yet: cache-0: all connections are in use");
        assert!(!is_announced(&reported, &first.message), "a report is no announcement");
    }

    #[test]
    fn a_pod_is_restarted_only_while_all_others_serve() {
        let at = "2026-01-01T00:00:00Z";
        let full = || pod("cache-1", at, false, false);
        let serve = |others: &[(bool, bool)]| {
            let pods: Vec<Pod> = others.iter().map(|(ready, leaving)| pod("cache-0", at, *ready, *leaving)).collect();
            let full = full();
            let all: Vec<&Pod> = pods.iter().chain([&full]).collect();
            others_serve(3, &all, "cache-1")
        };
        assert!(serve(&[(true, false), (true, false)]));
        assert!(!serve(&[(true, false), (false, false)]), "not ready");
        assert!(!serve(&[(true, false), (true, true)]), "leaving");
        assert!(!serve(&[(true, false)]), "missing");
        assert!(others_serve(1, &[&full()], "cache-1"), "alone");
    }
}
