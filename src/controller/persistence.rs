//! Brings the running servers to write the data files that the spec asks for, and waits until these are complete. Until then the
//! ConfigMap stays and no pod restarts, under every update policy.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{
    context::Context,
    credentials,
    error::Error,
    events,
    servers::{self, Running},
};
use crate::{
    api::v1::RedisInstanceStatus,
    domain::{
        change::{Change, Class},
        directives::{
            release::{Release, release},
            runtime_value::{as_set, default_words, holds},
        },
        effective::Effective,
        instance::ValidatedInstance,
        names::PORT,
        observed::Aspect,
        persistence::{Files, Stage, Step, next},
        reason::Reason,
    },
    lease::Leadership,
    redis::{self, Credentials, Server, ServerError},
};

/// How long after the append-only file is off the snapshot is saved that replaces it: start.sh compares times in seconds.
const OFF: Duration = Duration::from_secs(2);

/// What is remembered of the data files of one instance; all of it can be lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// The wanted values, and the starts of servers, for which the files were found complete.
    proved: Option<String>,
    /// The stage of each start of a server, and since when.
    stages: BTreeMap<String, (Stage, Instant)>,
    /// Whether a server was given a command since the files were last found complete.
    given: bool,
}

impl Memory {
    /// A server does not hold what was proved: it is asked again.
    pub(super) fn doubt(&mut self) {
        self.proved = None;
    }
}

/// What the servers are to hold.
struct Target {
    release: Release,
    append_only: bool,
    /// Value of `save`; `None` when it is not known for this release.
    save: Option<Vec<String>>,
    changing: bool,
}

/// What keeps a server from being done.
enum Obstacle {
    Unfinished(String),
    Failing(String),
    Unasked(ServerError),
    NotLeading,
}

impl From<ServerError> for Obstacle {
    fn from(error: ServerError) -> Self {
        Self::Unasked(error)
    }
}

/// Takes the next step with each server. Answers why the ConfigMap and all restarts have to wait, if they do.
pub(super) async fn ensure(
    instance: &ValidatedInstance,
    changes: &[Change],
    settled: bool,
    context: &Context,
) -> Result<Option<Aspect>, Error> {
    let change = changes.iter().find(|change| change.class == Class::Persistence);
    let mut servers = servers::running(instance, context);
    servers.retain(|server| !server.leaving);
    let target = target(instance, change.is_some());
    let fingerprint = format!("{} {:?} {}", target.append_only, target.save, servers::fingerprint(&servers));
    let proved = context.remember(&instance.uid, |memory| {
        let memory = &mut memory.persistence;
        // The operator before this one proved it.
        if settled && change.is_none() && memory.proved.is_none() && memory.stages.is_empty() {
            memory.proved = Some(fingerprint.clone());
        }
        memory.stages.retain(|start, _| servers.iter().any(|server| server.start == *start));
        memory.proved.as_ref() == Some(&fingerprint)
    });
    if servers.is_empty() || proved {
        return Ok(None);
    }
    let keys = credentials::keys(instance, context).await?;
    let credentials = keys.as_ref().map(credentials::credentials);
    let (mut obstacles, mut given) = (Vec::new(), false);
    for server in &servers {
        let stage = context.recall(&instance.uid, |memory| Some(memory.persistence.stages.get(&server.start).copied()));
        let (outcome, stage) =
            bring(&target, server, stage.flatten(), credentials, (&context.leadership, &mut given)).await;
        context.remember(&instance.uid, |memory| match stage {
            Some(stage) => drop(memory.persistence.stages.insert(server.start.clone(), stage)),
            None => drop(memory.persistence.stages.remove(&server.start)),
        });
        match outcome {
            Ok(()) => {}
            // It starts, from the files that start.sh chose, and is asked when it is ready.
            Err(Obstacle::Unasked(_)) if !server.ready => {}
            // Whether it holds what was applied before is not known, and live_config tells.
            Err(Obstacle::Unasked(_)) if change.is_none() => {}
            Err(Obstacle::NotLeading) => return Err(Error::NotLeading),
            Err(obstacle) => obstacles.push((&server.pod, obstacle)),
        }
    }
    let given = context.remember(&instance.uid, |memory| {
        memory.persistence.given |= given;
        memory.persistence.given
    });
    if let Some(aspect) =
        obstacles.into_iter().map(|(pod, obstacle)| told(pod, obstacle)).max_by_key(|(worse, _)| *worse)
    {
        return Ok(Some(aspect.1));
    }
    context.remember(&instance.uid, |memory| {
        memory.persistence.proved = Some(fingerprint);
        memory.persistence.given = false;
    });
    // A ConfigMap that was edited by hand is no change of the servers. The operator before this one may have made the change.
    if let Some(change) = change.filter(|_| given || !settled) {
        let names: Vec<&str> = change.fields.iter().map(|field| directive(field)).collect();
        events::config_applied(instance, &names.join(", "), context).await;
    }
    Ok(None)
}

/// Replaces a condition that says restarts wait for the data files, once they are complete: the servers that are about to be
/// restarted are not asked about the rest of the configuration, so nothing else would replace it.
pub(super) fn completed(status: &RedisInstanceStatus) -> Option<Aspect> {
    let waits = [Reason::PersistenceChange, Reason::PersistenceFailing].map(Reason::as_str);
    let is_waiting = |held: &Condition| held.type_ == "ConfigApplied" && waits.contains(&held.reason.as_str());
    status.conditions.iter().any(is_waiting).then(|| Aspect {
        holds: None,
        reason: Reason::RollingOut,
        message: "the data files are complete; the pods restart with the rest of spec.config".to_owned(),
    })
}

/// The directive of a field such as `spec.config[save]`.
fn directive(field: &str) -> &str {
    field.trim_start_matches("spec.config[").trim_end_matches(']')
}

fn target(instance: &ValidatedInstance, changing: bool) -> Target {
    let release = release(&instance.image);
    let effective = Effective::of(instance, release);
    let append_only = effective.words("appendonly").is_some_and(|words| words == ["yes"]);
    let save = effective.words("save").map(<[String]>::to_vec).or_else(|| default_words(release, "save"));
    // Without a record of what the user removed, the default is not forced on a server.
    Target { release, append_only, save: save.filter(|_| changing || effective.words("save").is_some()), changing }
}

/// One step with one server, and the stage after it.
async fn bring(
    target: &Target,
    running: &Running,
    known: Option<(Stage, Instant)>,
    credentials: Option<Credentials<'_>>,
    (leadership, given): (&Leadership, &mut bool),
) -> (Result<(), Obstacle>, Option<(Stage, Instant)>) {
    let mut stage = known;
    let outcome = step(target, running, &mut stage, credentials, (leadership, given)).await;
    (outcome, stage)
}

async fn step(
    target: &Target,
    running: &Running,
    stage: &mut Option<(Stage, Instant)>,
    credentials: Option<Credentials<'_>>,
    (leadership, given): (&Leadership, &mut bool),
) -> Result<(), Obstacle> {
    let port = u16::try_from(PORT).unwrap_or_default();
    let mut server = Server::connect((running.address, port), credentials).await?;
    let files = server.files().await?;
    if files.loading {
        let why = "it reads its data".to_owned();
        return Err(Obstacle::Unasked(ServerError::Busy { address: (running.address, port).into(), why }));
    }
    let redis::Files { append_only, rewriting, rewrite_failed, saving, save_failed, .. } = files;
    let files = Files { append_only, rewriting, rewrite_failed, saving, save_failed };
    let held = server.config(&["save"]).await?;
    if !leadership.is_held() {
        return Err(Obstacle::NotLeading);
    }
    if let (Some(words), Some(held)) = (&target.save, held.get("save"))
        && !holds(target.release, "save", words, held)
    {
        server.set("save", &as_set(target.release, "save", words)).await?;
        *given = true;
    }
    let now = match *stage {
        None => Stage::Unknown,
        Some((Stage::Off(_), since)) => Stage::Off(since.elapsed() >= OFF),
        Some((stage, _)) => stage,
    };
    let pod = &running.pod;
    let unfinished = |what: &str| Err(Obstacle::Unfinished(format!("{pod} {what}")));
    let next = next(target.append_only, files, now, target.changing);
    *given |= matches!(next, Step::Enable | Step::Disable | Step::Snapshot(_));
    match next {
        Step::Done => Ok(()),
        Step::Enable => {
            server.set("appendonly", b"yes").await?;
            unfinished("writes its append-only file")
        }
        Step::Disable => {
            server.set("appendonly", b"no").await?;
            *stage = Some((Stage::Off(false), Instant::now()));
            unfinished("has its append-only file off")
        }
        Step::Snapshot(after) => {
            server.save_snapshot().await?;
            *stage = Some((after, Instant::now()));
            unfinished("saves a snapshot")
        }
        Step::Wait(what) => {
            if stage.is_none() && !target.append_only && !files.append_only {
                *stage = Some((Stage::Off(false), Instant::now()));
            }
            unfinished(what)
        }
        Step::Failed(what) => {
            *stage = Some((if files.append_only { Stage::Unknown } else { Stage::Off(false) }, Instant::now()));
            Err(Obstacle::Failing(format!("{pod} {what}")))
        }
    }
}

/// What to tell; a failure before what only takes time.
fn told(pod: &str, obstacle: Obstacle) -> (bool, Aspect) {
    let waits = "the ConfigMap and restarts wait";
    let (fails, reason, message) = match obstacle {
        Obstacle::Unfinished(what) => {
            (false, Reason::PersistenceChange, format!("{what}; {waits} until its data files are complete"))
        }
        Obstacle::Failing(what) => {
            let cure = "its volume or memory may be full: grow spec.storage.size or spec.resources, or read the log of the pod";
            (true, Reason::PersistenceFailing, format!("{what}; {waits}; {cure}"))
        }
        Obstacle::Unasked(ServerError::Refused { why }) => {
            (true, Reason::PersistenceFailing, format!("{pod} refuses to change its data files: {why}; {waits}"))
        }
        Obstacle::Unasked(why @ ServerError::Busy { .. }) => (true, Reason::Busy, format!("{pod}: {why}; {waits}")),
        Obstacle::Unasked(why) => (true, Reason::Unreachable, format!("{pod}: {why}; {waits}")),
        Obstacle::NotLeading => (true, Reason::Unreachable, format!("{pod}: another operator leads")),
    };
    (fails, Aspect { holds: Some(false), reason, message })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_condition_that_waits_for_data_files_is_replaced_when_they_are_complete() {
        let status = |type_: &str, reason: &str| -> RedisInstanceStatus {
            serde_json::from_value(json!({"conditions": [{"type": type_, "status": "False", "reason": reason,
                "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}))
            .unwrap()
        };
        for (type_, reason, replaced) in [
            ("ConfigApplied", "PersistenceChange", true),
            ("ConfigApplied", "PersistenceFailing", true),
            ("ConfigApplied", "Held", false),
            ("Ready", "PersistenceFailing", false),
        ] {
            assert_eq!(completed(&status(type_, reason)).is_some(), replaced, "{type_} {reason}");
        }
    }
}
