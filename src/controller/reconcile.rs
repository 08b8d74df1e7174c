//! One reconcile: observe, judge, secret, build, apply, status. Each step is one line; only those marked use the client.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use kube::{Resource, ResourceExt, runtime::controller::Action};

use super::{
    Stored, apply,
    context::Context,
    error::{Error, spread},
    expand::{self, Volumes},
    observe, secret, status,
};
use crate::{
    api::v1::RedisInstance,
    build::build,
    domain::{
        field_error::FieldError, instance::ValidatedInstance, observed::Observed, status::Finding, validate::validate,
    },
};

/// A reconcile that takes longer hangs on a dead connection; it is given up and tried again.
const DEADLINE: Duration = Duration::from_mins(1);
/// When to look again though no watch called: watches do the work, this mends what none shows.
const RESYNC: Duration = Duration::from_mins(5);
/// When to look again for something that is not watched: a Secret of the user's.
const WAITING: Duration = Duration::from_secs(5);
/// When to look again whether somebody cleared what is in the way, such as a name that was taken.
const STALLED: Duration = Duration::from_secs(30);

/// Brings one instance in step with its spec and says so in its status.
#[tracing::instrument(skip_all, fields(instance = %stored.name_any(), namespace = stored.namespace().unwrap_or_default(), generation = stored.meta().generation))]
pub(super) async fn reconcile(stored: Arc<Stored>, context: Arc<Context>) -> Result<Action, Error> {
    let work = async {
        context.stores.wait_until_synced().await;
        match &stored.0 {
            Ok(instance) => pass(instance, &context).await,
            Err(unreadable) => {
                tracing::warn!(error = %unreadable.error, "the stored object cannot be read; edit it");
                Ok(Action::await_change())
            }
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
    let judged = judge(stored, context)?;
    let (finding, failure) = match &judged {
        Judged::Deleting => (Finding::Deleting, None),
        Judged::Invalid(errors) => (Finding::Invalid(errors.clone()), None),
        Judged::Valid(instance) => shown(pursue(instance, context).await)?, // client
    };
    status::record(stored, judged.instance(), &finding, context).await?; // client
    if let Some(error) = failure {
        return Err(error);
    }
    context.remember(&uid, |memory| memory.failures = 0);
    Ok(match finding {
        Finding::Deleting => {
            context.forget(&uid);
            Action::await_change()
        }
        Finding::Waiting(..) => Action::requeue(spread(WAITING, &uid)),
        Finding::Stalled(..) => Action::requeue(spread(STALLED, &uid)),
        _ => Action::requeue(spread(RESYNC, &uid)),
    })
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
fn judge(stored: &RedisInstance, context: &Context) -> Result<Judged, Error> {
    if stored.metadata.deletion_timestamp.is_some() {
        return Ok(Judged::Deleting);
    }
    let instance = context.defaults.applied(stored).map_err(|source| Error::Json { what: "the instance", source })?;
    Ok(match validate(&instance) {
        Ok(instance) => Judged::Valid(Box::new(instance)),
        Err(errors) => Judged::Invalid(errors),
    })
}

/// Makes the children what the spec wants. The first thing in the way ends it; nothing is written past that.
async fn pursue(instance: &ValidatedInstance, context: &Context) -> Result<Finding, Error> {
    if let Some(finding) = secret::ensure(instance, context).await? {
        return Ok(finding);
    }
    let mut children = build(instance);
    let hindrance = match expand::ensure_claims(instance, &children.stateful_set, context).await? {
        Volumes::AsDesired => None,
        Volumes::Replacing => {
            return Ok(Finding::Changing("Expanding", "the volumes grow; the pods keep running".to_owned()));
        }
        Volumes::Hindered(reason, message) => {
            children.stateful_set = expand::with_present_claims(children.stateful_set, context);
            Some((reason, message))
        }
    };
    Ok(match apply::children(instance, children, context).await? {
        Ok(stateful_set) => {
            let seen = observe::observe(&instance.namespace, &instance.name, Some(&stateful_set), context);
            Finding::Applied(Observed { hindrance, ..seen })
        }
        Err(finding) => finding,
    })
}

/// A refusal by the API server is shown to the user and retried all the same, since what causes it is mended elsewhere;
/// anything else that fails is only retried.
fn shown(outcome: Result<Finding, Error>) -> Result<(Finding, Option<Error>), Error> {
    match outcome {
        Ok(finding) => Ok((finding, None)),
        Err(error) if error.is_namespace_leaving() => Ok((Finding::Deleting, None)),
        Err(error) => match error.rejection() {
            Some(words) => Ok((Finding::Stalled("Rejected", words), Some(error))),
            None => Err(error),
        },
    }
}
