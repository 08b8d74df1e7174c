//! One reconcile: observe, judge, secret, build, apply, status. Each step is one line; only those marked use the client.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use kube::{ResourceExt, runtime::controller::Action};

use super::{
    Stored, announce,
    apply::{self, Applied},
    context::Context,
    error::{Error, spread},
    expand::{self, Volumes},
    failure, full,
    live_config::{self, Outcome},
    migration, observe, opening, persistence, recreate, rejection, relabel,
    replication::{self, Roles},
    restart, retention, rotation, secret,
    seen::Versions,
    status::{self, Told},
    stop::Stop,
    surplus, unreadable, writes,
};
use crate::{
    api::v1::RedisInstance,
    build::build_with,
    domain::{
        change::{classify, needs_statefulset_restart},
        field_error::FieldError,
        instance::ValidatedInstance,
        observed::{Aspect, Observed},
        reason::Reason,
        status::Finding,
        validate::validate,
    },
};

/// A reconcile that takes longer hangs on a dead connection; it is given up and tried again.
const DEADLINE: Duration = Duration::from_mins(1);
/// When to look again though no watch called: watches do the work, this mends what none shows, as what a server holds.
const RESYNC: Duration = live_config::PERIOD;
/// The least time between two looks that nothing called for.
const SOON: Duration = Duration::from_secs(1);
/// When to look again for something that is not watched: a Secret of the user's.
const WAITING: Duration = Duration::from_secs(5);
/// When to look again whether somebody cleared what is in the way, such as a name that was taken.
const STALLED: Duration = Duration::from_secs(30);
/// When to try again to give a configuration to a server that could not be reached.
const UNREACHED: Duration = Duration::from_secs(10);

/// Brings one instance in step with its spec and says so in its status.
pub(super) async fn reconcile(stored: Arc<Stored>, context: Arc<Context>) -> Result<Action, Error> {
    let work = async {
        context.stores.wait_until_synced().await;
        match &stored.0 {
            Ok(instance) => pass(instance, &context).await,
            Err(invalid) => unreadable::keep(invalid, &context).await, // client, redis
        }
    };
    // kube passes a panic on, which would end the webhooks too: one instance must not take the process along.
    match tokio::time::timeout(DEADLINE, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(Error::Panicked),
        Err(_) => Err(Error::Deadline(DEADLINE.as_secs())),
    }
}

async fn pass(stored: &RedisInstance, context: &Context) -> Result<Action, Error> {
    let uid = stored.uid().unwrap_or_default();
    let began = Instant::now();
    let mut roles = match stored.metadata.deletion_timestamp {
        Some(_) => None,
        None => match keep(stored, context).await {
            Ok(roles) => roles, // client, redis
            Err(e) => {
                let failed = failure::record(stored, judge(stored, context).instance(), None, e, began, context).await;
                return Err(failed); // client
            }
        },
    };
    let ask_again = writes::look(stored, roles.as_ref(), context).await; // redis
    let versions = Versions::shown(stored, context);
    if let Some(rest) = versions.as_ref().and_then(|versions| context.nothing_new(&uid, versions, roles.as_ref())) {
        context.remember(&uid, |memory| memory.failing.take_if(|_| !memory.known.has_failed()));
        return Ok(Action::requeue(rest.min(ask_again)));
    }
    let judged = judge(stored, context);
    let outcome = async {
        let (finding, failure) = match &judged {
            Judged::Deleting => (Finding::Deleting, None),
            Judged::Invalid(errors) => (Finding::Invalid(errors.clone()), None),
            Judged::Valid(_) if roles.as_ref().is_some_and(Roles::is_silent) => (silence(roles.as_ref()), None),
            Judged::Valid(instance) => failure::shown(Box::pin(pursue(stored, instance, &mut roles, context)).await)?, // client
        };
        let told = status::record(stored, judged.instance(), &finding, roles.as_ref(), context).await?; // client
        failure.map_or(Ok((finding, told)), Err)
    };
    let (finding, told) = match outcome.await {
        Ok(outcome) => outcome,
        Err(e) => {
            context.failed_with(&uid, versions.as_ref());
            let roles = roles.as_ref();
            return Err(failure::record(stored, judged.instance(), roles, e, began, context).await); // client
        }
    };
    if matches!(finding, Finding::Deleting) {
        context.forget(&uid);
        context.metrics.roles.forget(&uid);
        context.servers.forget(&stored.namespace().unwrap_or_default(), &stored.name_any());
        return Ok(Action::await_change());
    }
    context.remember(&uid, |memory| (memory.failures, memory.failing) = (0, None));
    let (enough, told) = match told {
        Told::Same => (enough(&finding, &uid), None),
        Told::Written(version) => (enough(&finding, &uid), version),
        Told::HeldBack(rest) => (rest, None),
    };
    // A Secret to be looked at, or a former password that goes.
    let due = context.recall(&uid, |memory| memory.passwords.rest()).filter(|_| matches!(finding, Finding::Applied(_)));
    let rest = due.map(|due| due.saturating_duration_since(Instant::now()).max(SOON));
    let enough = rest.map_or(enough, |rest| enough.min(rest));
    let lacking = context.recall(&uid, |memory| memory.rejection.is_lacking());
    let enough = if lacking { enough.min(spread(WAITING, &uid)) } else { enough };
    let again = roles.as_ref().map_or(enough, |roles| roles.again.min(enough));
    if let Some(versions) = versions {
        context.saw(stored, versions, told, (enough, roles.as_ref()));
    }
    Ok(Action::requeue(again.min(ask_again)))
}

/// Keeps the pods in the StatefulSet and one of several the primary.
async fn keep(stored: &RedisInstance, context: &Context) -> Result<Option<Roles>, Error> {
    let roles = replication::keep(stored, context).await?;
    relabel::restore(stored, context).await;
    Ok(roles)
}

/// A primary that does not answer is asked again at once: no other question may hold that up.
fn silence(roles: Option<&Roles>) -> Finding {
    let message = roles.map(|roles| roles.aspect.message.clone()).unwrap_or_default();
    Finding::Waiting(Reason::PrimaryUnreachable, message)
}

/// How long it is enough to have looked once, unless a watch calls.
fn enough(finding: &Finding, uid: &str) -> Duration {
    let unreached = |config: &Option<Aspect>| config.as_ref().is_some_and(|config| config.holds == Some(false));
    let enough = match finding {
        Finding::Waiting(..) => WAITING,
        Finding::Stalled(..) => STALLED,
        Finding::Applied(Observed { config: Some(config), .. }) if config.reason == Reason::PersistenceChange => SOON,
        Finding::Applied(Observed { config, .. }) if unreached(config) => UNREACHED,
        // No watch tells that somebody made it.
        Finding::Applied(Observed { storage: Some(storage), .. }) if storage.reason == Reason::StorageClassNotFound => {
            WAITING
        }
        _ => RESYNC,
    };
    spread(enough, uid)
}

/// What is to be done with an instance at all.
enum Judged {
    Deleting,
    Invalid(Vec<FieldError>),
    Valid(Box<ValidatedInstance>),
}

impl Judged {
    fn instance(&self) -> Option<&ValidatedInstance> {
        match self {
            Self::Valid(instance) => Some(instance),
            _ => None,
        }
    }
}

/// The same defaults and rules as at admission: the webhook may have been away when the object was stored.
fn judge(stored: &RedisInstance, context: &Context) -> Judged {
    if stored.metadata.deletion_timestamp.is_some() {
        return Judged::Deleting;
    }
    match validate(&context.defaults.applied(stored)) {
        Ok(instance) => Judged::Valid(Box::new(instance)),
        Err(errors) => Judged::Invalid(errors),
    }
}

/// Makes the children what the spec wants. The first thing in the way ends it; nothing is written past that.
async fn pursue(
    stored: &RedisInstance,
    instance: &ValidatedInstance,
    roles: &mut Option<Roles>,
    context: &Context,
) -> Result<Finding, Stop> {
    let told = status::latest(stored, context);
    let settled = status::is_settled(stored, &told);
    let rotating = status::is_rotating(&told);
    secret::ensure(instance, settled && !rotating, context).await?; // client
    let password = rotation::keep(instance, rotating, context).await?; // client, redis
    let live = observe::live(instance, context);
    let changes = live.as_ref().map(|live| classify(live, instance)).unwrap_or_default();
    announce::announce(stored, instance, &changes, roles.as_ref(), context).await?; // client
    let has_replicas = roles.as_ref().is_some_and(|roles| !roles.in_sync.is_empty());
    let eased = live.as_ref().and_then(|live| live.eased(instance, has_replicas));
    let instance = eased.as_ref().unwrap_or(instance);
    // Before anything restarts, and before redis.conf changes, the data files are complete.
    let files = persistence::ensure(instance, &changes, settled, context).await?; // redis
    let primary = roles.as_ref().and_then(|roles| roles.primary);
    let opened = opening::keep(instance, rotating, context).await?.given(instance, primary); // redis
    let may_restart = files.is_none() && !opened.waits;
    let config = match files {
        Some(aspect) => Outcome::Pending(aspect),
        None => {
            live_config::ensure(instance, (live.as_ref(), &changes), (&told, settled), roles.as_ref(), context).await?
        } // redis
    };
    let (config, conf_waits) = match config {
        Outcome::Pending(aspect) => (Some(aspect), true),
        Outcome::Held(aspect) => (aspect.or_else(|| persistence::completed(&told)), false),
    };
    retention::ensure(instance, settled, context).await?; // client
    replication::record_alone(instance, live.as_ref().map(|live| live.replicas), context).await?; // client
    let pods = observe::pods_to_keep(instance, live.as_ref(), roles.as_ref(), context);
    let mut children = build_with(instance, pods, pods > 1 || observe::has_several_pods(instance, context));
    children = observe::with_present_lead(instance, children, context);
    children = full::with_missed(instance, children, context);
    if conf_waits {
        children = observe::with_present_conf(instance, children, context);
    }
    if pods > 1 || observe::has_several_pods(instance, context) || replication::is_elsewhere(instance, pods, context) {
        children = children.fenced();
    }
    let next = observe::next_restarted(instance, &children, roles.as_ref(), context)
        .or_else(|| migration::next_left(instance, roles.as_ref(), context))
        .filter(|_| may_restart);
    if let Some(found) = roles.take() {
        *roles = Some(replication::make_way(stored, found, instance.replicas, next, context).await?); // client, redis
    }
    let mut gate = observe::gate(instance, &children, &changes, roles.as_ref(), context);
    if !may_restart {
        gate.partition = pods;
    }
    children = children.gated(gate);
    let storage = match expand::ensure_claims(instance, &children.stateful_set, context).await? {
        Volumes::AsDesired => observe::growth(instance, context), // client
        Volumes::Hindered(aspect) => {
            children.stateful_set = expand::with_present_claims(children.stateful_set, context);
            Some(aspect)
        }
    };
    if may_restart && needs_statefulset_restart(&changes) {
        return Box::pin(recreate::stateful_set(instance, children, &changes, context)).await; // client
    }
    surplus::delete(instance, &children, context).await?; // client
    let applied = Stop::failed(Box::pin(apply::children(instance, children, context)).await)?; // client
    restart::broken_pods(instance, &changes, context).await?; // client
    let Applied { stateful_set, blocked } = applied?;
    let movers = roles.as_ref().filter(|_| may_restart);
    let storage = migration::advance(instance, movers, context).await?.or(storage); // client
    if let Some(blocked) = blocked {
        // The servers may be given a configuration all the same.
        context.remember(&instance.uid, |memory| memory.config_beside = config);
        return Err(blocked);
    }
    let seen = observe::observe(observe::of(instance), stateful_set.as_ref(), context);
    let rejected = rejection::look(instance, stateful_set.as_ref(), context).await; // client
    let trouble = seen.trouble.or(rejected).or_else(|| observe::trouble(instance, context));
    let password = password.or(opened.aspect).map(Box::new);
    Ok(Finding::Applied(Observed { trouble, config, password, storage, ..seen }))
}
