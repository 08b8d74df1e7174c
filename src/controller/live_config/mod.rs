//! Brings the configuration to the running servers and proves it there: CONFIG SET where it differs, CONFIG GET after it.
//! A server is asked before the ConfigMap is written, so what Redis refuses never becomes what it would start with.

use std::time::{Duration, Instant};

mod bring;

use super::{
    context::Context,
    credentials,
    error::{Error, reason_of},
    events, full,
    replication::Roles,
    servers::{self, Running},
    stop::Stop,
};
use crate::{
    api::v1::RedisInstanceStatus,
    domain::{
        change::{Change, Class},
        instance::ValidatedInstance,
        live::Live,
        observed::Aspect,
        reason::Reason,
        redis_conf::{hash, render},
        status::Finding,
        wanted::Wanted,
    },
    metrics::{LiveConfig, ServerFigures},
    redis::{Figures, ServerError},
};
use bring::{Failure, Report, bring, take_back};

/// How long what was proved on a server is taken to hold: somebody's own CONFIG SET, or a full volume, is seen after this.
pub(super) const PERIOD: Duration = Duration::from_mins(1);
/// How long a server that could not be reached is left alone when nothing has to be given to it: many of them, as behind a
/// `NetworkPolicy`, must not take the workers' time.
const UNREACHED: Duration = Duration::from_mins(5);

/// How long servers that refused a configuration are not given it again.
const REFUSED: Duration = Duration::from_hours(24);

/// What came of it.
pub(super) enum Outcome {
    /// Every server that was asked holds it, or none had to be asked; what to tell of it, if anything.
    Held(Option<Aspect>),
    /// A server could not be given it: the ConfigMap has to stay as it is.
    Pending(Aspect),
}

/// Asks the servers that are due, and sets the directives that they lack. A configuration that Redis refuses stops the reconcile.
pub(super) async fn ensure(
    instance: &ValidatedInstance,
    (live, changes): (Option<&Live>, &[Change]),
    (status, settled): (&RedisInstanceStatus, bool),
    roles: Option<&Roles>,
    context: &Context,
) -> Result<Outcome, Stop> {
    let applied = status.conditions.iter().any(|held| held.type_ == "ConfigApplied" && held.status == "True");
    let before = live.and_then(|live| live.config.as_ref());
    let wanted = context.remember(&instance.uid, |memory| {
        let wanted = Wanted::of(instance, before, &memory.config_taken_away);
        memory.config_taken_away.append(&mut wanted.taken_away());
        wanted
    });
    // A file that somebody edited is no change of what a server can be given.
    let pending = changes.iter().any(|change| change.class == Class::Live) && !wanted.changed().is_empty();
    let servers = servers(instance, changes, status.primary.as_ref(), context);
    let conf = hash(&render(instance));
    let fingerprint = fingerprint(&conf, &servers);
    let (proved, refused) = context.remember(&instance.uid, |memory| {
        // What the operator before this one proved holds for a period, so that a restart asks nobody at once.
        if settled && !pending && memory.config_proved.is_none() {
            memory.config_proved = Some((Instant::now() + PERIOD, fingerprint.clone()));
        }
        (memory.config_proved.clone(), memory.config_refused.clone())
    });
    let lasts = |until: Instant, of: &String| pending && *of == fingerprint && Instant::now() < until;
    if let Some((_, _, refusal)) = refused.filter(|(until, of, _)| lasts(*until, of)) {
        return Err(refusal.into());
    }
    let proved = proved.is_some_and(|(until, of)| of == fingerprint && Instant::now() < until);
    if servers.is_empty() {
        context.remember(&instance.uid, |memory| memory.trouble = None);
        context.servers.forget(&instance.namespace, &instance.name);
    }
    if servers.is_empty() || (proved && !pending && full::missed(instance, context).is_empty()) {
        return Ok(Outcome::Held(None));
    }
    let keys = credentials::keys(instance, context).await?;
    let credentials = keys.as_ref().map(credentials::credentials);
    let mut report = Report::default();
    let (mut answered, mut full, mut unasked) = (Vec::new(), Vec::new(), None);
    for server in &servers {
        match bring(&wanted, server, credentials, &mut report, &context.leadership).await {
            Ok(()) => answered.push(server),
            // The others are asked all the same: what they refuse must not get into the ConfigMap, and what they lack when the
            // full one is restarted would look like drift.
            Err(Failure::Unasked(error @ ServerError::Full { .. })) => full.push((server, error)),
            // It is starting: it reads the file, maybe the former one, and is asked when it is ready.
            Err(Failure::Unasked(_)) if !server.ready => {}
            Err(Failure::NotLeading) => return Err(Error::NotLeading.into()),
            Err(Failure::Refused { directive, why }) => {
                let holding = take_back(&wanted, &servers, credentials, &context.leadership).await?;
                return Err(reject(instance, &refusal(&directive, &why, server), &holding, fingerprint, context));
            }
            Err(Failure::Unasked(error)) => {
                unasked.get_or_insert((server, error));
                // A replica that lacks nothing can take over from the primary, which comes last.
                if pending {
                    break;
                }
            }
        }
    }
    full::answered(instance, &answered, &mut report.restored, context);
    let may_go_on = !pending || unasked.is_none();
    if may_go_on && !full.is_empty() {
        let cure = full::Cure { instance, before, wanted: &wanted, pending, roles };
        let full: Vec<&Running> = full.iter().map(|(server, _)| *server).collect();
        if let Some(outcome) = cure.apply(&full, context).await? {
            return Ok(outcome); // client
        }
    }
    if let Some((server, error)) = unasked.or_else(|| full.into_iter().find(|(server, _)| server.ready)) {
        return Ok(failed(instance, &server.pod, &error, pending, fingerprint, context));
    }
    context.servers.forget(&instance.namespace, &instance.name);
    for (pod, Figures { memory_used, memory_limit, clients, is_replica, silence }) in report.figures.drain(..) {
        let figures = ServerFigures { memory_used, memory_limit, clients, is_replica, silence, lag: None };
        context.servers.told(&instance.namespace, &instance.name, &pod, figures);
    }
    let former = context.remember(&instance.uid, |memory| {
        memory.config_refused = None;
        if report.files_differ {
            memory.persistence.doubt();
        }
        memory.trouble = report.trouble.take();
        memory.config_proved.replace((Instant::now() + PERIOD, fingerprint))
    });
    if answered.is_empty() {
        return Ok(Outcome::Held(None));
    }
    // The operator before this one may have given it, and not said so. Else what was given to nobody was not applied: it was
    // the file that somebody edited.
    let is_news = pending && (report.given || !settled);
    let aspect = told(instance, &wanted, &report, is_news, context).await;
    // That what was told of this very text still holds is no news.
    let same = applied && former.is_none_or(|(_, of)| of.starts_with(&conf));
    Ok(Outcome::Held(Some(aspect).filter(|aspect| !(same && aspect.reason == Reason::Held))))
}

/// The running servers that were started with the desired configuration; others are about to be restarted.
fn servers(
    instance: &ValidatedInstance,
    changes: &[Change],
    primary: Option<&String>,
    context: &Context,
) -> Vec<Running> {
    let mut servers = servers::running(instance, context);
    servers.retain(|server| server.current && !server.leaving);
    // The StatefulSet has the former image until the configuration is on the servers.
    let image_changes = changes.iter().any(|change| change.fields.iter().any(|field| field == "spec.image"));
    for server in &mut servers {
        server.is_outdated |= image_changes;
    }
    // The primary last: a replica that lacks nothing can take over from it.
    servers.sort_by_key(|server| primary == Some(&server.pod));
    servers
}

/// What was proved, and where: another configuration, or another start of a server, needs another proof.
fn fingerprint(conf: &str, servers: &[Running]) -> String {
    format!("{conf} {}", servers::fingerprint(servers))
}

/// What to tell when every server was asked and answered.
async fn told(
    instance: &ValidatedInstance,
    wanted: &Wanted,
    report: &Report,
    changed: bool,
    context: &Context,
) -> Aspect {
    let aspect = |holds, reason, message: String| Aspect { holds: Some(holds), reason, message };
    if !report.restored.is_empty() {
        context.metrics.live_config(LiveConfig::DriftRepaired);
        let names: Vec<&str> = report.restored.iter().map(String::as_str).collect();
        events::config_drifted(instance, &names.join(", "), context).await;
    }
    if !report.not_held.is_empty() {
        context.metrics.live_config(LiveConfig::Unproved);
        return aspect(false, Reason::NotHeld, report.not_held.join("; "));
    }
    if changed {
        context.metrics.live_config(LiveConfig::Applied);
        let names = wanted.changed().join(", ");
        events::config_applied(instance, &names, context).await;
        return aspect(true, Reason::AppliedLive, format!("applied live, no restart: {names}"));
    }
    aspect(true, Reason::Held, "the running servers hold spec.config".to_owned())
}

/// Which directive is refused, and why.
fn refusal(directive: &str, why: &str, server: &Running) -> String {
    let hint =
        if server.is_outdated { "; where only the new image takes this value, change spec.image first" } else { "" };
    format!("[{directive}]: {why}{hint}")
}

/// What becomes of a configuration that Redis refuses: a user's mistake, so the same servers are not asked again soon. It is
/// sooner while one of them may still hold a part of it.
fn reject(
    instance: &ValidatedInstance,
    what: &str,
    holding: &[String],
    fingerprint: String,
    context: &Context,
) -> Stop {
    context.metrics.live_config(LiveConfig::Refused);
    let rest = if holding.is_empty() {
        "nothing was changed and the former configuration holds".to_owned()
    } else {
        format!("the former configuration could not be restored on {}", holding.join("; "))
    };
    let message = format!("redis refuses spec.config{what}; {rest}; correct spec.config");
    let refusal = Finding::Stalled(Reason::ConfigRejected, message);
    let until = Instant::now() + if holding.is_empty() { REFUSED } else { UNREACHED };
    let kept = refusal.clone();
    context.remember(&instance.uid, |memory| memory.config_refused = Some((until, fingerprint, kept)));
    refusal.into()
}

/// What becomes of a configuration when a server could not be asked.
fn failed(
    instance: &ValidatedInstance,
    pod: &str,
    error: &ServerError,
    pending: bool,
    fingerprint: String,
    context: &Context,
) -> Outcome {
    let reason = match error {
        ServerError::Password { .. } => credentials::refused(instance, context),
        error => reason_of(error),
    };
    tracing::debug!(pod, %error, "a server could not be asked for its configuration");
    if pending {
        context.metrics.live_config(LiveConfig::Unreachable);
        let message = format!("spec.config is not applied yet: {pod}: {error}");
        return Outcome::Pending(Aspect { holds: Some(false), reason, message });
    }
    context.remember(&instance.uid, |memory| {
        memory.config_proved = Some((Instant::now() + UNREACHED, fingerprint));
        memory.trouble = None;
    });
    let message = format!("whether the running configuration holds is not known: {pod}: {error}");
    Outcome::Held(Some(Aspect { holds: None, reason, message }))
}
