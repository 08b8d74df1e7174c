//! A larger `maxclients` for servers that have all the clients they may have: nobody can connect to give it to them, so their
//! pods are restarted, one at a time. The ConfigMap gets the new value and names these pods in one write: an operator that is
//! killed after it leaves a state from which the next one goes on.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;

use super::{
    context::Context, error::Error, events, live_config::Outcome, observe, replication::Roles, restart,
    servers::Running,
};
use crate::{
    build::Children,
    domain::{
        directives::release::release,
        effective::Effective,
        instance::ValidatedInstance,
        names::MISSED_MAXCLIENTS_ANNOTATION,
        observed::Aspect,
        reason::Reason,
        redis_conf::comes_with_replication,
        replication::{fence::Limits, maxclients::next_restarted},
        validate::REPLICAS_BOUND,
        wanted::Wanted,
    },
};

const MAXCLIENTS: &str = "maxclients";
const PING_PERIOD: &str = "repl-ping-replica-period";

/// What is known of a configuration that servers could not be given.
pub(super) struct Cure<'a> {
    pub(super) instance: &'a ValidatedInstance,
    /// The configuration in the ConfigMap.
    pub(super) before: Option<&'a Effective>,
    pub(super) wanted: &'a Wanted,
    /// Whether the ConfigMap still has the former one.
    pub(super) pending: bool,
    pub(super) roles: Option<&'a Roles>,
}

impl Cure<'_> {
    /// Goes one step further for the pods of servers that are full; nothing where a restart is no cure.
    pub(super) async fn apply(&self, full: &[&Running], context: &Context) -> Result<Option<Outcome>, Error> {
        let instance = self.instance;
        if self.pending && is_cured_by_restart(instance, self.before, self.wanted) {
            let mut missed = missed(instance, context);
            missed.extend(full.iter().map(|server| server.uid.clone()));
            context.remember(&instance.uid, |memory| memory.missed_maxclients = Some(missed));
            let next = self.next(&full.iter().map(|server| server.ordinal).collect());
            let value = value(&Effective::of(instance, release(&instance.image)));
            return Ok(aspect(full, next, &value).map(|aspect| Outcome::Held(Some(aspect))));
        }
        // What the ConfigMap has, and with another change under way the spec may not.
        let missed = missed(instance, context);
        let waiting: Vec<&Running> = full.iter().copied().filter(|server| missed.contains(&server.uid)).collect();
        if waiting.is_empty() || !keeps_data(instance) {
            return Ok(None);
        }
        let next = self.next(&waiting.iter().map(|server| server.ordinal).collect());
        if let Ok(ordinal) = next {
            self.restart(ordinal, context).await?; // client
        }
        let value = self.before.map(value).unwrap_or_default();
        let aspect = aspect(&waiting, next, &value);
        Ok(aspect.map(|aspect| if self.pending { Outcome::Pending(aspect) } else { Outcome::Held(Some(aspect)) }))
    }

    /// The pod to restart now, or what has to come before that.
    fn next(&self, full: &BTreeSet<i32>) -> Result<i32, &'static str> {
        match self.roles {
            Some(roles) => {
                let effective = Effective::of(self.instance, release(&self.instance.image));
                let period = effective.words(PING_PERIOD).and_then(|words| words.first()?.parse().ok()).unwrap_or(1);
                next_restarted(&roles.members, roles.primary, full, Limits::new(None, period, (0, 0)).hearing)
            }
            None => full.first().copied().ok_or("once the pods run"),
        }
    }

    async fn restart(&self, ordinal: i32, context: &Context) -> Result<(), Error> {
        let pods = observe::pods(observe::of(self.instance), REPLICAS_BOUND, context);
        let Some((_, pod)) = pods.iter().find(|(at, _)| *at == ordinal) else { return Ok(()) };
        if !context.leadership.is_held() {
            return Err(Error::NotLeading);
        }
        if restart::delete(pod, context).await? {
            let name = pod.name_any();
            tracing::info!(
                pod = name,
                "deleted a pod that accepts no connection, to start it with a larger maxclients"
            );
            events::full_pod_restarted(self.instance, &name, context).await;
        }
        Ok(())
    }
}

/// The pods (uid) whose servers had all clients when `maxclients` in the ConfigMap was raised, and were not restarted since.
pub(super) fn missed(instance: &ValidatedInstance, context: &Context) -> BTreeSet<String> {
    let remembered = context.recall(&instance.uid, |memory| memory.missed_maxclients.clone());
    remembered.unwrap_or_else(|| {
        let map = observe::config_map(instance, context);
        let listed = map.as_ref().and_then(|map| map.annotations().get(MISSED_MAXCLIENTS_ANNOTATION));
        listed.map(|listed| listed.split(' ').map(str::to_owned).collect()).unwrap_or_default()
    })
}

/// Forgets servers that could be asked: they hold what the ConfigMap has. That one of them lacked `maxclients` is no drift.
pub(super) fn answered(
    instance: &ValidatedInstance,
    servers: &[&Running],
    restored: &mut BTreeSet<String>,
    context: &Context,
) {
    let mut missed = missed(instance, context);
    let before = missed.len();
    missed.retain(|uid| servers.iter().all(|server| server.uid != *uid));
    if missed.len() < before {
        restored.remove(MAXCLIENTS);
    }
    context.remember(&instance.uid, |memory| memory.missed_maxclients = Some(missed));
}

/// The children with a ConfigMap that names the pods which have to be restarted for its `maxclients`.
pub(super) fn with_missed(instance: &ValidatedInstance, mut children: Children, context: &Context) -> Children {
    let mut missed = missed(instance, context);
    if missed.is_empty() {
        return children;
    }
    let pods = observe::pods(observe::of(instance), REPLICAS_BOUND, context);
    missed.retain(|uid| pods.iter().any(|(_, pod)| pod.uid().as_ref() == Some(uid)));
    if !missed.is_empty() {
        let listed = missed.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let annotations: &mut BTreeMap<_, _> = children.config_map.metadata.annotations.get_or_insert_default();
        annotations.insert(MISSED_MAXCLIENTS_ANNOTATION.to_owned(), listed);
    }
    context.remember(&instance.uid, |memory| memory.missed_maxclients = Some(missed));
    children
}

/// Whether the change is nothing but a larger `maxclients` and what comes with replicas, and the server keeps its data over a
/// restart.
fn is_cured_by_restart(instance: &ValidatedInstance, before: Option<&Effective>, wanted: &Wanted) -> bool {
    let effective = Effective::of(instance, release(&instance.image));
    let number = |config: &Effective| config.words(MAXCLIENTS).and_then(|words| words.first()?.parse::<u64>().ok());
    let grows = before.is_some_and(|before| number(&effective).unwrap_or(u64::MAX) > number(before).unwrap_or(0));
    // What the user wrote may be refused by Redis, which would not start with it.
    let users = |name: &&str| !comes_with_replication(name) || instance.config.words(name).is_some();
    keeps_data(instance) && grows && wanted.changed().into_iter().filter(users).eq([MAXCLIENTS])
}

/// Whether a server keeps its data over a restart.
fn keeps_data(instance: &ValidatedInstance) -> bool {
    let effective = Effective::of(instance, release(&instance.image));
    let is =
        |name: &str, value: &str| effective.words(name).is_some_and(|words| words.iter().all(|word| word == value));
    !is("appendonly", "no") || !is("save", "")
}

fn value(config: &Effective) -> String {
    let value = config.words(MAXCLIENTS).and_then(|words| words.first().cloned());
    value.unwrap_or_else(|| "of its default".to_owned())
}

/// What is reported until every server has the new value: which pod comes next, and what it waits for.
fn aspect(full: &[&Running], next: Result<i32, &'static str>, value: &str) -> Option<Aspect> {
    let chosen = next.ok().and_then(|next| full.iter().find(|server| server.ordinal == next));
    let pod = &chosen.or_else(|| full.first())?.pod;
    let wait = next.err().map(|wait| format!(", {wait}")).unwrap_or_default();
    let message = format!(
        "{pod} has all the clients that maxclients allows and accepts no connection to raise it: its pod is restarted with \
         maxclients {value}{wait}"
    );
    Some(Aspect { holds: Some(false), reason: Reason::MaxClientsRestart, message })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::instance::tests::validated;

    #[test]
    fn only_a_larger_maxclients_alone_is_worth_a_restart() {
        let changed = |before: serde_json::Value, after: serde_json::Value| {
            let (before, after) = (validated(before), validated(after));
            let before = Effective::of(&before, release(&before.image));
            let wanted = Wanted::of(&after, Some(&before), &BTreeSet::new());
            is_cured_by_restart(&after, Some(&before), &wanted)
        };
        let cured = |before: serde_json::Value, after| changed(json!({"config": before}), json!({"config": after}));
        assert!(cured(json!({"maxclients": "50"}), json!({"maxclients": "100"})));
        assert!(cured(json!({"maxclients": "50"}), json!({})), "the default is larger");
        assert!(!cured(json!({"maxclients": "100"}), json!({"maxclients": "50"})));
        assert!(!cured(json!({"maxclients": "50"}), json!({"maxclients": "100", "hz": "20"})), "redis may refuse that");
        let memory = |clients: &str| json!({"maxclients": clients, "appendonly": "no", "save": ""});
        assert!(!cured(memory("50"), memory("100")), "a restart would lose the data");
        let snapshots = |clients: &str| json!({"maxclients": clients, "appendonly": "no", "save": "900 1"});
        assert!(cured(snapshots("50"), snapshots("100")));
        // The number of pods may change with it, and brings other directives along.
        let pods = |replicas, clients: &str| json!({"replicas": replicas, "config": {"maxclients": clients}});
        for (before, after) in [(1, 3), (3, 1), (2, 3), (3, 2)] {
            assert!(changed(pods(before, "50"), pods(after, "100")), "{before} -> {after}");
            assert!(!changed(pods(before, "50"), pods(after, "50")), "{before} -> {after}");
        }
        let own = json!({"replicas": 3, "config": {"maxclients": "100", "repl-backlog-size": "32mb"}});
        assert!(!changed(pods(3, "50"), own), "the user wrote it");
    }

    #[test]
    fn what_is_waited_for_is_named() {
        let server = |ordinal: i32| Running {
            ordinal,
            pod: format!("cache-{ordinal}"),
            uid: String::new(),
            address: [10, 0, 0, 1].into(),
            start: String::new(),
            ready: true,
            current: true,
            leaving: false,
            is_outdated: false,
            has_password: false,
        };
        let (one, two) = (server(1), server(2));
        let says = |next| aspect(&[&one, &two], next, "100").unwrap().message;
        assert!(says(Ok(2)).starts_with("cache-2 has all") && says(Ok(2)).ends_with("with maxclients 100"));
        let waits = says(Err("once the other pods are ready"));
        assert!(
            waits.starts_with("cache-1 has all") && waits.ends_with("100, once the other pods are ready"),
            "{waits}"
        );
    }
}
