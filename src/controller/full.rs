//! A larger `maxclients` for a server that has all the clients it may have: nobody can connect to give it that, so its pod is
//! restarted. The status says so first, then the ConfigMap has the new value, then the pod goes: an operator that is killed
//! in between leaves a state from which the next one goes on.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::{context::Context, error::Error, events, live_config::Outcome, observe, restart, servers::Running};
use crate::{
    api::v1::RedisInstanceStatus,
    domain::{
        directives::release::release,
        effective::Effective,
        instance::ValidatedInstance,
        observed::{Aspect, container},
        reason::Reason,
        wanted::Wanted,
    },
};

const MAXCLIENTS: &str = "maxclients";

/// What is known of a configuration that a server could not be given.
pub(super) struct Cure<'a> {
    pub(super) instance: &'a ValidatedInstance,
    /// The configuration in the ConfigMap.
    pub(super) before: Option<&'a Effective>,
    pub(super) wanted: &'a Wanted,
    pub(super) servers: &'a [Running],
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
        match announced(self.status) {
            None if self.pending => Ok(Some(Outcome::Pending(restarting(full)))),
            None => Ok(None),
            Some(_) if self.pending => Ok(Some(Outcome::Held(Some(restarting(full))))),
            Some(since) => {
                self.restart(full, since, context).await?; // client
                Ok(Some(Outcome::Held(Some(restarting(full)))))
            }
        }
    }

    /// Deletes the pod if its server was started before the restart was announced and all others are ready.
    async fn restart(&self, full: &str, since: Timestamp, context: &Context) -> Result<(), Error> {
        let instance = self.instance;
        let others_serve = self.servers.iter().all(|server| server.ready || server.pod == full);
        let pods = observe::pods(observe::of(instance), instance.replicas, context);
        let Some((_, pod)) = pods.iter().find(|(_, pod)| pod.name_any() == full).filter(|_| others_serve) else {
            return Ok(());
        };
        let running = container(pod).and_then(|container| container.state.as_ref()?.running.as_ref());
        let started = running.and_then(|running| running.started_at.as_ref()).map(|started| started.0);
        if is_older(started, since) && restart::delete(pod, context).await? {
            tracing::info!(
                pod = full,
                "deleted a pod that accepts no connection, to start it with a larger maxclients"
            );
            events::pod_replaced(instance, full, context).await;
        }
        Ok(())
    }
}

/// Whether the change is nothing but a larger `maxclients`, and the server keeps its data over a restart.
fn is_cured_by_restart(instance: &ValidatedInstance, before: Option<&Effective>, wanted: &Wanted) -> bool {
    let effective = Effective::of(instance, release(&instance.image));
    let number = |config: &Effective| config.words(MAXCLIENTS).and_then(|words| words.first()?.parse::<u64>().ok());
    let is =
        |name: &str, value: &str| effective.words(name).is_some_and(|words| words.iter().all(|word| word == value));
    let keeps_data = !is("appendonly", "no") || !is("save", "");
    let grows = before.is_some_and(|before| number(&effective).unwrap_or(u64::MAX) > number(before).unwrap_or(0));
    keeps_data && grows && wanted.changed() == [MAXCLIENTS]
}

/// Since when the status says that a pod is restarted.
fn announced(status: &RedisInstanceStatus) -> Option<Timestamp> {
    let is = |held: &&Condition| held.type_ == "ConfigApplied" && held.status == "False";
    let held = status.conditions.iter().filter(is).find(|held| held.reason == Reason::MaxClientsReached.as_str());
    held.map(|held| held.last_transition_time.0)
}

/// What is reported until the server has the new value.
fn restarting(pod: &str) -> Aspect {
    let message = format!(
        "{pod} has all the clients that maxclients allows and accepts no connection to raise it: the pod is restarted"
    );
    Aspect { holds: Some(false), reason: Reason::MaxClientsReached, message }
}

/// Whether a server has run since before the restart was announced: one that started later has the new value.
fn is_older(started: Option<Timestamp>, announced: Timestamp) -> bool {
    started.is_some_and(|started| started <= announced)
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

    #[test]
    fn a_server_is_restarted_once() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(is_older(Some(at(5)), at(5)) && is_older(Some(at(4)), at(5)));
        assert!(!is_older(Some(at(6)), at(5)) && !is_older(None, at(5)));
    }
}
