//! The two webhook configurations: what the API server asks the operator before it stores a RedisInstance. Who is trusted
//! to answer, the caBundle, is not decided here.

use k8s_openapi::{
    api::admissionregistration::v1::{
        MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
        ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
};

use crate::{
    api,
    domain::names::{MUTATE_PATH, OPERATOR, VALIDATE_PATH},
};

/// Seconds that the API server waits for an answer. One takes a millisecond: this is for a node in trouble.
const TIMEOUT: i32 = 5;

/// The Service and the scope of the webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhooks {
    /// Name of both configurations.
    pub name: String,
    /// Namespace of the operator.
    pub namespace: String,
    /// Service that leads to the webhooks.
    pub service: String,
    /// Namespaces whose instances are validated; empty for all but the cluster's own and the operator's.
    pub only: Vec<String>,
}

/// The configuration of the defaulting webhook.
#[must_use]
pub fn mutating(webhooks: &Webhooks) -> MutatingWebhookConfiguration {
    let webhook = MutatingWebhook {
        name: format!("default.{}", api::GROUP),
        admission_review_versions: vec!["v1".to_owned()],
        client_config: client_config(webhooks, MUTATE_PATH),
        rules: Some(vec![rule(&["redisinstances"])]),
        // Absent defaults do no harm: the reconcile loop fills in the same ones.
        failure_policy: Some("Ignore".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        reinvocation_policy: Some("IfNeeded".to_owned()),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(TIMEOUT),
        match_conditions: Some(vec![not_being_deleted()]),
        namespace_selector: Some(namespaces(webhooks)),
        ..MutatingWebhook::default()
    };
    MutatingWebhookConfiguration { metadata: metadata(webhooks), webhooks: Some(vec![webhook]) }
}

/// The configuration of the validating webhook.
#[must_use]
pub fn validating(webhooks: &Webhooks) -> ValidatingWebhookConfiguration {
    let webhook = ValidatingWebhook {
        name: format!("validate.{}", api::GROUP),
        admission_review_versions: vec!["v1".to_owned()],
        client_config: client_config(webhooks, VALIDATE_PATH),
        // scale too: otherwise `kubectl scale` would be a way past every rule about replicas.
        rules: Some(vec![rule(&["redisinstances", "redisinstances/scale"])]),
        // An invalid spec must not be stored while no webhook is available to check it.
        failure_policy: Some("Fail".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(TIMEOUT),
        match_conditions: Some(vec![not_being_deleted()]),
        namespace_selector: Some(namespaces(webhooks)),
        ..ValidatingWebhook::default()
    };
    ValidatingWebhookConfiguration { metadata: metadata(webhooks), webhooks: Some(vec![webhook]) }
}

fn metadata(webhooks: &Webhooks) -> ObjectMeta {
    ObjectMeta {
        name: Some(webhooks.name.clone()),
        labels: Some([("app.kubernetes.io/name".to_owned(), OPERATOR.to_owned())].into()),
        ..ObjectMeta::default()
    }
}

fn client_config(webhooks: &Webhooks, path: &str) -> WebhookClientConfig {
    let service = ServiceReference {
        name: webhooks.service.clone(),
        namespace: webhooks.namespace.clone(),
        path: Some(path.to_owned()),
        port: Some(443),
    };
    WebhookClientConfig { service: Some(service), ..WebhookClientConfig::default() }
}

fn rule(resources: &[&str]) -> RuleWithOperations {
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    RuleWithOperations {
        api_groups: words(&[api::GROUP]),
        api_versions: words(&["v1"]),
        operations: words(&["CREATE", "UPDATE"]),
        resources: words(resources),
        scope: Some("Namespaced".to_owned()),
    }
}

/// Objects that are being deleted are not validated, so that their finalizers can be removed.
fn not_being_deleted() -> MatchCondition {
    MatchCondition {
        name: "not-being-deleted".to_owned(),
        expression: "!has(object.metadata.deletionTimestamp)".to_owned(),
    }
}

/// An operator that is away must never block what it needs to come back.
fn namespaces(webhooks: &Webhooks) -> LabelSelector {
    let (operator, values) = match webhooks.only.as_slice() {
        [] => ("NotIn", vec!["kube-system".to_owned(), webhooks.namespace.clone()]),
        only => ("In", only.to_vec()),
    };
    let requirement = LabelSelectorRequirement {
        key: "kubernetes.io/metadata.name".to_owned(),
        operator: operator.to_owned(),
        values: Some(values),
    };
    LabelSelector { match_expressions: Some(vec![requirement]), ..LabelSelector::default() }
}
