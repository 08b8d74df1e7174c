//! The ConfigMap: redis.conf, the probe, and the scripts that start Redis and run before it ends. Holds no secret. The scripts are files here and
//! not part of the pod template, so that better ones in a new operator restart no pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::metadata;
use crate::domain::{
    instance::ValidatedInstance,
    names::{CONFIG_KEY, LEAVE_KEY, PROBE_KEY, START_KEY},
};

const PROBE: &str = include_str!("probe.sh");
const LEAVE: &str = include_str!("leave.sh");
const START: &str = include_str!("start.sh");

pub(super) fn config_map(instance: &ValidatedInstance, conf: String) -> ConfigMap {
    ConfigMap {
        metadata: metadata(instance, instance.name.clone()),
        data: Some(BTreeMap::from([
            (CONFIG_KEY.to_owned(), conf),
            (LEAVE_KEY.to_owned(), LEAVE.to_owned()),
            (PROBE_KEY.to_owned(), PROBE.to_owned()),
            (START_KEY.to_owned(), START.to_owned()),
        ])),
        ..ConfigMap::default()
    }
}
