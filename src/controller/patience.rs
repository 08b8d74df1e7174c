//! One watch that mends itself: it waits a little longer after each failure in a row, and never ends. It must not know what
//! is watched, nor what for.

use std::{fmt::Debug, time::Duration};

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use kube::{Api, Resource, runtime::watcher};
use serde::de::DeserializeOwned;

use super::{
    error::{retry_after, spread},
    lists::Lists,
    pruned::{Prune, Pruned},
};
use crate::metrics::{ControllerMetrics, Kind};

/// How long a watch that failed waits before it is opened again: at first, and at most. kube's own waits go up to 30 s,
/// which is long to be blind for.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// What the API server says of a version that it has forgotten.
const GONE: u16 = 410;
/// The longest that the API server can ask to be left alone for: well within the time after which `health` takes a silent
/// watch for stuck.
const LONGEST_REST: Duration = Duration::from_mins(1);

/// Waits that double from the first to the longest with each failure in a row, and are at least what was asked for.
struct Patience(Duration);

impl Patience {
    fn after<T>(&mut self, event: &watcher::Result<T>) -> Option<Duration> {
        let Err(error) = event else {
            self.0 = FIRST_WAIT;
            return None;
        };
        let wait = self.0;
        self.0 = (wait * 2).min(LONGEST_WAIT);
        Some(wait.max(rest(error).min(LONGEST_REST)))
    }
}

/// How long the API server asked to be left alone.
fn rest(error: &watcher::Error) -> Duration {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => retry_after(error),
        _ => Duration::ZERO,
    }
}

/// One watch, which mends itself and says so.
pub(super) fn patient<K>(
    kind: Kind,
    api: Api<Pruned<K>>,
    config: watcher::Config,
    metrics: ControllerMetrics,
    lists: Lists,
) -> BoxStream<'static, watcher::Result<watcher::Event<K>>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Prune + Send + Sync + 'static,
{
    let mut patience = Patience(FIRST_WAIT);
    lists
        .in_turn(lasting(api, config))
        // Each watch mends itself. The controller backs off for all kinds at once, and for minutes, when it sees one of
        // them fail: after a restart of the API server, which ends every watch, that put the whole loop to sleep.
        .then(move |event| {
            if let Err(error) = &event {
                metrics.watch_interrupted(kind);
                tracing::warn!(kind = kind.word(), %error, "the watch was interrupted; it is opened again");
            }
            let wait = patience.after(&event).map(|wait| spread(wait, kind.word()));
            async move {
                if let Some(wait) = wait {
                    tokio::time::sleep_until(tokio::time::Instant::now() + wait).await;
                }
                event.map(whole)
            }
        })
        .boxed()
}

fn whole<K>(event: watcher::Event<Pruned<K>>) -> watcher::Event<K> {
    use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
    match event {
        Apply(Pruned(object)) => Apply(object),
        Delete(Pruned(object)) => Delete(object),
        Init => Init,
        InitApply(Pruned(object)) => InitApply(object),
        InitDone => InitDone,
    }
}

/// kube's watcher, begun anew where it would ask for ever for a version that the API server has forgotten: it understands
/// that from an event of a watch, and not from the answer to its opening.
fn lasting<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    stream::unfold(None, move |watching| {
        let mut watching = watching.unwrap_or_else(|| watcher(api.clone(), config.clone()).boxed());
        async move {
            let event = watching.next().await?;
            let forgotten = matches!(&event, Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))) if status.code == GONE);
            Some((event, (!forgotten).then_some(watching)))
        }
    })
}
