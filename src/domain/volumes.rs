//! The progress of volume expansion, from the claims. Pure; the controller performs the expansion.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::{observed::Aspect, quantity::Quantity, reason::Reason};

/// The state of the first claim that is not there yet, or that all of them are; `None` while there are no claims.
#[must_use]
pub fn growth(claims: &[&PersistentVolumeClaim], size: Quantity) -> Option<Aspect> {
    let bound: Vec<(&PersistentVolumeClaim, Quantity)> =
        claims.iter().filter_map(|claim| Some((*claim, capacity(claim)?))).collect();
    let Some((claim, capacity)) = bound.iter().find(|(_, capacity)| *capacity < size) else {
        let message = format!("the volumes have {size}");
        return (!bound.is_empty()).then_some(Aspect { holds: Some(true), reason: Reason::Resized, message });
    };
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let condition = |kind: &str| {
        let conditions = claim.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().find(|condition| condition.type_ == kind && condition.status == "True")
    };
    let (reason, state) = if condition("FileSystemResizePending").is_some() {
        (Reason::FileSystemResizePending, "the volume has grown and waits for the node to grow its file system")
    } else if let Some(failed) = condition("ControllerResizeError").or_else(|| condition("NodeResizeError")) {
        let why: String = failed
            .message
            .as_deref()
            .unwrap_or("no reason given")
            .chars()
            .filter(|c| !c.is_control())
            .take(300)
            .collect();
        let message = format!("{name} grows from {capacity} to {size}: the driver fails: {why}");
        return Some(Aspect { holds: Some(false), reason: Reason::ResizeFailed, message });
    } else {
        (Reason::Resizing, "the volume is being grown")
    };
    Some(Aspect { holds: Some(false), reason, message: format!("{name} grows from {capacity} to {size}: {state}") })
}

fn capacity(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    Quantity::parse(&claim.status.as_ref()?.capacity.as_ref()?.get("storage")?.0).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn state(capacity: &str, conditions: &Value) -> (Option<bool>, Reason) {
        let claim = json!({"metadata": {"name": "redis-data-cache-0"},
            "status": {"capacity": {"storage": capacity}, "conditions": conditions}});
        let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
        let aspect = growth(&[&claim], Quantity::parse("2Gi").unwrap()).unwrap();
        (aspect.holds, aspect.reason)
    }

    #[test]
    fn a_volume_is_told_on_its_way() {
        let now = |kind: &str| json!([{"type": kind, "status": "True"}]);
        assert_eq!(state("1Gi", &json!([])), (Some(false), Reason::Resizing));
        assert_eq!(state("1Gi", &now("Resizing")), (Some(false), Reason::Resizing));
        assert_eq!(state("1Gi", &now("FileSystemResizePending")), (Some(false), Reason::FileSystemResizePending));
        assert_eq!(state("1Gi", &now("ControllerResizeError")), (Some(false), Reason::ResizeFailed));
        assert_eq!(state("2048Mi", &json!([])), (Some(true), Reason::Resized));
        assert_eq!(
            state("3Gi", &json!([])),
            (Some(true), Reason::Resized),
            "a driver may give more than was asked for"
        );
    }

    #[test]
    fn a_claim_without_a_volume_is_not_growing() {
        let claim = PersistentVolumeClaim::default();
        assert_eq!(growth(&[&claim], Quantity::parse("2Gi").unwrap()), None);
        assert_eq!(growth(&[], Quantity::parse("2Gi").unwrap()), None);
    }
}
