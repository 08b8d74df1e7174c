//! Validates a `RedisInstance`: every rule, all errors at once. Admission and the reconcile call the same function.
//! Rules about a change are in `update`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    config::{self, Rules},
    cross_field,
    directives::release::{Release, release, too_old},
    field_error::{FAULT_LIMIT, FieldError, quoted},
    image::ImageReference,
    instance::{Auth, Storage, ValidatedInstance},
    names::{NAME_LIMIT, VOUCHED_ANNOTATION},
    pod_options,
    quantity::{Quantity, QuantityError},
    replicated,
    replication::fence::SILENCE_BOUNDS,
    resources, syntax,
};
use crate::api::v1::{AuthSpec, Durability, RedisInstance, ReplicationSpec, StorageSpec};

const MIN_SIZE: Quantity = Quantity::from_bytes(1 << 20);
const MAX_SIZE: Quantity = Quantity::from_bytes(64 << 40);
const TOO_LARGE: &str = "must be less than or equal to 64Ti";
/// The most pods that an instance can have.
pub const REPLICAS_BOUND: i32 = 16;

/// Checks an instance whose defaults are filled in.
///
/// # Errors
/// Every fault of every field, in the order of the spec, up to [`FAULT_LIMIT`].
pub fn validate(instance: &RedisInstance) -> Result<ValidatedInstance, Vec<FieldError>> {
    let mut errors = Vec::new();
    let spec = &instance.spec;
    let name = keep(validate_name(&instance.metadata), &mut errors);
    let image = keep(validate_image(spec.image.as_deref()), &mut errors);
    let too_old = image.as_ref().and_then(too_old);
    errors.extend(
        too_old.map(|detail| FieldError::invalid("spec.image", spec.image.as_deref().unwrap_or_default(), detail)),
    );
    let replicas = keep(validate_replicas(spec.replicas), &mut errors);
    let (resources, faults) = spec.resources.as_ref().map(resources::validate).unwrap_or_default();
    errors.extend(faults);
    let (pod, faults) = spec.pod.as_deref().map(pod_options::validate).unwrap_or_default();
    errors.extend(faults);
    let storage = validate_storage(&spec.storage.clone().unwrap_or_default(), &mut errors);
    let vouched = vouched(&instance.metadata);
    let auth = spec.auth.as_ref().and_then(|auth| auth.enabled).unwrap_or(true);
    let rules = Rules { release: image.as_ref().map_or(Release::Unknown, release), vouched, auth };
    let (config, faults) = spec.config.as_ref().map(|config| config::validate(config, &rules)).unwrap_or_default();
    errors.extend(faults);
    errors.extend(cross_field::faults(&config, &resources, replicas.unwrap_or(1)));
    errors.extend(spec.replication.as_ref().and_then(failover_fault));
    let durability_asked = spec.replication.as_ref().and_then(|replication| replication.durability);
    errors.extend(replicated::faults(&config, replicas.unwrap_or(1), durability_asked));
    let auth = keep(validate_auth(&spec.auth.clone().unwrap_or_default(), name.as_deref()), &mut errors);
    match (name, image, replicas, storage, auth) {
        (Some(name), Some(image), Some(replicas), Some(storage), Some(auth)) if errors.is_empty() => {
            Ok(ValidatedInstance {
                name,
                namespace: instance.metadata.namespace.clone().unwrap_or_default(),
                uid: instance.metadata.uid.clone().unwrap_or_default(),
                image,
                replicas,
                durability: spec
                    .replication
                    .as_ref()
                    .and_then(|of| of.durability)
                    .unwrap_or_else(|| durability(replicas)),
                resources,
                pod,
                storage,
                config,
                vouched: rules.vouched,
                auth,
                config_update: spec.update_policy.as_ref().and_then(|policy| policy.config).unwrap_or_default(),
            })
        }
        _ => {
            errors.truncate(FAULT_LIMIT);
            Err(errors)
        }
    }
}

fn keep<T>(result: Result<T, FieldError>, errors: &mut Vec<FieldError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

/// The directives that the annotation names.
fn vouched(metadata: &ObjectMeta) -> Vec<String> {
    let names = metadata.annotations.as_ref().and_then(|annotations| annotations.get(VOUCHED_ANNOTATION));
    names.into_iter().flat_map(|names| names.split(',')).map(|name| name.trim().to_owned()).take(64).collect()
}

fn validate_name(metadata: &ObjectMeta) -> Result<String, FieldError> {
    let name = metadata.name.as_deref().unwrap_or_default();
    if name.len() > NAME_LIMIT {
        return Err(FieldError::too_long("metadata.name", NAME_LIMIT));
    }
    if !syntax::is_dns_1035_label(name) {
        return Err(FieldError::invalid("metadata.name", name, syntax::DNS_1035_LABEL));
    }
    Ok(name.to_owned())
}

fn validate_image(image: Option<&str>) -> Result<ImageReference, FieldError> {
    match image.unwrap_or_default() {
        "" => Err(FieldError::required("spec.image", "")),
        text => ImageReference::parse(text).map_err(|error| FieldError::invalid("spec.image", text, error.to_string())),
    }
}

/// Checks the number of pods alone, as the scale subresource sets it.
///
/// # Errors
/// Why there cannot be so many.
pub fn validate_replicas(replicas: Option<i32>) -> Result<i32, FieldError> {
    let field = "spec.replicas";
    match replicas.unwrap_or(1) {
        few if few < 1 => Err(FieldError::invalid_number(field, few.into(), "must be greater than or equal to 1")),
        many if many > REPLICAS_BOUND => Err(FieldError::invalid_number(
            field,
            many.into(),
            format!("must be less than or equal to {REPLICAS_BOUND}"),
        )),
        replicas => Ok(replicas),
    }
}

/// The error of `failoverAfterSeconds`, if it is out of range.
fn failover_fault(replication: &ReplicationSpec) -> Option<FieldError> {
    let seconds = i64::from(replication.failover_after_seconds?);
    let (least, most) = SILENCE_BOUNDS;
    let why = match u64::try_from(seconds) {
        Ok(many) if many > most => format!("must be less than or equal to {most}"),
        Ok(enough) if enough >= least => return None,
        _ => format!("must be greater than or equal to {least}"),
    };
    Some(FieldError::invalid_number("spec.replication.failoverAfterSeconds", seconds, why))
}

/// With one replica to lose, a primary that waits for it would stand still whenever that one restarts.
const fn durability(replicas: i32) -> Durability {
    if replicas > 2 { Durability::Bounded } else { Durability::Available }
}

fn validate_storage(storage: &StorageSpec, errors: &mut Vec<FieldError>) -> Option<Storage> {
    let class = keep(validate_class(storage.storage_class_name.as_deref()), errors);
    let size = keep(validate_size(storage.size.as_deref()), errors);
    Some(Storage { size: size?, class: class?, retention: storage.retention.unwrap_or_default() })
}

fn validate_size(size: Option<&str>) -> Result<Quantity, FieldError> {
    let field = "spec.storage.size";
    let text = size.unwrap_or("1Gi");
    if text.is_empty() {
        return Err(FieldError::required(field, ""));
    }
    let size = match Quantity::parse(text) {
        Ok(size) => size,
        // More than Kubernetes can count is also more than we allow: one bound, one message.
        Err(QuantityError::OutOfRange) if !text.starts_with('-') => {
            return Err(FieldError::invalid(field, text, TOO_LARGE));
        }
        Err(error) => return Err(FieldError::invalid(field, text, error.to_string())),
    };
    let detail = if size.is_negative() || size.is_zero() {
        "must be greater than zero".to_owned()
    } else if !size.is_whole() {
        format!("fractional byte value {} is invalid, must be an integer", quoted(text))
    } else if size < MIN_SIZE {
        "must be greater than or equal to 1Mi".to_owned()
    } else if size > MAX_SIZE {
        TOO_LARGE.to_owned()
    } else {
        return Ok(size);
    };
    Err(FieldError::invalid(field, text, detail))
}

fn validate_class(class: Option<&str>) -> Result<Option<String>, FieldError> {
    match class {
        Some(class) if !class.is_empty() && !syntax::is_subdomain(class) => {
            Err(FieldError::invalid("spec.storage.storageClassName", class, syntax::SUBDOMAIN))
        }
        class => Ok(class.map(str::to_owned)),
    }
}

fn validate_auth(auth: &AuthSpec, name: Option<&str>) -> Result<Auth, FieldError> {
    let field = "spec.auth.secretName";
    match (auth.enabled.unwrap_or(true), auth.secret_name.as_deref()) {
        (false, None) => Ok(Auth::Disabled),
        (false, Some(_)) => Err(FieldError::forbidden(field, "may not be set when spec.auth.enabled is false")),
        (true, None) => Ok(Auth::Generated),
        (true, Some(secret)) if !syntax::is_subdomain(secret) => {
            Err(FieldError::invalid(field, secret, syntax::SUBDOMAIN))
        }
        // The password Secret is the operator's own child, derived from the user's Secret: it cannot be its own source.
        (true, Some(secret)) if name.is_some_and(|name| secret == super::names::auth_secret(name)) => {
            Err(FieldError::invalid(
                field,
                secret,
                "is the name of the Secret that the operator makes; leave the field out to use it",
            ))
        }
        (true, Some(secret)) => Ok(Auth::Secret(secret.to_owned())),
    }
}
