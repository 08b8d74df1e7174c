//! Every object name, label, annotation, port, path and volume name, once.
//! Decides names only; what the objects hold is `build`'s business.

use std::collections::BTreeMap;

/// The longest name of an instance, in bytes. A StatefulSet's name plus "-" and a 10-character revision hash must
/// fit a label value (63 bytes, kubernetes#64023), which leaves 52; our longest suffix, "-replicas", comes off that.
pub const NAME_LIMIT: usize = 52 - "-replicas".len();

/// Label that names the instance a child belongs to; part of every selector, so it never changes. The label selector of the
/// watches: every child and every claim has it.
pub const INSTANCE_LABEL: &str = "redis.github.com/instance";
/// Value of `app.kubernetes.io/managed-by`, and the field manager of server-side apply.
pub const OPERATOR: &str = "redis-operator";
/// Annotation of the pod template: sha256 of what of redis.conf the pods must have been started with, so that a change of
/// it rolls them.
pub const CONFIG_HASH_ANNOTATION: &str = "redis.github.com/config-hash";
/// Annotation of a child: sha256 of the object as it was last applied, so that an unchanged one is not written again.
pub const APPLIED_HASH_ANNOTATION: &str = "redis.github.com/applied-hash";
/// Annotation of the StatefulSet: sha256 of the pod template as it was last applied, by which a new one is noticed.
pub const TEMPLATE_HASH_ANNOTATION: &str = "redis.github.com/template-hash";
/// Annotation of the StatefulSet: why its pod template last changed; `kubectl rollout history` shows it.
pub const CAUSE_ANNOTATION: &str = "kubernetes.io/change-cause";
/// Annotation of the StatefulSet: the parts of its pod template that come from `spec.pod`, by which changes of them are
/// detected. Absent if there are none.
pub const POD_OPTIONS_ANNOTATION: &str = "redis.github.com/pod-options";

/// Annotation of the StatefulSet: when its controller was last made to create missing pods again.
pub const RETRIED_ANNOTATION: &str = "redis.github.com/retried-at";
/// Annotation of the ConfigMap: the pods (uid) that have to be restarted for its `maxclients`, separated by spaces.
pub const MISSED_MAXCLIENTS_ANNOTATION: &str = "redis.github.com/pods-without-maxclients";

/// Annotation of an instance: directives that its user vouches for though no table has them, separated by commas.
pub const VOUCHED_ANNOTATION: &str = "redis.github.com/allow-unknown-directives";
/// Annotation of an instance: the image that it may go down to, though the data cannot be read by it.
pub const DOWNGRADE_ANNOTATION: &str = "redis.github.com/allow-downgrade";

/// Annotation of an instance: the pod to promote when the operator cannot determine which pod has the newest data.
pub const PROMOTE_ANNOTATION: &str = "redis.github.com/promote";
/// Annotation of a claim that was not made from the claim template: it may hold data that nothing is recorded of.
pub const ADOPTED_ANNOTATION: &str = "redis.github.com/adopted";
/// Label with the name of a pod, which the StatefulSet controller gives to each pod.
pub const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
/// Label with the revision of the pod template, which the StatefulSet controller gives to each pod.
pub const REVISION_LABEL: &str = "controller-revision-hash";
/// Label of a pod of a replicated instance: whether it takes the writes.
pub const ROLE_LABEL: &str = "redis.github.com/role";
/// Value of the role's label on the one pod that takes the writes.
pub const PRIMARY: &str = "primary";
/// Value of the role's label on all other pods.
pub const REPLICA: &str = "replica";
/// Label of the pods behind the Service for reads: the replicas that are in sync, or the primary while there is none.
pub const READS_LABEL: &str = "redis.github.com/reads";

/// Path of the defaulting webhook.
pub const MUTATE_PATH: &str = "/mutate";
/// Path of the validating webhook.
pub const VALIDATE_PATH: &str = "/validate";

/// Name of the Redis container.
pub const CONTAINER: &str = "redis";
/// Name of the client port.
pub const PORT_NAME: &str = "redis";
/// Number of the client port.
pub const PORT: i32 = 6379;
/// Name of the client port for TLS, on which nothing listens yet.
pub const TLS_PORT_NAME: &str = "redis-tls";
/// Number of the client port for TLS.
pub const TLS_PORT: i32 = 6380;
/// Volume and volume claim template behind `/data`.
pub const DATA_VOLUME: &str = "redis-data";
/// Path of the data in the container.
pub const DATA_PATH: &str = "/data";
/// Volume of the ConfigMap.
pub const CONFIG_VOLUME: &str = "redis-config";
/// Mount path of the ConfigMap.
pub const CONFIG_PATH: &str = "/usr/local/etc/redis";
/// Annotation of a pod whose server has a password.
pub const PASSWORD_ANNOTATION: &str = "redis.github.com/password";
/// The value of that annotation.
pub const PASSWORD_REQUIRED: &str = "required";
/// Environment variable by which start.sh knows the same.
pub const PASSWORD_VARIABLE: &str = "REDIS_PASSWORD_REQUIRED";
/// Volume of the Secret.
pub const AUTH_VOLUME: &str = "redis-auth";
/// Mount path of the Secret.
pub const AUTH_PATH: &str = "/usr/local/etc/redis-auth";
/// Volume of the optional Secret with the certificate for TLS.
pub const TLS_VOLUME: &str = "redis-tls";
/// Mount path of that Secret.
pub const TLS_PATH: &str = "/usr/local/etc/redis-tls";
/// Key of the ConfigMap that holds the script that starts Redis, and its file name.
pub const START_KEY: &str = "start.sh";
/// Key of the ConfigMap that holds the configuration, and its file name.
pub const CONFIG_KEY: &str = "redis.conf";
/// Key of the ConfigMap that holds the probe, and its file name.
pub const PROBE_KEY: &str = "probe.sh";
/// Key of the ConfigMap that holds what a pod does before it ends, and its file name.
pub const LEAVE_KEY: &str = "leave.sh";
/// Key of the Secret that holds the bare password.
pub const PASSWORD_KEY: &str = "password";
/// Key of the Secret that holds the password before that, while the servers accept it too.
pub const FORMER_PASSWORD_KEY: &str = "former-password";
/// Annotation of the Secret: until when they do, as RFC 3339 has it.
pub const FORMER_UNTIL_ANNOTATION: &str = "redis.github.com/former-password-until";
/// Key of the Secret that holds the lines redis.conf includes.
pub const AUTH_CONF_KEY: &str = "auth.conf";

/// The headless Service that gives each pod a DNS name.
#[must_use]
pub fn pods_service(instance: &str) -> String {
    format!("{instance}-pods")
}

/// The Service of the pods that answer reads.
#[must_use]
pub fn replicas_service(instance: &str) -> String {
    format!("{instance}-replicas")
}

/// The Secret with the password and the lines redis.conf includes.
#[must_use]
pub fn auth_secret(instance: &str) -> String {
    format!("{instance}-auth")
}

/// The optional Secret with the certificate for TLS.
#[must_use]
pub fn tls_secret(instance: &str) -> String {
    format!("{instance}-tls")
}

/// Name of the pod with this ordinal.
#[must_use]
pub fn pod(instance: &str, ordinal: i32) -> String {
    format!("{instance}-{ordinal}")
}

/// Name of the claim behind the pod with this ordinal, as the StatefulSet's controller makes it from the claim template.
#[must_use]
pub fn claim(instance: &str, ordinal: i32) -> String {
    format!("{DATA_VOLUME}-{}", pod(instance, ordinal))
}

/// The labels by which pods are selected: they can never change, so only these two.
#[must_use]
pub fn selector_labels(instance: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("app".to_owned(), "redis".to_owned()), (INSTANCE_LABEL.to_owned(), instance.to_owned())])
}

/// The labels of every child. No version among them: a new operator or image must not touch every object.
#[must_use]
pub fn labels(instance: &str) -> BTreeMap<String, String> {
    let mut labels = selector_labels(instance);
    for (key, value) in [
        ("name", "redis"),
        ("instance", instance),
        ("component", "database"),
        ("part-of", "redis"),
        ("managed-by", OPERATOR),
    ] {
        labels.insert(format!("app.kubernetes.io/{key}"), value.to_owned());
    }
    labels
}

/// Why a label is reserved for the operator, if it is.
#[must_use]
pub fn owned_label(key: &str) -> Option<&'static str> {
    match key {
        "app" => Some("is the operator's own: the pods are selected by it"),
        key if key.starts_with("redis.github.com/") => Some("is the operator's own"),
        key => key
            .strip_prefix("app.kubernetes.io/")
            .filter(|name| matches!(*name, "name" | "instance" | "component" | "part-of" | "managed-by"))
            .map(|_| "is set by the operator, so that tools recognize what it manages"),
    }
}
