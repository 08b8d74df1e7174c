//! Why a StatefulSet lacks pods: the API server rejects them, which the StatefulSet controller reports only in events.
//! Pure: the controller reads the events.

use jiff::{Span, Timestamp};
use k8s_openapi::api::events::v1::Event;

use super::{
    observed::{Trouble, one_line},
    reason::Reason,
};

/// The reason of the events that are read.
pub const FAILED_CREATE: &str = "FailedCreate";
/// Maximum age of an event. While a pod is rejected, the StatefulSet controller repeats its event at least every 5
/// minutes.
const FRESH_MINUTES: i64 = 10;
/// Maximum length of an event's note, in characters: the limit of events.k8s.io.
const NOTE_LENGTH: usize = 1024;

/// A pod that cannot be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Name of the pod.
    pub pod: String,
    /// The rejected object, and the message of the API server or the policy.
    why: String,
}

impl Rejection {
    /// The newest rejection of one of these pods that is not older than the time since when they are missing.
    #[must_use]
    pub fn newest(events: &[Event], missing: &[String], since: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        let oldest = now.checked_sub(Span::new().minutes(FRESH_MINUTES)).unwrap_or(Timestamp::MIN);
        let oldest = since.map_or(oldest, |since| since.max(oldest));
        let fresh = events.iter().filter_map(|event| Some((time_of(event)?, event))).filter(|(at, _)| *at >= oldest);
        let read = fresh.filter_map(|(at, event)| Some((at, Self::read(event.note.as_deref()?)?)));
        let of_missing = read.filter(|(_, rejection)| missing.contains(&rejection.pod));
        of_missing.max_by_key(|(at, _)| *at).map(|(_, rejection)| rejection)
    }

    /// Reads `Create Pod NAME in StatefulSet SET failed error: WORDS`, or the same of `Claim CLAIM for Pod NAME`.
    fn read(note: &str) -> Option<Self> {
        let (subject, words) = note.split_once(" failed error: ")?;
        let (subject, _) = subject.split_once(" in StatefulSet ")?;
        let (before, pod) = subject.rsplit_once("Pod ")?;
        let claim = before.rsplit_once("Claim ").map(|(_, claim)| claim.trim_end_matches(" for "));
        let what = claim.map_or_else(|| "the pod".to_owned(), |claim| format!("PersistentVolumeClaim {claim}"));
        Some(Self { pod: pod.to_owned(), why: format!("the API server rejects {what}: {}", one_line(Some(words))) })
    }

    /// The problem to report, with the seconds after which the creation is retried.
    #[must_use]
    pub fn trouble(&self, retried: u64) -> Trouble {
        let cure = "remove the cause or change the spec";
        let message = format!("{}: {}; {cure}, it is retried every {retried} s", self.pod, self.why);
        Trouble { reason: Reason::PodsRejected, stalled: true, message }
    }
}

/// No more of an event than is read here, so that many of them take little memory.
#[must_use]
pub fn shortened(event: Event) -> Event {
    let Event { deprecated_first_timestamp, deprecated_last_timestamp, event_time, note, series, .. } = event;
    let note = note.map(|note| note.chars().take(NOTE_LENGTH).collect());
    let reduced = Event { deprecated_first_timestamp, deprecated_last_timestamp, event_time, note, ..Event::default() };
    Event { series, ..reduced }
}

/// The time of the last repetition of an event.
fn time_of(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    let reported = event.deprecated_last_timestamp.as_ref().or(event.deprecated_first_timestamp.as_ref());
    [series, reported.map(|time| time.0), event.event_time.as_ref().map(|time| time.0)].into_iter().flatten().max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const QUOTA: &str = r#"Create Pod cache-0 in StatefulSet cache failed error: pods "cache-0" is forbidden: exceeded quota: small, requested: limits.memory=128Mi, used: limits.memory=0, limited: limits.memory=64Mi"#;
    const CLAIM: &str = r#"Create Claim redis-data-cache-1 for Pod cache-1 in StatefulSet cache failed error: persistentvolumeclaims "redis-data-cache-1" is forbidden: exceeded quota: small"#;

    fn event(at: &str, note: &str) -> Event {
        serde_json::from_value(json!({"metadata": {}, "deprecatedLastTimestamp": at, "note": note})).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn newest(events: &[Event], missing: &[&str], since: Option<&str>) -> Option<String> {
        let missing: Vec<String> = missing.iter().map(|pod| (*pod).to_owned()).collect();
        let found = Rejection::newest(events, &missing, since.map(at), at("2026-11-24T10:00:00Z"));
        found.map(|rejection| rejection.trouble(30).message)
    }

    #[test]
    fn a_rejected_pod_is_reported_in_the_words_of_the_api_server() {
        let told = newest(&[event("2026-11-24T09:59:50Z", QUOTA)], &["cache-0"], None).unwrap();
        assert_eq!(
            told,
            r#"cache-0: the API server rejects the pod: pods "cache-0" is forbidden: exceeded quota: small, requested: limits.memory=128Mi, used: limits.memory=0, limited: limits.memory=64Mi; remove the cause or change the spec, it is retried every 30 s"#
        );
        let combined = format!("(combined from similar events): {CLAIM}");
        let told = newest(&[event("2026-11-24T09:59:50Z", &combined)], &["cache-1"], None).unwrap();
        assert!(
            told.starts_with("cache-1: the API server rejects PersistentVolumeClaim redis-data-cache-1: "),
            "{told}"
        );
    }

    #[test]
    fn a_shortened_event_says_the_same() {
        let note = format!("{QUOTA}{}", "x".repeat(100_000));
        let mut long = event("2026-11-24T09:59:50Z", &note);
        long.metadata.labels = Some([("a".repeat(1_000), "b".to_owned())].into());
        let told = newest(&[long.clone()], &["cache-0"], None);
        let short = shortened(long);
        assert!(short.note.as_ref().unwrap().len() == NOTE_LENGTH && short.metadata.labels.is_none());
        assert_eq!(newest(&[short], &["cache-0"], None), told);
    }

    #[test]
    fn an_event_counts_for_a_missing_pod_and_since_it_is_missing() {
        let events = [event("2026-11-24T09:59:50Z", QUOTA), event("2026-11-24T09:59:40Z", CLAIM)];
        assert_eq!(newest(&events, &["cache-2"], None), None, "the pods of the events are there");
        assert!(newest(&events, &["cache-0", "cache-1"], None).unwrap().starts_with("cache-0"), "the newest one");
        assert!(newest(&events, &["cache-0"], Some("2026-11-24T09:59:50Z")).is_some());
        assert_eq!(newest(&events, &["cache-0"], Some("2026-11-24T09:59:51Z")), None, "the pod was there since");
        assert_eq!(newest(&[event("2026-11-24T09:49:59Z", QUOTA)], &["cache-0"], None), None, "nobody repeats it");
        assert_eq!(newest(&[event("2026-11-24T09:59:59Z", "Create Pod")], &["cache-0"], None), None);
    }

    #[test]
    fn words_from_outside_are_bounded_and_one_line() {
        let note = format!("Create Pod cache-0 in StatefulSet cache failed error: a\n{}", "x".repeat(9_000));
        let told = newest(&[event("2026-11-24T09:59:59Z", &note)], &["cache-0"], None).unwrap();
        assert!(told.len() < 500 && !told.contains('\n'), "{told}");
    }

    #[test]
    fn the_last_repetition_is_the_time_of_an_event() {
        let event = json!({"metadata": {}, "eventTime": "2026-11-24T09:00:00.000000Z", "note": QUOTA,
            "series": {"count": 7, "lastObservedTime": "2026-11-24T09:59:59.000000Z"}});
        assert!(newest(&[serde_json::from_value(event).unwrap()], &["cache-0"], None).is_some());
    }
}
