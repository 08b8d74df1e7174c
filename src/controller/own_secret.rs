//! The Secret that the pods of an instance mount: whose it is, what it says, and how it is written. Which password it is to have
//! is not its business.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    runtime::reflector::ObjectRef,
};

use super::{
    adoption, apply,
    context::Context,
    error::Error,
    observe::{self, Whose},
    ownership::{is_controlled_by, is_labelled_orphan, is_orphan, obstacle, unneeded_secret},
    stop::Stop,
};
use crate::{
    build::{auth_secret, auth_secret_with},
    domain::{
        auth::Password,
        instance::ValidatedInstance,
        names::{
            self, AUTH_CONF_KEY, FORMER_PASSWORD_KEY, FORMER_UNTIL_ANNOTATION, INSTANCE_LABEL, OPERATOR, PASSWORD_KEY,
        },
        rotation::{Former, Keys},
        status::Finding,
        validate::REPLICAS_BOUND,
    },
};

/// What stands in the way of using this Secret as the instance's; `None` when it is, or is to be taken over.
pub(super) fn hindrance(live: &Secret, instance: &ValidatedInstance, context: &Context) -> Option<Finding> {
    let found = obstacle("Secret", &live.metadata, instance);
    found.or_else(|| {
        let usable = is_usable(&live.metadata, observe::of(instance), context);
        (!usable).then(|| unneeded_secret(&live.name_any()))
    })
}

/// Whether what this Secret says is the instance's password.
pub(super) fn is_usable(metadata: &ObjectMeta, whose: Whose<'_>, context: &Context) -> bool {
    let (namespace, name, uid) = whose;
    if is_controlled_by(metadata, uid) {
        return true;
    }
    let claims = claim_uids(namespace, name, context);
    let set = context.stores.stateful_sets.glance(&ObjectRef::new(name).within(namespace));
    let begun = set.is_some_and(|set| is_controlled_by(set.meta(), uid));
    is_labelled_orphan(metadata, name) && is_needed(metadata, &claims, || observe::has_pods(whose, context), begun)
}

/// The uids of the claims of all pods that an instance of this name may have.
fn claim_uids(namespace: &str, name: &str, context: &Context) -> BTreeSet<String> {
    let claim = |ordinal| context.stores.claims.glance(&ObjectRef::new(&names::claim(name, ordinal)).within(namespace));
    let ours = (0..REPLICAS_BOUND).filter_map(claim);
    ours.filter(|claim| claim.labels().get(INSTANCE_LABEL).is_some_and(|label| label == name))
        .filter_map(|claim| claim.uid())
        .collect()
}

/// Whether an instance needs the password of a Secret that nobody controls any more: with its claims or pods it was left behind by
/// an instance of this name, from which this one goes on. One whose StatefulSet is its own already has taken over what there was.
fn is_needed(metadata: &ObjectMeta, claims: &BTreeSet<String>, has_pods: impl FnOnce() -> bool, begun: bool) -> bool {
    let is_of_claim = metadata.owner_references.iter().flatten().any(|owner| claims.contains(&owner.uid));
    is_of_claim || (!begun && (!claims.is_empty() || has_pods()))
}

/// What a Secret says: a server that starts takes the lines, whatever the password beside them. What a Secret that nobody controls
/// says of a former password does not count.
pub(super) fn read(secret: &Secret) -> Option<Keys> {
    let included = bytes(secret, AUTH_CONF_KEY).and_then(Password::of_conf);
    let current = included.or_else(|| Password::parse(bytes(secret, PASSWORD_KEY)).ok())?;
    let former = Password::parse(bytes(secret, FORMER_PASSWORD_KEY)).ok().filter(|_| !is_orphan(&secret.metadata));
    let former = former.map(|password| {
        let until = secret.annotations().get(FORMER_UNTIL_ANNOTATION).and_then(|until| until.parse().ok());
        // Nobody can tell until when: then it has been long enough.
        Former { password, until: until.unwrap_or(Timestamp::MIN) }.bounded(Timestamp::now())
    });
    Some(Keys { current, former })
}

pub(super) fn bytes<'a>(secret: &'a Secret, key: &str) -> Option<&'a [u8]> {
    secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice())
}

/// Creates the Secret; answers the one that is there already.
pub(super) async fn create(
    instance: &ValidatedInstance,
    keys: &Keys,
    context: &Context,
) -> Result<Option<Secret>, Error> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &instance.namespace);
    let name = instance.auth_secret();
    let secret = apply::stamped(auth_secret(instance, keys))?;
    let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
    match api.create(&params, &secret).await {
        Ok(_) => {
            tracing::info!(kind = "Secret", child = name, "created");
            Ok(None)
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            api.get(&name).await.map(Some).map_err(Error::request("get", "Secret", &name))
        }
        Err(error) => Err(Error::request("create", "Secret", &name)(error)),
    }
}

/// Brings the Secret to just these lines for redis.conf, with `password` under the key of that name.
pub(super) async fn write(
    instance: &ValidatedInstance,
    keys: &Keys,
    password: &Password,
    live: &Secret,
    context: &Context,
) -> Result<(), Stop> {
    if let Some(finding) = hindrance(live, instance, context) {
        return Err(finding.into());
    }
    let desired = auth_secret_with(instance, keys, password);
    let cleared;
    let live = if keys.former.is_none() && tells_of_former(live) {
        adoption::check("Secret", &live.metadata, instance, context).await?;
        cleared = clear(instance, live, context).await?;
        &cleared
    } else {
        live
    };
    apply::ensure(instance, desired, Some(live), context).await.map(drop)
}

fn tells_of_former(secret: &Secret) -> bool {
    bytes(secret, FORMER_PASSWORD_KEY).is_some() || secret.annotations().contains_key(FORMER_UNTIL_ANNOTATION)
}

/// Takes away what the Secret says of a former password, also where somebody else wrote it: of that an apply takes nothing away.
async fn clear(instance: &ValidatedInstance, live: &Secret, context: &Context) -> Result<Secret, Error> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &instance.namespace);
    let name = instance.auth_secret();
    let patch = serde_json::json!({
        "metadata": {
            "uid": live.uid(),
            "resourceVersion": live.resource_version(),
            "annotations": {FORMER_UNTIL_ANNOTATION: null},
        },
        "data": {FORMER_PASSWORD_KEY: null},
    });
    let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    api.patch(&name, &params, &Patch::Merge(patch)).await.map_err(Error::request("patch", "Secret", &name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn secret(owners: &Value) -> Secret {
        serde_json::from_value(json!({
            "metadata": {"name": "cache-auth", "ownerReferences": owners,
                "annotations": {FORMER_UNTIL_ANNOTATION: "9999-01-01T00:00:00Z"}},
            "data": {"password": "Yw==", "former-password": "Yg==",
                "auth.conf": "cmVxdWlyZXBhc3MgImEiCnVzZXIgZXZpbCBvbiBub3Bhc3MgfiogJiogK0BhbGwK"},
        }))
        .unwrap()
    }

    fn owner(kind: &str, uid: &str, controls: bool) -> Value {
        json!([{"apiVersion": "v1", "kind": kind, "name": "x", "uid": uid, "controller": controls}])
    }

    #[test]
    fn a_secret_that_nobody_owns_is_used_only_where_an_instance_left_claims_or_pods() {
        let needed = |owners: &Value, claims: &[&str], has_pods: bool, begun: bool| {
            let claims = claims.iter().map(|uid| (*uid).to_owned()).collect();
            is_needed(&secret(owners).metadata, &claims, || has_pods, begun)
        };
        let (nobody, claim) = (json!([]), owner("PersistentVolumeClaim", "claim", false));
        assert!(!needed(&nobody, &[], false, false), "planted before the instance");
        assert!(!needed(&claim, &[], false, false), "the claim is another's");
        assert!(needed(&nobody, &["claim"], false, false), "left with the volume");
        assert!(needed(&nobody, &[], true, false), "left with the pods");
        assert!(!needed(&nobody, &["claim"], true, true), "planted in an instance that runs without a password");
        assert!(needed(&claim, &["claim"], true, true), "kept by the volume");
    }

    #[test]
    fn a_former_password_counts_in_a_secret_of_the_instance_alone_and_for_a_day() {
        let former = |owners: &Value| read(&secret(owners)).unwrap().former;
        assert_eq!(former(&json!([])), None);
        assert_eq!(former(&owner("PersistentVolumeClaim", "claim", false)), None);
        let until = former(&owner("RedisInstance", "uid", true)).unwrap().until;
        assert!(until <= Timestamp::now().checked_add(crate::domain::rotation::LONGEST_OVERLAP).unwrap(), "{until}");
    }

    #[test]
    fn what_is_written_includes_none_of_the_lines_that_somebody_else_wrote() {
        let instance = crate::domain::instance::tests::validated(json!({}));
        let keys = read(&secret(&json!([]))).unwrap();
        let another = Password::parse(Some(b"c")).unwrap();
        let written = auth_secret_with(&instance, &keys, &another);
        assert_eq!(bytes(&written, AUTH_CONF_KEY).unwrap(), keys.current.conf().as_bytes());
        assert_eq!(keys.current.as_bytes(), b"a");
        assert_eq!(bytes(&written, PASSWORD_KEY).unwrap(), b"c", "the wish of a user stays");
    }
}
