//! Pods that the API server rejects: reads the events of a StatefulSet that lacks pods, and has its controller try again. At
//! rest, with every pod there, it makes no request.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::StatefulSet, events::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};

use super::{
    context::Context,
    error::{spread, words},
    observe,
};
use crate::domain::{
    instance::ValidatedInstance,
    names::{RETRIED_ANNOTATION, pod},
    observed::Trouble,
    rejection::{FAILED_CREATE, Rejection, shortened},
};

/// How long a StatefulSet lacks a pod before its events are read: a pod that restarts is missing for a moment.
const PATIENCE: Duration = Duration::from_secs(3);
/// The shortest and the longest time between two looks at the events; in between as long as the pods have been missing.
const LOOKS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));
/// How often the StatefulSet controller is made to try again. Its own backoff grows to 17 minutes, and it notices no quota
/// that was raised.
const RETRY: Duration = Duration::from_secs(30);
/// How many pages of events are read at most. A list begins with the oldest, and the recorder of the StatefulSet controller writes
/// about 40 in the hour for which they are kept.
const PAGES_LIMIT: usize = 20;
/// Events in a page: whoever may create events decides how large each is.
const PAGE: u32 = 10;
/// Owner of the annotation, so that it does not count as part of what is applied.
const MANAGER: &str = "redis-operator-retry";

/// What is remembered of the missing pods of one instance; all of it can be lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Whether this process has seen all pods.
    complete: bool,
    /// Since when pods are missing; the time of day only if they were there before.
    missing: Option<(Instant, Option<Timestamp>)>,
    looked: Option<Instant>,
    retried: Option<Instant>,
    found: Option<Rejection>,
}

/// Since when events count; `None` where that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Since(Option<Timestamp>);

impl Memory {
    /// Whether pods are missing.
    pub(super) fn is_lacking(&self) -> bool {
        self.missing.is_some()
    }

    /// Notes whether pods are missing; whether the events are to be read now, and since when they count.
    fn turn(&mut self, lacking: bool, now: Instant) -> Option<Since> {
        if !lacking {
            *self = Self { complete: true, ..Self::default() };
            return None;
        }
        let complete = self.complete;
        let (since, day) = *self.missing.get_or_insert_with(|| (now, complete.then(Timestamp::now)));
        let lasted = now.saturating_duration_since(since);
        let apart = |looked: Instant| looked.saturating_duration_since(since).clamp(LOOKS.0, LOOKS.1);
        let rested = |looked: Instant| now.saturating_duration_since(looked) >= apart(looked);
        let due = lasted >= PATIENCE && self.looked.is_none_or(rested);
        if due {
            self.looked = Some(now);
        }
        // Events have whole seconds.
        due.then(|| Since(day.map(|day| Timestamp::from_second(day.as_second()).unwrap_or(day))))
    }

    /// Whether the StatefulSet controller is to be made to try again now.
    fn retry(&mut self, now: Instant, uid: &str) -> bool {
        let Some((since, _)) = self.missing.filter(|_| self.found.is_some()) else { return false };
        let last = self.retried.unwrap_or(since);
        let due = now.saturating_duration_since(last) >= spread(RETRY, uid);
        if due {
            self.retried = Some(now);
        }
        due
    }
}

/// Why pods are missing, as far as the events of their StatefulSet tell.
pub(super) async fn look(
    instance: &ValidatedInstance,
    written: Option<&StatefulSet>,
    context: &Context,
) -> Option<Trouble> {
    let stored = observe::stateful_set(instance, context);
    let set = written.or(stored.as_deref())?;
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let there = observe::pods(observe::of(instance), wanted, context);
    let is_there = |ordinal: i32| there.iter().any(|(at, _)| *at == ordinal);
    let missing: Vec<String> =
        (0..wanted).filter(|ordinal| !is_there(*ordinal)).map(|ordinal| pod(&instance.name, ordinal)).collect();
    let now = Instant::now();
    let due = context.remember(&instance.uid, |memory| memory.rejection.turn(!missing.is_empty(), now));
    if let Some(Since(since)) = due
        && let Some(events) = events(set, &instance.namespace, context).await
    {
        let found = Rejection::newest(&events, &missing, since, Timestamp::now());
        context.remember(&instance.uid, |memory| memory.rejection.found = found);
    }
    let (found, retry) = context.remember(&instance.uid, |memory| {
        memory.rejection.found.take_if(|found| !missing.contains(&found.pod));
        (memory.rejection.found.clone(), memory.rejection.retry(now, &instance.uid))
    });
    if retry {
        try_again(set, &instance.namespace, context).await;
    }
    found.map(|found| found.trouble(spread(RETRY, &instance.uid).as_secs()))
}

/// The events of a StatefulSet about pods that could not be created; nothing when they cannot be read.
async fn events(set: &StatefulSet, namespace: &str, context: &Context) -> Option<Vec<Event>> {
    let api: Api<Event> = Api::namespaced(context.client.clone(), namespace);
    let selector = format!("regarding.uid={},reason={FAILED_CREATE}", set.uid()?);
    let mut page = ListParams::default().fields(&selector).limit(PAGE);
    let mut events = Vec::new();
    for _ in 0..PAGES_LIMIT {
        match api.list(&page).await {
            Ok(list) => {
                events.extend(list.items.into_iter().map(shortened));
                page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
            }
            // The rest of the status does not depend on it.
            Err(error) => {
                tracing::warn!(
                    error = words(&error),
                    set = set.name_any(),
                    "cannot read the events of a StatefulSet that lacks pods"
                );
                return None;
            }
        }
        if page.continue_token.is_none() {
            break;
        }
    }
    Some(events)
}

/// Changes an annotation of the StatefulSet, upon which its controller creates the missing pods at once.
async fn try_again(set: &StatefulSet, namespace: &str, context: &Context) {
    let api: Api<StatefulSet> = Api::namespaced(context.client.clone(), namespace);
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default().to_string();
    let patch = serde_json::json!({"metadata": {"uid": set.uid(), "annotations": {RETRIED_ANNOTATION: now}}});
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch_metadata(&set.name_any(), &params, &Patch::Merge(&patch)).await {
        Ok(_) => tracing::debug!(set = set.name_any(), "had the StatefulSet controller try to create pods again"),
        Err(error) => {
            tracing::warn!(
                error = words(&error),
                set = set.name_any(),
                "cannot annotate a StatefulSet that lacks pods"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_while_pods_are_missing_and_ever_less_often() {
        let start = Instant::now();
        let mut memory = Memory::default();
        let mut looks = Vec::new();
        for second in 0..120 {
            if memory.turn(true, start + Duration::from_secs(second)).is_some() {
                looks.push(second);
            }
        }
        assert_eq!(looks, [3, 8, 16, 32, 62, 92]);
        assert!(memory.turn(false, start).is_none() && !memory.is_lacking());
    }

    #[test]
    fn what_was_reported_before_the_pods_went_missing_does_not_count() {
        let start = Instant::now();
        let later = start + PATIENCE;
        let mut memory = Memory::default();
        memory.turn(true, start);
        assert_eq!(memory.turn(true, later), Some(Since(None)), "they may have been missing before this process began");
        memory.turn(false, later);
        memory.turn(true, later);
        assert!(memory.turn(true, later + PATIENCE).unwrap().0.is_some());
    }

    #[test]
    fn creation_is_retried_while_a_rejection_is_known() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let note = "Create Pod cache-0 in StatefulSet cache failed error: no";
        let event =
            serde_json::json!({"metadata": {}, "deprecatedLastTimestamp": Timestamp::now().to_string(), "note": note});
        let event = serde_json::from_value(event).unwrap();
        let mut memory = Memory::default();
        memory.turn(true, start);
        assert!(!memory.retry(at(99), ""), "why they are missing is not known");
        memory.found = Rejection::newest(&[event], &["cache-0".to_owned()], None, Timestamp::now());
        let retries: Vec<u64> = (0..100).filter(|second| memory.retry(at(*second), "")).collect();
        assert_eq!(retries, [31, 62, 93]);
    }
}
