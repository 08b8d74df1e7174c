//! A proxy between an operator and the API server, which fails on demand: plain HTTP on the loopback in front, whatever
//! `KUBECONFIG` says behind. Knows no test; what it is asked it keeps, in order.

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

use axum::body::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::{
    Client, Config,
    config::{AuthInfo, KubeConfigOptions},
};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

type Answer = UnsyncBoxBody<Bytes, BoxError>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is done to a request instead of passing it on.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Answered with this status, as the API server would.
    Status(u16),
    /// Told to come back after so many seconds, in a Status.
    Throttled(u32),
    /// The same as priority and fairness says it: a header and a line of text.
    Turned(u32),
    /// Never answered.
    Hang,
    /// The connection is reset.
    Reset,
    /// Passed on and carried out, and then the connection is closed.
    LoseReply,
    /// Passed on, and the answer lacks its end.
    CutReply,
    /// A watch that begins and tells of an error with this code.
    WatchError(u16),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) method: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    /// Name of the object, with the subresource if there is one: `cache/status`.
    pub(crate) name: String,
    pub(crate) watch: bool,
}

impl Asked {
    fn of<B>(request: &Request<B>) -> Self {
        let segments: Vec<&str> = request.uri().path().split('/').filter(|segment| !segment.is_empty()).collect();
        let below = if segments.first() == Some(&"api") { 2 } else { 3 };
        let (namespace, rest) = match segments.get(below..).unwrap_or_default() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        Self {
            at: Instant::now(),
            method: request.method().to_string(),
            namespace: namespace.to_owned(),
            resource: rest.first().copied().unwrap_or_default().to_owned(),
            name: rest.get(1..).unwrap_or_default().join("/"),
            watch: request.uri().query().is_some_and(|query| query.contains("watch=true")),
        }
    }

    /// Whether it could change something.
    pub(crate) fn writes(&self) -> bool {
        self.method != "GET"
    }

    /// Whether it lists or watches all objects of this kind.
    pub(crate) fn reads_all(&self, resource: &str) -> bool {
        self.method == "GET" && self.resource == resource && self.name.is_empty()
    }
}

type Condition = Box<dyn Fn(&Asked) -> bool + Send + Sync>;

struct Armed {
    fault: Fault,
    left: usize,
    when: Condition,
}

struct Line {
    of: Asked,
    dead: Arc<AtomicBool>,
}

struct State {
    upstream: Client,
    armed: Mutex<Vec<Armed>>,
    asked: Mutex<Vec<Asked>>,
    /// Requests and answers under way.
    lines: Mutex<Vec<Line>>,
    frozen: AtomicBool,
    connections: Mutex<JoinSet<()>>,
}

/// The proxy. It ends with the test's runtime.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
    accepting: Mutex<Option<JoinHandle<Infallible>>>,
}

impl Proxy {
    /// Starts it in front of the API server of `KUBECONFIG`. Whoever asks shows a token of his own.
    pub(crate) async fn start() -> Self {
        let mut config = Config::from_kubeconfig(&KubeConfigOptions::default()).await.unwrap();
        config.auth_info = AuthInfo::default();
        config.default_retry = false;
        let state = State {
            upstream: Client::try_from(config).unwrap(),
            armed: Mutex::default(),
            asked: Mutex::default(),
            lines: Mutex::default(),
            frozen: AtomicBool::new(false),
            connections: Mutex::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(state);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { port, state, accepting: Mutex::new(Some(accepting)) }
    }

    /// Where the operator finds it.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Does this to the next `times` requests of which `when` holds. Of several faults the first that fits counts.
    pub(crate) fn fail(&self, fault: Fault, times: usize, when: impl Fn(&Asked) -> bool + Send + Sync + 'static) {
        self.state.armed.lock().unwrap().push(Armed { fault, left: times, when: Box::new(when) });
    }

    /// Passes everything on again.
    pub(crate) fn heal(&self) {
        self.state.armed.lock().unwrap().clear();
    }

    /// What was asked so far, of which this holds.
    pub(crate) fn asked(&self, when: impl Fn(&Asked) -> bool) -> Vec<Asked> {
        self.state.asked.lock().unwrap().iter().filter(|asked| when(asked)).cloned().collect()
    }

    /// From now on nothing more comes on the answers under way of which this holds, though their connections stay open.
    pub(crate) fn silence(&self, when: impl Fn(&Asked) -> bool) -> usize {
        let lines = self.state.lines.lock().unwrap();
        let silenced = lines.iter().filter(|line| Arc::strong_count(&line.dead) > 1 && when(&line.of));
        silenced.map(|line| line.dead.store(true, Relaxed)).count()
    }

    /// From now on nothing comes on any connection, old or new.
    pub(crate) fn freeze(&self) {
        self.state.frozen.store(true, Relaxed);
        self.silence(|_| true);
    }

    /// New requests are passed on again; what was under way stays dead.
    pub(crate) fn thaw(&self) {
        self.state.frozen.store(false, Relaxed);
    }

    /// Closes every connection and refuses new ones.
    pub(crate) async fn leave(&self) {
        let accepting = self.accepting.lock().unwrap().take();
        if let Some(accepting) = accepting {
            accepting.abort();
            drop(accepting.await);
        }
        let mut connections = std::mem::take(&mut *self.state.connections.lock().unwrap());
        connections.shutdown().await;
    }

    /// Is there again, at the same address.
    pub(crate) async fn come_back(&self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        *self.accepting.lock().unwrap() = Some(tokio::spawn(accept(listener, Arc::clone(&self.state))));
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) -> Infallible {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let serving = serve(stream, Arc::clone(&state));
        state.connections.lock().unwrap().spawn(serving);
    }
}

/// Serves one connection to its end.
async fn serve(stream: TcpStream, state: Arc<State>) {
    let reset = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&reset);
    let service = service_fn(move |request| Box::pin(answer(request, Arc::clone(&state), Arc::clone(&flag))));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    drop(poll_fn(|cx| connection.poll_without_shutdown(cx)).await);
    let stream = connection.into_parts().io.into_inner();
    if reset.load(Relaxed) {
        // What is closed so is reset.
        stream.set_zero_linger().unwrap();
    }
}

/// Answers one request; an error closes the connection.
async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
    reset: Arc<AtomicBool>,
) -> Result<Response<Answer>, BoxError> {
    let asked = Asked::of(&request);
    let dead = Arc::new(AtomicBool::new(state.frozen.load(Relaxed)));
    let fault = state.note(&asked, &dead);
    match fault {
        Some(Fault::Status(code)) => return Ok(status(code, None)),
        Some(Fault::Throttled(seconds)) => return Ok(status(429, Some(seconds))),
        Some(Fault::Turned(seconds)) => {
            let answer = Response::builder().status(StatusCode::TOO_MANY_REQUESTS).header(RETRY_AFTER, seconds);
            return Ok(answer.body(whole("Too many requests, please try again later.\n")).unwrap());
        }
        Some(Fault::WatchError(code)) => {
            let event = json!({"type": "ERROR", "object": failure(code, None)});
            return Ok(Response::new(whole(format!("{event}\n"))));
        }
        Some(Fault::Hang) => pending().await,
        Some(Fault::Reset) => {
            reset.store(true, Relaxed);
            return Err("reset".into());
        }
        Some(Fault::LoseReply | Fault::CutReply) | None => {}
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes().to_vec();
    unless(&dead).await;
    let answer = state.upstream.send(Request::from_parts(parts, body.into())).await?;
    unless(&dead).await;
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(TRANSFER_ENCODING);
    match fault {
        Some(Fault::LoseReply) => Err("lost".into()),
        Some(Fault::CutReply) => {
            let all = body.collect().await?.to_bytes();
            parts.headers.remove(CONTENT_LENGTH);
            Ok(Response::from_parts(parts, whole(all.slice(..all.len().saturating_sub(9)))))
        }
        _ => Ok(Response::from_parts(
            parts,
            Audible { body: body.map_err(Into::into).boxed_unsync(), dead }.boxed_unsync(),
        )),
    }
}

impl State {
    /// Keeps what was asked, and says what is to be done to it.
    fn note(&self, asked: &Asked, dead: &Arc<AtomicBool>) -> Option<Fault> {
        self.asked.lock().unwrap().push(asked.clone());
        let mut lines = self.lines.lock().unwrap();
        lines.retain(|line| Arc::strong_count(&line.dead) > 1);
        lines.push(Line { of: asked.clone(), dead: Arc::clone(dead) });
        let mut armed = self.armed.lock().unwrap();
        let fits = armed.iter_mut().find(|armed| armed.left > 0 && (armed.when)(asked))?;
        fits.left -= 1;
        Some(fits.fault.clone())
    }
}

/// Waits for ever on a dead line.
async fn unless(dead: &AtomicBool) {
    if dead.load(Relaxed) {
        pending::<()>().await;
    }
}

fn status(code: u16, retry_after: Option<u32>) -> Response<Answer> {
    let mut answer = Response::builder().status(code).header(CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        answer = answer.header(RETRY_AFTER, seconds);
    }
    answer.body(whole(failure(code, retry_after).to_string())).unwrap()
}

/// A Status as the API server writes it.
fn failure(code: u16, retry_after: Option<u32>) -> serde_json::Value {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let details = retry_after.map_or_else(|| json!({}), |seconds| json!({ "retryAfterSeconds": seconds }));
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": format!("{reason} on purpose"), "details": details})
}

fn whole(text: impl Into<Bytes>) -> Answer {
    Full::new(text.into()).map_err(|never| -> BoxError { match never {} }).boxed_unsync()
}

/// A body on which nothing comes any more once its line is dead.
struct Audible {
    body: Answer,
    dead: Arc<AtomicBool>,
}

impl Body for Audible {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = pin!(&mut self.body).poll_frame(cx);
        if self.dead.load(Relaxed) { Poll::Pending } else { frame }
    }
}
