//! The ConfigMap: redis.conf and the probe. Holds no secret. The probe is a file here and not part of the pod template,
//! so that a better probe in a new operator restarts no pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::metadata;
use crate::domain::{
    instance::ValidatedInstance,
    names::{CONFIG_KEY, PROBE_KEY},
};

const PROBE: &str = include_str!("probe.sh");

pub(super) fn config_map(instance: &ValidatedInstance, conf: String) -> ConfigMap {
    ConfigMap {
        metadata: metadata(instance, instance.name.clone()),
        data: Some(BTreeMap::from([(CONFIG_KEY.to_owned(), conf), (PROBE_KEY.to_owned(), PROBE.to_owned())])),
        ..ConfigMap::default()
    }
}
