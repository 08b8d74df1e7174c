//! Each class of change, one after another: its warning, what becomes of the pod, and what Redis holds.

use redis_operator::api::v1::Phase;
use serde_json::{Value, json};

use super::{pod, start};
use crate::common::{cluster::Place, warnings::changed_with_warnings, writer::Writer};

/// What became of the pod.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// The same pod, and the same start of its container.
    Untouched,
    /// Another pod.
    Restarted,
}

/// A change, the warning that admission has to return, and what has to happen.
struct Step {
    change: Value,
    warning: &'static str,
    fate: Fate,
    /// A directive and what Redis holds of it in the end.
    holds: Option<(&'static str, &'static str)>,
}

fn step(change: Value, warning: &'static str, fate: Fate, holds: Option<(&'static str, &'static str)>) -> Step {
    Step { change, warning, fate, holds }
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn every_class_of_change_does_what_its_warning_says_and_loses_no_write() {
    let place = Place::new("classes").await;
    let spec = json!({"image": "redis:7.0.15", "storage": {"size": "64Mi"}, "config": {"maxmemory": "100mb"}});
    place.create_running("cache", spec).await;
    let writer = Writer::start(&place, "cache").await;
    let restart = "rolls 1 pod: about one restart of downtime (replicas: 1)";
    let steps = [
        step(
            json!({"config": {"maxmemory": "64mb"}}),
            "spec.config[maxmemory]: applied live, no restart",
            Fate::Untouched,
            Some(("maxmemory", "67108864")),
        ),
        step(
            json!({"config": {"maxmemory": null}}),
            "spec.config[maxmemory]: applied live, no restart",
            Fate::Untouched,
            Some(("maxmemory", "0")),
        ),
        step(
            json!({"config": {"save": "900 1 300 10"}}),
            "spec.config[save]: set on the running servers first",
            Fate::Untouched,
            Some(("save", "900 1 300 10")),
        ),
        step(
            json!({"config": {"databases": "4", "hz": "20"}}),
            "spec.config[databases,hz]: rolls 1 pod",
            Fate::Restarted,
            Some(("databases", "4")),
        ),
        step(
            json!({"resources": {"limits": {"memory": "512Mi"}}}),
            "spec.resources: rolls 1 pod",
            Fate::Restarted,
            Some(("hz", "20")),
        ),
        step(
            json!({"storage": {"size": "128Mi"}}),
            "spec.storage.size: the volumes grow while Redis runs",
            Fate::Untouched,
            None,
        ),
        step(
            json!({"updatePolicy": {"config": "Recreate"}}),
            "spec.updatePolicy.config: recreates the StatefulSet",
            Fate::Restarted,
            None,
        ),
        step(
            json!({"config": {"hz": "30"}}),
            "spec.config[hz]: recreates the StatefulSet: the pod restarts, its volume stays",
            Fate::Restarted,
            Some(("hz", "30")),
        ),
        step(json!({"updatePolicy": {"config": "RollingUpdate"}}), "", Fate::Untouched, None),
        step(json!({"config": {"hz": "40"}}), restart, Fate::Restarted, Some(("hz", "40"))),
        step(
            json!({"auth": {"enabled": false}}),
            "spec.auth.enabled: rolls 1 pod",
            Fate::Restarted,
            Some(("hz", "40")),
        ),
    ];
    for step in steps {
        walk(&place, &step).await;
    }
    // Refused at admission: nothing is stored, nothing happens.
    let before = pod(&place).await;
    for change in [json!({"storage": {"size": "64Mi"}}), json!({"storage": {"storageClassName": "other"}})] {
        assert!(changed_with_warnings(&place, "cache", change.clone()).await.is_err(), "{change}");
    }
    assert_eq!(start(&pod(&place).await), start(&before));

    let outcome = writer.stop().await;
    assert!(outcome.acknowledged > 100, "only {} writes were made", outcome.acknowledged);
    assert!(
        outcome.lost.is_empty(),
        "of {} acknowledged writes these are gone: {:?}",
        outcome.acknowledged,
        outcome.lost
    );
    eprintln!("every class of change: {outcome}");
    place.leave().await;
}

async fn walk(place: &Place, step: &Step) {
    let before = pod(place).await;
    let warnings = changed_with_warnings(place, "cache", step.change.clone()).await.unwrap();
    let warned = warnings.iter().any(|warning| warning.contains(step.warning));
    assert!(warned || step.warning.is_empty(), "{}: {warnings:?}, not {:?}", step.change, step.warning);
    let restart = warnings.iter().any(|warning| warning.contains("rolls 1 pod") || warning.contains("recreates"));
    assert_eq!(restart, step.fate == Fate::Restarted, "{}: {warnings:?}", step.change);
    place.reaches("cache", Phase::Running).await;
    let after = pod(place).await;
    let fate = if start(&after) == start(&before) { Fate::Untouched } else { Fate::Restarted };
    assert_eq!(fate, step.fate, "{}: {warnings:?}", step.change);
    if let Some((directive, held)) = step.holds {
        let mut redis = place.connect_logged_in("cache").await;
        assert_eq!(
            redis.ask(&format!("CONFIG GET {directive}")).await,
            format!("{directive} {held}"),
            "{}",
            step.change
        );
    }
}
