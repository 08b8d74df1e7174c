//! The pod template: the Redis container, its probes and volumes, and the restrictions it runs under.
//! A change here restarts every Redis of every user on the next upgrade of the operator: mind the golden files.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, ExecAction, Lifecycle,
        LifecycleHandler, LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec,
        Probe, ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

use super::scheduling;
use crate::domain::{
    instance::ValidatedInstance,
    names::{
        AUTH_PATH, AUTH_VOLUME, CONFIG_HASH_ANNOTATION, CONFIG_PATH, CONFIG_VOLUME, CONTAINER, DATA_PATH, DATA_VOLUME,
        LEAVE_KEY, PASSWORD_ANNOTATION, PASSWORD_REQUIRED, PASSWORD_VARIABLE, PORT, PORT_NAME, PROBE_KEY, START_KEY,
        TLS_PATH, TLS_PORT, TLS_PORT_NAME, TLS_VOLUME, tls_secret,
    },
    quantity,
    redis_conf::restart_hash,
};

/// User and group of Redis in the official images. `command` skips their entrypoint, which would have dropped root.
const REDIS_ID: i64 = 999;

pub(super) fn template(instance: &ValidatedInstance) -> PodTemplateSpec {
    let options = &instance.pod;
    // The operator's own come last: whatever admission let through, they win.
    let mut annotations = options.annotations.clone();
    annotations.insert(CONFIG_HASH_ANNOTATION.to_owned(), restart_hash(instance));
    if instance.auth.is_enabled() {
        annotations.insert(PASSWORD_ANNOTATION.to_owned(), PASSWORD_REQUIRED.to_owned());
    }
    let mut labels = options.labels.clone();
    labels.extend(instance.labels());
    PodTemplateSpec {
        metadata: Some(ObjectMeta { annotations: Some(annotations), labels: Some(labels), ..ObjectMeta::default() }),
        spec: Some(PodSpec {
            affinity: scheduling::affinity(instance),
            automount_service_account_token: Some(false),
            containers: vec![container(instance)],
            enable_service_links: Some(false),
            image_pull_secrets: unless_empty(
                options.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect(),
            ),
            node_selector: (!options.node_selector.is_empty()).then(|| options.node_selector.clone()),
            priority_class_name: options.priority_class_name.clone(),
            security_context: Some(pod_security()),
            termination_grace_period_seconds: Some(options.termination_grace_period_seconds()),
            tolerations: unless_empty(options.tolerations.clone()),
            topology_spread_constraints: unless_empty(scheduling::spread(instance)),
            volumes: Some(volumes(instance)),
            ..PodSpec::default()
        }),
    }
}

/// An absent list is how Kubernetes stores an empty one.
fn unless_empty<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

fn container(instance: &ValidatedInstance) -> Container {
    let quantities = |of: &BTreeMap<String, quantity::Quantity>| {
        (!of.is_empty()).then(|| {
            of.iter().map(|(name, amount)| (name.clone(), Quantity(amount.rounded_up_to_milli().to_string()))).collect()
        })
    };
    let resources = ResourceRequirements {
        limits: quantities(&instance.resources.limits),
        requests: quantities(&instance.resources.requests),
        ..ResourceRequirements::default()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(instance.image.as_str().to_owned()),
        command: Some(script(START_KEY)),
        env: Some(environment(instance)),
        ports: Some(vec![port(PORT_NAME, PORT), port(TLS_PORT_NAME, TLS_PORT)]),
        resources: (resources != ResourceRequirements::default()).then_some(resources),
        // Also with a single pod, so that a change of the number of replicas does not change the template.
        lifecycle: Some(Lifecycle { pre_stop: Some(leave()), ..Lifecycle::default() }),
        // The kubelet's first round may come before the container runs; every 2 s bounds what a start loses to that.
        readiness_probe: Some(Probe { period_seconds: Some(2), timeout_seconds: Some(5), ..probe("ready") }),
        liveness_probe: Some(Probe {
            initial_delay_seconds: Some(15),
            period_seconds: Some(15),
            timeout_seconds: Some(5),
            failure_threshold: Some(4),
            ..probe("alive")
        }),
        security_context: Some(container_security()),
        // Redis prints why it refused its configuration and ends: those lines become the pod's own message.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts()),
        ..Container::default()
    }
}

/// The environment of the scripts.
fn environment(instance: &ValidatedInstance) -> Vec<EnvVar> {
    let pod_ip = ObjectFieldSelector { field_path: "status.podIP".to_owned(), ..ObjectFieldSelector::default() };
    let pod_ip = EnvVarSource { field_ref: Some(pod_ip), ..EnvVarSource::default() };
    let mut variables = vec![EnvVar { name: "POD_IP".to_owned(), value_from: Some(pod_ip), ..EnvVar::default() }];
    if instance.auth.is_enabled() {
        let name = PASSWORD_VARIABLE.to_owned();
        variables.push(EnvVar { name, value: Some("yes".to_owned()), ..EnvVar::default() });
    }
    variables
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        container_port: number,
        name: Some(name.to_owned()),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// The command that runs a script of the ConfigMap: its files are not executable.
fn script(key: &str) -> Vec<String> {
    vec!["sh".to_owned(), format!("{CONFIG_PATH}/{key}")]
}

fn leave() -> LifecycleHandler {
    LifecycleHandler { exec: Some(ExecAction { command: Some(script(LEAVE_KEY)) }), ..LifecycleHandler::default() }
}

fn probe(question: &str) -> Probe {
    let mut command = script(PROBE_KEY);
    command.push(question.to_owned());
    Probe { exec: Some(ExecAction { command: Some(command) }), ..Probe::default() }
}

fn mounts() -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    vec![
        mount(DATA_VOLUME, DATA_PATH, false),
        mount(CONFIG_VOLUME, CONFIG_PATH, true),
        mount(AUTH_VOLUME, AUTH_PATH, true),
        mount(TLS_VOLUME, TLS_PATH, true),
    ]
}

fn volumes(instance: &ValidatedInstance) -> Vec<Volume> {
    let config = ConfigMapVolumeSource { name: instance.name.clone(), ..ConfigMapVolumeSource::default() };
    vec![
        Volume { name: CONFIG_VOLUME.to_owned(), config_map: Some(config), ..Volume::default() },
        // Also in a pod without a password: when one is asked for, redis.conf includes it before the pod is replaced.
        secret(AUTH_VOLUME, instance.auth_secret(), (!instance.auth.is_enabled()).then_some(true)),
        // Nothing makes this Secret yet. A pod that mounts it from the start need not be restarted when there is one.
        secret(TLS_VOLUME, tls_secret(&instance.name), Some(true)),
    ]
}

fn secret(volume: &str, name: String, optional: Option<bool>) -> Volume {
    let secret = SecretVolumeSource {
        secret_name: Some(name),
        // 0440: root writes the files, and only fsGroup lets Redis read them.
        default_mode: Some(0o440),
        optional,
        ..SecretVolumeSource::default()
    };
    Volume { name: volume.to_owned(), secret: Some(secret), ..Volume::default() }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        fs_group: Some(REDIS_ID),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        run_as_group: Some(REDIS_ID),
        run_as_non_root: Some(true),
        run_as_user: Some(REDIS_ID),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}
