//! The Services: the one clients use, and the headless one that gives each pod a DNS name.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::metadata;
use crate::domain::{
    instance::ValidatedInstance,
    names::{PORT, PORT_NAME, pods_service as pods_service_name, selector_labels},
};

/// The Service for clients, of the instance's own name.
pub(super) fn service(instance: &ValidatedInstance) -> Service {
    let spec = ServiceSpec { type_: Some("ClusterIP".to_owned()), ..spec(instance) };
    Service { metadata: metadata(instance, instance.name.clone()), spec: Some(spec), ..Service::default() }
}

/// The headless Service; it names pods that are not ready too, since peers must find each other before clients may.
pub(super) fn pods_service(instance: &ValidatedInstance) -> Service {
    let spec =
        ServiceSpec { cluster_ip: Some("None".to_owned()), publish_not_ready_addresses: Some(true), ..spec(instance) };
    Service { metadata: metadata(instance, pods_service_name(&instance.name)), spec: Some(spec), ..Service::default() }
}

fn spec(instance: &ValidatedInstance) -> ServiceSpec {
    ServiceSpec {
        selector: Some(selector_labels(&instance.name)),
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
