//! The client for the API server: what is counted of each request. Reads method and path only; it must not know what a
//! request is for.

use std::task::{Context, Poll};

use axum::http::{HeaderMap, Method, Request, Response, Uri, header::CONTENT_TYPE};
use futures::{FutureExt, future::BoxFuture};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tower::{Layer, Service};

use crate::metrics::{Kind, Outcome, RequestMetrics, Verb};

/// The resources that are asked for, by their names in paths.
const KINDS: [(&str, Kind); 8] = [
    ("redisinstances", Kind::RedisInstance),
    ("configmaps", Kind::ConfigMap),
    ("secrets", Kind::Secret),
    ("services", Kind::Service),
    ("statefulsets", Kind::StatefulSet),
    ("pods", Kind::Pod),
    ("persistentvolumeclaims", Kind::PersistentVolumeClaim),
    ("events", Kind::Event),
];

/// A client that counts what it asks and what it is answered.
///
/// # Errors
/// When the configuration names something that is not there or cannot be read.
pub fn connect(config: Config, metrics: RequestMetrics) -> Result<Client, kube::Error> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&Counted { metrics }).build())
}

/// Counts requests.
struct Counted {
    metrics: RequestMetrics,
}

impl<S> Layer<S> for Counted {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counting { inner, metrics: self.metrics.clone() }
    }
}

struct Counting<S> {
    inner: S,
    metrics: RequestMetrics,
}

impl<S, B> Service<Request<Body>> for Counting<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (kind, verb) = asked(request.method(), request.uri(), request.headers());
        let pending = self.metrics.sent(kind, verb);
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await;
            let outcome = answer.as_ref().map_or(Outcome::Unreachable, |answer| Outcome::of(answer.status().as_u16()));
            pending.answered(outcome);
            answer
        }
        .boxed()
    }
}

/// What a request is about, and what it asks for.
fn asked(method: &Method, uri: &Uri, headers: &HeaderMap) -> (Kind, Verb) {
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
    use axum::body::Body as Answer;
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn every_answer_is_counted_and_so_is_none() {
        let metrics = Metrics::new();
        let layer = Counted { metrics: metrics.requests.clone() };
        let server = layer.layer(service_fn(async |request: Request<Body>| match request.uri().path() {
            "/api/v1/pods" => Ok(Response::new(Answer::empty())),
            "/api/v1/services" => Ok(Response::builder().status(403).body(Answer::empty()).unwrap()),
            "/api/v1/secrets" => Err(std::io::Error::other("no route")),
            _ => std::future::pending().await,
        }));
        let mut server = server.boxed();
        let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
        for path in ["/api/v1/pods", "/api/v1/services", "/api/v1/secrets"] {
            drop(server.ready().await.unwrap().call(get(path)).await);
        }
        drop(server.ready().await.unwrap().call(get("/api/v1/configmaps")));
        let shown = metrics.exposition().unwrap();
        for (kind, result) in
            [("Pod", "ok"), ("Service", "forbidden"), ("Secret", "unreachable"), ("ConfigMap", "unreachable")]
        {
            let line =
                format!("redis_operator_api_requests_total{{kind=\"{kind}\",verb=\"list\",result=\"{result}\"}} 1\n");
            assert!(shown.contains(&line), "no {line} in {shown}");
        }
    }

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
        assert_eq!(at(Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", json), ("other", "update"));
    }
}
