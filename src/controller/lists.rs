//! One list at a time, and a rest after each page: after a start every kind is listed, and all of them at once would take the
//! API server and this process more of a machine than admission leaves them. It must not know what is listed.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use kube::runtime::watcher::{self, Event};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout_at},
};

/// How long a page of one list may keep the others waiting: one that hangs is an outage of one kind alone.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a page follows a rest that is as long as the page took, so that half of the time is others', and at most this long.
const REST: Duration = Duration::from_millis(500);
/// What takes less is an object of a page that has come.
const MOMENT: Duration = Duration::from_millis(1);

/// Whose turn it is to list; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Lists(Arc<Semaphore>);

impl Default for Lists {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// What a watch does.
enum Stage {
    /// It shows changes.
    Watching,
    /// It begins a list, for which it has to have its turn.
    Waiting,
    /// It lists, with the others waiting for it.
    Listing { _turn: OwnedSemaphorePermit },
    /// It lists, and took so long for a page that others list too.
    Overdue,
}

impl Lists {
    /// The same watch, which lists when it is its turn.
    pub(super) fn in_turn<K: Send>(
        self,
        watch: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    ) -> impl Stream<Item = watcher::Result<Event<K>>> + Send {
        stream::unfold((Box::pin(watch), Stage::Watching), move |(mut watch, mut stage)| {
            let turn = Arc::clone(&self.0);
            async move {
                if matches!(stage, Stage::Waiting) {
                    // It is never closed.
                    let turn = turn.acquire_owned().await;
                    stage = turn.map_or(Stage::Overdue, |turn| Stage::Listing { _turn: turn });
                }
                let asked = Instant::now();
                let event = match &stage {
                    Stage::Listing { .. } => {
                        if let Ok(event) = timeout_at(asked + PATIENCE, watch.next()).await {
                            let took = asked.elapsed();
                            if took >= MOMENT {
                                sleep_until(Instant::now() + took.min(REST)).await;
                            }
                            event
                        } else {
                            stage = Stage::Overdue;
                            watch.next().await
                        }
                    }
                    _ => watch.next().await,
                };
                stage = match (&event, stage) {
                    (Some(Ok(Event::Init)), _) => Stage::Waiting,
                    (Some(Ok(Event::InitApply(_))), stage) => stage,
                    // One that failed begins anew, with an `Init`.
                    _ => Stage::Watching,
                };
                event.map(|event| (event, (watch, stage)))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, channel::mpsc};

    use super::*;

    type Sender = mpsc::UnboundedSender<watcher::Result<Event<u8>>>;

    fn watch(lists: &Lists) -> (Sender, stream::BoxStream<'static, watcher::Result<Event<u8>>>) {
        let (sender, events) = mpsc::unbounded();
        (sender, lists.clone().in_turn(events).boxed())
    }

    /// What the watch shows at once.
    async fn shown(watch: &mut stream::BoxStream<'static, watcher::Result<Event<u8>>>) -> String {
        // Whoever let go of the turn has to be seen to have done so.
        tokio::task::yield_now().await;
        let mut shown = String::new();
        while let Some(Some(event)) = watch.next().now_or_never() {
            shown.push(match event {
                Ok(Event::Init) => 'i',
                Ok(Event::InitApply(_)) => 'o',
                Ok(Event::InitDone) => 'd',
                Ok(Event::Apply(_) | Event::Delete(_)) => 'c',
                Err(_) => 'e',
            });
        }
        shown
    }

    fn send(sender: &Sender, events: impl IntoIterator<Item = watcher::Result<Event<u8>>>) {
        for event in events {
            sender.unbounded_send(event).unwrap();
        }
    }

    fn failure() -> watcher::Error {
        watcher::Error::InitialListFailed(kube::Error::LinesCodecMaxLineLengthExceeded)
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_waits_for_the_one_before_and_changes_wait_for_none() {
        let lists = Lists::default();
        let ((one, mut first), (two, mut second)) = (watch(&lists), watch(&lists));
        send(&one, [Ok(Event::Init), Ok(Event::InitApply(1))]);
        assert_eq!(shown(&mut first).await, "io");
        send(&two, [Ok(Event::Apply(1)), Ok(Event::Init), Ok(Event::InitApply(1)), Ok(Event::InitDone)]);
        assert_eq!(shown(&mut second).await, "ci", "the first one lists");
        send(&one, [Ok(Event::InitDone), Ok(Event::Apply(2))]);
        assert_eq!(shown(&mut first).await, "dc");
        assert_eq!(shown(&mut second).await, "od");
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_fails_or_hangs_keeps_nobody_waiting() {
        let lists = Lists::default();
        let ((one, mut first), (two, mut second)) = (watch(&lists), watch(&lists));
        send(&one, [Ok(Event::Init), Err(failure())]);
        assert_eq!(shown(&mut first).await, "ie");
        send(&two, [Ok(Event::Init), Ok(Event::InitApply(1))]);
        assert_eq!(shown(&mut second).await, "io");

        send(&one, [Ok(Event::Init), Ok(Event::InitApply(1))]);
        assert_eq!(shown(&mut first).await, "i", "the second one lists");
        tokio::time::advance(PATIENCE).await;
        assert_eq!(shown(&mut second).await, "", "it hangs");
        assert_eq!(shown(&mut first).await, "o");
        send(&two, [Ok(Event::InitDone)]);
        assert_eq!(shown(&mut second).await, "d");
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_followed_by_a_rest_as_long_as_it_took() {
        let (sender, mut shown) = watch(&Lists::default());
        send(&sender, [Ok(Event::Init)]);
        shown.next().await;
        let page = |took: u64, sender: Sender| async move {
            sleep_until(Instant::now() + Duration::from_millis(took)).await;
            send(&sender, [Ok(Event::InitApply(1)), Ok(Event::InitApply(2))]);
        };
        for (took, passed) in [(80, 160), (900, 1_400)] {
            let asked = Instant::now();
            tokio::join!(page(took, sender.clone()), shown.next());
            assert_eq!(asked.elapsed(), Duration::from_millis(passed));
            shown.next().await;
            assert_eq!(asked.elapsed(), Duration::from_millis(passed), "a page comes as a whole");
        }
    }
}
