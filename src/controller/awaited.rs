//! When the Secret of an instance is looked at because a pod waits for its container: the Secret that it mounts may be gone. It
//! looks at nothing itself.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{context::Context, observe, secret::LOOK};
use crate::domain::{instance::ValidatedInstance, observed::waits_since, validate::REPLICAS_BOUND};

/// How long a pod may wait for its container before its Secret is looked for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a pod of this instance has waited for its container; of several the one that has waited longest.
pub(super) fn time(instance: &ValidatedInstance, context: &Context) -> Option<Duration> {
    let pods = observe::pods(observe::of(instance), REPLICAS_BOUND, context);
    let since = pods.iter().filter_map(|(_, pod)| waits_since(pod)).min()?;
    Some(Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default())
}

/// When the Secret is looked at for a pod that has waited so long for its container: once it has waited for a while, and then as
/// often as one that changes. `looked` is when it last was.
pub(super) fn due(waiting: Duration, looked: Option<Instant>, now: Instant) -> Instant {
    let late = waiting.saturating_sub(PATIENCE);
    match looked.filter(|looked| !late.is_zero() && now.saturating_duration_since(*looked) <= late) {
        Some(looked) => looked + LOOK,
        None => now + PATIENCE.saturating_sub(waiting),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_waits_for_its_container_has_the_secret_looked_at_soon_and_not_all_the_time() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let waited = Duration::from_secs;
        assert_eq!(due(waited(0), None, start), after(5));
        assert_eq!(due(waited(3), None, start), after(2));
        assert_eq!(due(waited(60), None, start), start);
        assert_eq!(due(waited(60), Some(start), after(1)), after(30), "it was looked at");
        assert_eq!(due(waited(0), Some(start), after(1)), after(6), "that was before the pod waited");
        assert_eq!(due(waited(6), Some(start), after(9)), after(9));
        assert_eq!(due(waited(6), Some(after(9)), after(9)), after(39));
        assert_eq!(due(waited(90), Some(start), after(31)), after(30), "its time has come");
    }
}
