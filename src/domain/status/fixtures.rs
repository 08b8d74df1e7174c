//! Outcomes and statuses for the unit tests of this module.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::{
    api::v1::RedisInstanceStatus,
    domain::{
        instance::tests::validated,
        observed::{Aspect, Observed, Rollout},
        reason::Reason,
        status::{Finding, Subject, derive},
    },
};

pub(super) fn at(seconds: i64) -> Time {
    Time(jiff::Timestamp::from_second(seconds).unwrap())
}

/// The status after a series of findings, one second apart.
pub(super) fn after(findings: &[Finding]) -> RedisInstanceStatus {
    let instance = validated(json!({"image": "redis:7.2.5"}));
    findings.iter().zip(1..).fold(RedisInstanceStatus::default(), |previous, (finding, second)| {
        let seen = match finding {
            Finding::Applied(observed) => observed.clone(),
            _ => Observed::default(),
        };
        derive(
            &previous,
            Subject { generation: Some(1), instance: Some(&instance), observed: &seen },
            finding,
            &at(second),
        )
    })
}

pub(super) fn seen(replicas: i32, ready: i32, complete: bool) -> Finding {
    let rollout = Rollout { replicas, ready, complete, ..Rollout::default() };
    Finding::Applied(Observed { rollout: Some(rollout), ..Observed::default() })
}

pub(super) fn creating() -> Finding {
    Finding::Applied(Observed::default())
}

pub(super) fn beside(config: Option<Aspect>, storage: Option<Aspect>) -> Finding {
    let Finding::Applied(serving) = seen(1, 1, true) else { unreachable!() };
    Finding::Applied(Observed { config, storage, ..serving })
}

pub(super) fn aspect(holds: Option<bool>, reason: Reason, message: &str) -> Aspect {
    Aspect { holds, reason, message: message.to_owned() }
}

pub(super) fn shown(status: &RedisInstanceStatus) -> Vec<(&str, &str, &str)> {
    status.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect()
}
