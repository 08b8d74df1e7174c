//! `spec.resources`, checked as core/v1 checks a container's: known names, whole bytes, request at most limit.
//! Rules and messages follow Kubernetes' own validation (`pkg/apis/core/validation`).

use std::collections::BTreeMap;

use super::{field_error::FieldError, quantity::Quantity};
use crate::api::resources::{QuantityText, ResourceRequirements};

/// Checked compute resources of the Redis container, by resource name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// The most the container may use.
    pub limits: BTreeMap<String, Quantity>,
    /// The resources that the scheduler reserves.
    pub requests: BTreeMap<String, Quantity>,
}

/// Checks every quantity and every pair; all faults at once.
#[must_use]
pub fn validate(spec: &ResourceRequirements) -> (Resources, Vec<FieldError>) {
    let mut errors = Vec::new();
    let limits = quantities("spec.resources.limits", spec.limits.as_ref(), &mut errors);
    let requests = quantities("spec.resources.requests", spec.requests.as_ref(), &mut errors);
    for (name, request) in &requests {
        errors.extend(pair(name, *request, limits.get(name).copied()));
    }
    let named = |name: &str| limits.contains_key(name) || requests.contains_key(name);
    if limits.keys().any(|name| name.starts_with("hugepages-")) && !named("cpu") && !named("memory") {
        errors.push(FieldError::forbidden("spec.resources", "HugePages require cpu or memory"));
    }
    if spec.claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        errors.push(FieldError::forbidden("spec.resources.claims", "not supported"));
    }
    (Resources { limits, requests }, errors)
}

fn quantities(
    field: &str,
    texts: Option<&BTreeMap<String, QuantityText>>,
    errors: &mut Vec<FieldError>,
) -> BTreeMap<String, Quantity> {
    let mut parsed = BTreeMap::new();
    for (name, QuantityText(text)) in texts.into_iter().flatten() {
        let field = format!("{field}[{}]", bounded(name));
        match quantity(&field, name, text) {
            Ok(quantity) => drop(parsed.insert(name.clone(), quantity)),
            Err(error) => errors.push(error),
        }
    }
    parsed
}

/// A path contains the user's key; an overlong key must not inflate the response or a log line.
fn bounded(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(64).collect()
}

fn quantity(field: &str, name: &str, text: &str) -> Result<Quantity, FieldError> {
    if !is_resource(name) {
        return Err(FieldError::invalid(field, name, "must be a standard resource type or fully qualified"));
    }
    let quantity = Quantity::parse(text).map_err(|error| FieldError::invalid(field, text, error.to_string()))?;
    if quantity.is_negative() {
        return Err(FieldError::invalid(field, text, "must be greater than or equal to 0"));
    }
    if name != "cpu" && !quantity.is_whole() {
        let detail = if is_extended(name) {
            "must be an integer".to_owned()
        } else {
            format!("fractional byte value \"{text}\" is invalid, must be an integer")
        };
        return Err(FieldError::invalid(field, text, detail));
    }
    Ok(quantity)
}

fn pair(name: &str, request: Quantity, limit: Option<Quantity>) -> Option<FieldError> {
    let field = "spec.resources.requests";
    let exact = is_extended(name) || name.starts_with("hugepages-");
    let unequal = |detail| Some(FieldError::invalid(field, &request.to_string(), detail));
    match limit {
        None if exact => Some(FieldError::required(
            "spec.resources.limits",
            format!("limit must be set for {name}, which cannot be overcommitted"),
        )),
        Some(limit) if exact && request != limit => unequal(format!("must be equal to {name} limit of {limit}")),
        Some(limit) if request > limit => unequal(format!("must be less than or equal to {name} limit of {limit}")),
        _ => None,
    }
}

fn is_resource(name: &str) -> bool {
    let standard = matches!(name, "cpu" | "memory" | "ephemeral-storage")
        || name.strip_prefix("hugepages-").is_some_and(|size| Quantity::parse(size).is_ok());
    standard || (is_extended(name) && is_qualified(name))
}

/// Resources of device plugins are named DOMAIN/NAME.
fn is_extended(name: &str) -> bool {
    name.contains('/')
}

fn is_qualified(name: &str) -> bool {
    let part = |text: &str, limit: usize| {
        (1..=limit).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let host = |text: &str| {
        text.split('.').all(|label| part(label, 63)) && !text.contains(|c: char| c.is_ascii_uppercase() || c == '_')
    };
    name.split_once('/').is_some_and(|(domain, rest)| {
        part(domain, 253) && host(domain) && !domain.starts_with("requests.") && part(rest, 63)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(yaml: &str) -> Vec<String> {
        validate(&serde_saphyr::from_str(yaml).unwrap()).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_request_is_at_most_its_limit_by_value() {
        assert!(faults("{requests: {memory: 1024Mi, cpu: 500m}, limits: {memory: 1Gi, cpu: 0.5}}").is_empty());
        assert_eq!(
            faults("{requests: {memory: 2Gi}, limits: {memory: 1Gi}}"),
            ["spec.resources.requests: Invalid value: \"2Gi\": must be less than or equal to memory limit of 1Gi"]
        );
    }

    #[test]
    fn names_signs_and_fractions() {
        assert_eq!(
            faults("{limits: {gpu: 1, cpu: -1, memory: 10m, nvidia.com/gpu: 1}, claims: [{name: x}]}"),
            [
                "spec.resources.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
                "spec.resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified",
                "spec.resources.limits[memory]: Invalid value: \"10m\": fractional byte value \"10m\" is invalid, must be an integer",
                "spec.resources.claims: Forbidden: not supported",
            ]
        );
    }

    #[test]
    fn names_that_the_api_server_would_refuse_later() {
        for name in ["NVIDIA.com/gpu", "a..b/gpu", "requests.foo.com/gpu", "a_b.com/gpu", "/gpu", "x/"] {
            assert_eq!(faults(&format!("{{limits: {{\"{name}\": 1}}}}")).len(), 1, "{name}");
        }
        assert_eq!(
            faults("{limits: {hugepages-2Mi: 2Mi}, requests: {hugepages-2Mi: 2Mi}}"),
            ["spec.resources: Forbidden: HugePages require cpu or memory"]
        );
    }

    #[test]
    fn what_cannot_be_overcommitted_is_requested_exactly() {
        assert_eq!(faults("{requests: {nvidia.com/gpu: 1}}").len(), 1);
        assert_eq!(faults("{requests: {nvidia.com/gpu: 1}, limits: {nvidia.com/gpu: 2}}").len(), 1);
    }
}
