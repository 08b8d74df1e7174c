//! Derives kind and verb of a request to the API server from its method, path and headers, like `RequestInfo` of the
//! apiserver.

use axum::http::{HeaderMap, Method, Uri, header::CONTENT_TYPE};

use crate::metrics::{Kind, Verb};

/// The resources that are asked for, by their names in paths.
const KINDS: [(&str, Kind); 12] = [
    ("redisinstances", Kind::RedisInstance),
    ("configmaps", Kind::ConfigMap),
    ("secrets", Kind::Secret),
    ("services", Kind::Service),
    ("statefulsets", Kind::StatefulSet),
    ("pods", Kind::Pod),
    ("persistentvolumeclaims", Kind::PersistentVolumeClaim),
    ("poddisruptionbudgets", Kind::PodDisruptionBudget),
    ("events", Kind::Event),
    ("leases", Kind::Lease),
    ("mutatingwebhookconfigurations", Kind::MutatingWebhookConfiguration),
    ("validatingwebhookconfigurations", Kind::ValidatingWebhookConfiguration),
];

/// Returns kind and verb of a request.
pub(super) fn asked(method: &Method, uri: &Uri, headers: &HeaderMap) -> (Kind, Verb) {
    let (kind, named) = object(uri.path());
    let watches = || uri.query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"));
    let applies =
        || headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/apply-patch"));
    let verb = match *method {
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::DELETE => Verb::Delete,
        Method::PATCH if applies() => Verb::Apply,
        Method::PATCH => Verb::Patch,
        _ if watches() => Verb::Watch,
        _ if named => Verb::Get,
        _ => Verb::List,
    };
    (kind, verb)
}

/// The kind in a path, and whether one object of it is named.
fn object(path: &str) -> (Kind, bool) {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (["api", _, resource @ ..] | ["apis", _, _, resource @ ..]) = segments.as_slice() else {
        return (Kind::Other, false);
    };
    let resource = match resource {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    let kind = |plural: &str| KINDS.iter().find(|(name, _)| *name == plural).map_or(Kind::Other, |(_, kind)| *kind);
    match resource {
        [plural] => (kind(plural), false),
        [plural, _] => (kind(plural), true),
        ["redisinstances", _, "status"] => (Kind::RedisInstanceStatus, true),
        _ => (Kind::Other, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_verb_are_read_off_the_request() {
        let at = |method, path: &str, content: &'static str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, content.parse().unwrap())]);
            let (kind, verb) = asked(&method, &path.parse().unwrap(), &headers);
            (kind.word(), verb.word())
        };
        let json = "application/json";
        let apply = "application/apply-patch+yaml";
        let ours = "/apis/redis.github.com/v1/namespaces/shop/redisinstances";
        assert_eq!(at(Method::GET, "/api/v1/pods?limit=500&labelSelector=a", json), ("Pod", "list"));
        assert_eq!(at(Method::GET, "/api/v1/pods?watch=true&timeoutSeconds=60", json), ("Pod", "watch"));
        assert_eq!(at(Method::GET, "/api/v1/namespaces/shop/secrets/a-auth", json), ("Secret", "get"));
        assert_eq!(at(Method::POST, "/api/v1/namespaces/shop/services?fieldManager=x", json), ("Service", "create"));
        assert_eq!(at(Method::PATCH, "/apis/apps/v1/namespaces/shop/statefulsets/a", apply), ("StatefulSet", "apply"));
        assert_eq!(at(Method::PATCH, "/apis/apps/v1/namespaces/shop/statefulsets/a", json), ("StatefulSet", "patch"));
        assert_eq!(at(Method::DELETE, "/apis/apps/v1/namespaces/shop/statefulsets/a", json), ("StatefulSet", "delete"));
        assert_eq!(at(Method::PATCH, &format!("{ours}/a/status"), apply), ("RedisInstance/status", "apply"));
        assert_eq!(at(Method::GET, &format!("{ours}/a"), json), ("RedisInstance", "get"));
        assert_eq!(at(Method::GET, "/api/v1/namespaces/shop", json), ("other", "get"));
        assert_eq!(at(Method::POST, "/api/v1/namespaces/shop/pods/a/exec", json), ("other", "create"));
        assert_eq!(at(Method::GET, "/version", json), ("other", "list"));
        assert_eq!(at(Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", json), ("Lease", "update"));
    }
}
