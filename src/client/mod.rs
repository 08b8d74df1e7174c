//! The client for the API server: timeouts, metrics of each request, and liveness of the watches. Independent of the
//! purpose of a request; the caller decides about retries.

mod asked;
mod fence;
mod pulse;
mod retry_after;
mod shortened;

use std::{
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{Request, Response};
use futures::{
    FutureExt,
    future::{BoxFuture, ready},
};
use http_body_util::BodyExt;
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, DynBody},
};
use tower::{BoxError, Layer, Service};

use self::fence::NotLeading;
pub use self::pulse::Pulse;
use crate::{
    lease::Leadership,
    metrics::{Kind, Outcome, RequestMetrics, Verb},
};

/// The longest silence on a connection that is waited on. The API server ends a watch after 60 s and says so, and answers
/// all else sooner; 5 s more, as kube allows a watch that is open. Without it a request on a connection that died
/// unnoticed, the opening of a watch among them, would wait for the quarter of an hour that TCP does.
const SILENCE: Duration = Duration::from_secs(65);

/// A client that counts what it asks and what it is answered, and that writes only while `leadership` is held.
///
/// # Errors
/// When the configuration names something that is not there or cannot be read.
pub fn connect(
    mut config: Config,
    metrics: RequestMetrics,
    pulse: Pulse,
    leadership: Leadership,
) -> Result<Client, kube::Error> {
    config.read_timeout = Some(SILENCE);
    // Else the time that a connection was idle would count against the next answer on it.
    config.reset_reader_on_write = true;
    // Retries in the client would occupy the reconcile for minutes without any visible cause.
    config.default_retry = false;
    Ok(ClientBuilder::try_from(config)?.with_layer(&Observed { metrics, pulse, leadership }).build())
}

/// Looks at each request and its answer.
struct Observed {
    metrics: RequestMetrics,
    pulse: Pulse,
    leadership: Leadership,
}

impl<S> Layer<S> for Observed {
    type Service = Observing<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Observing {
            inner,
            metrics: self.metrics.clone(),
            pulse: self.pulse.clone(),
            leadership: self.leadership.clone(),
        }
    }
}

struct Observing<S> {
    inner: S,
    metrics: RequestMetrics,
    pulse: Pulse,
    leadership: Leadership,
}

type Answer = Response<Box<DynBody>>;

impl<S> Service<Request<Body>> for Observing<S>
where
    S: Service<Request<Body>, Response = Answer, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (kind, verb) = asked::asked(request.method(), request.uri(), request.headers());
        let writes = !matches!(verb, Verb::Get | Verb::List | Verb::Watch);
        if writes && !self.leadership.is_held() {
            return ready(Err(NotLeading.into())).boxed();
        }
        let (pending, pulse) = (self.metrics.sent(kind, verb), self.pulse.clone());
        let fence = writes.then(|| self.leadership.clone());
        let answer = fence::held(fence, self.inner.call(request));
        async move {
            let answer = answer.await;
            let outcome = answer.as_ref().map_or(Outcome::Unreachable, |answer| Outcome::of(answer.status().as_u16()));
            pending.answered(outcome);
            if matches!(verb, Verb::List | Verb::Watch) {
                pulse.answered(kind, verb, outcome);
            }
            let answer = retry_after::spelled_out(answer?).await;
            Ok(match verb {
                Verb::Watch => felt(answer, kind, pulse),
                Verb::List if outcome == Outcome::Ok => shortened(answer),
                _ => answer,
            })
        }
        .boxed()
    }
}

/// The answer to a list, with its large objects shortened.
fn shortened(answer: Answer) -> Answer {
    let mut shortener = shortened::Shortener::default();
    answer.map(|body| {
        let body = body.map_frame(move |frame| frame.map_data(|part| shortener.pass(&part).into()));
        Box::new(body) as Box<DynBody>
    })
}

/// The answer to a watch, each piece of which is a sign of life.
fn felt(answer: Answer, kind: Kind, pulse: Pulse) -> Answer {
    let broken = pulse.clone();
    answer.map(|body| {
        let body = body.map_frame(move |frame| {
            pulse.moved(kind);
            frame
        });
        let body = body.map_err(move |error| {
            broken.answered(kind, Verb::Watch, Outcome::Unreachable);
            error
        });
        Box::new(body) as Box<DynBody>
    })
}

#[cfg(test)]
mod tests {
    use axum::{body::Bytes, http::StatusCode};
    use http_body_util::Full;
    use hyper::body::Frame;
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::{health::Health, metrics::Metrics};

    fn answered(status: u16, text: &'static str) -> Answer {
        let body = Full::from(text).map_err(|never| -> BoxError { match never {} });
        Response::builder().status(status).body(Box::new(body) as Box<DynBody>).unwrap()
    }

    #[tokio::test]
    async fn every_answer_is_counted_and_so_is_none() {
        let metrics = Metrics::new();
        let pulse = Pulse::new(Health::new(std::time::Instant::now()));
        let layer = Observed { metrics: metrics.requests.clone(), pulse, leadership: Leadership::alone() };
        let server = layer.layer(service_fn(async |request: Request<Body>| match request.uri().path() {
            "/api/v1/pods" => Ok(answered(200, "{}")),
            "/api/v1/services" => Ok(answered(403, "{}")),
            "/api/v1/secrets" => Err("no route".into()),
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

    #[tokio::test]
    async fn a_large_object_of_a_list_is_shortened_and_one_that_is_asked_for_is_not() {
        let pulse = Pulse::new(Health::new(std::time::Instant::now()));
        let layer = Observed { metrics: Metrics::new().requests, pulse, leadership: Leadership::alone() };
        let mut server = layer
            .layer(service_fn(async |_: Request<Body>| {
                let data = "x".repeat(900_000);
                let list = serde_json::json!({"items": [{"metadata": {"name": "a"}, "data": {"x": data}}]}).to_string();
                let body = Full::from(list).map_err(|never| -> BoxError { match never {} });
                Ok(Response::new(Box::new(body) as Box<DynBody>))
            }))
            .boxed();
        for (path, is_short) in [("/api/v1/configmaps?limit=100", true), ("/api/v1/namespaces/a/configmaps/b", false)] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let answer = server.ready().await.unwrap().call(request).await.unwrap();
            let length = answer.into_body().collect().await.unwrap().to_bytes().len();
            assert_eq!(length < 1000, is_short, "{path}: {length} bytes");
        }
    }

    #[tokio::test]
    async fn one_who_does_not_lead_reads_and_does_not_write() {
        let pulse = Pulse::new(Health::new(std::time::Instant::now()));
        let layer = Observed { metrics: Metrics::new().requests, pulse, leadership: Leadership::contended() };
        let mut server = layer.layer(service_fn(async |_: Request<Body>| Ok(answered(200, "{}")))).boxed();
        let path = "/api/v1/namespaces/shop/pods/cache-0";
        for (method, answered) in [("GET", true), ("DELETE", false), ("PATCH", false), ("PUT", false), ("POST", false)]
        {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            assert_eq!(server.ready().await.unwrap().call(request).await.is_ok(), answered, "{method}");
        }
    }

    #[tokio::test]
    async fn a_watch_shows_life_with_each_piece_and_breaks_with_an_error() {
        let health = Health::new(std::time::Instant::now());
        let pulse = Pulse::new(health.clone());
        let mut reopened = pulse.reopened();
        let layer = Observed { metrics: Metrics::new().requests, pulse, leadership: Leadership::alone() };
        let mut server = layer
            .layer(service_fn(async |request: Request<Body>| match request.uri().path() {
                "/api/v1/pods" => {
                    let frames = ["one", "two"]
                        .map(|text| Ok(Frame::data(Bytes::from(text))))
                        .into_iter()
                        .chain([Err(BoxError::from("reset"))]);
                    let body = http_body_util::StreamBody::new(futures::stream::iter(frames));
                    Ok(Response::new(Box::new(body) as Box<DynBody>))
                }
                _ => Ok::<_, BoxError>(answered(503, "")),
            }))
            .boxed();
        let watch = || Request::get("/api/v1/pods?watch=true").body(Body::empty()).unwrap();
        let answer = server.ready().await.unwrap().call(watch()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(!reopened.has_changed().unwrap(), "it had not been broken");
        assert!(answer.into_body().collect().await.is_err());
        drop(server.ready().await.unwrap().call(watch()).await);
        assert!(reopened.has_changed().unwrap(), "opened after it was broken");
        reopened.mark_unchanged();
        drop(server.ready().await.unwrap().call(watch()).await);
        assert!(!reopened.has_changed().unwrap(), "once");
    }
}
