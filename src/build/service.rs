//! The Services: one for clients, one for read-only clients, and a headless Service that gives each pod a DNS name.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::metadata;
use crate::domain::{
    instance::ValidatedInstance,
    names::{
        POD_NAME_LABEL, PORT, PORT_NAME, PRIMARY, READS_LABEL, ROLE_LABEL, pod, pods_service as pods_service_name,
        replicas_service as replicas_service_name, selector_labels,
    },
};

/// The Service for clients, of the instance's own name: of several pods, the primary. Of one pod it names the pod, so that
/// pods that are added do not serve before the primary among them has its label.
pub(super) fn service(instance: &ValidatedInstance, replicated: bool) -> Service {
    let mut selector = selector_labels(&instance.name);
    if replicated {
        selector.insert(ROLE_LABEL.to_owned(), PRIMARY.to_owned());
    } else {
        selector.insert(POD_NAME_LABEL.to_owned(), pod(&instance.name, 0));
    }
    let spec = ServiceSpec { type_: Some("ClusterIP".to_owned()), ..spec(selector) };
    Service { metadata: metadata(instance, instance.name.clone()), spec: Some(spec), ..Service::default() }
}

/// The Service for reads of a replicated instance.
pub(super) fn replicas_service(instance: &ValidatedInstance) -> Service {
    let mut selector = selector_labels(&instance.name);
    selector.insert(READS_LABEL.to_owned(), "true".to_owned());
    let spec = ServiceSpec { type_: Some("ClusterIP".to_owned()), ..spec(selector) };
    Service {
        metadata: metadata(instance, replicas_service_name(&instance.name)),
        spec: Some(spec),
        ..Service::default()
    }
}

/// The headless Service; it names pods that are not ready too, since peers must find each other before clients may.
pub(super) fn pods_service(instance: &ValidatedInstance) -> Service {
    let spec = ServiceSpec {
        cluster_ip: Some("None".to_owned()),
        publish_not_ready_addresses: Some(true),
        ..spec(selector_labels(&instance.name))
    };
    Service { metadata: metadata(instance, pods_service_name(&instance.name)), spec: Some(spec), ..Service::default() }
}

fn spec(selector: BTreeMap<String, String>) -> ServiceSpec {
    ServiceSpec {
        selector: Some(selector),
        ports: Some(vec![ServicePort {
            name: Some(PORT_NAME.to_owned()),
            port: PORT,
            protocol: Some("TCP".to_owned()),
            target_port: Some(IntOrString::String(PORT_NAME.to_owned())),
            ..ServicePort::default()
        }]),
        ..ServiceSpec::default()
    }
}
