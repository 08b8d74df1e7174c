//! A proxy between an operator and the API server, which fails on demand: plain HTTP on the loopback in front, whatever
//! `KUBECONFIG` says behind. Knows no test; it keeps the requests, in order.

mod answer;
mod request;

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use http_body_util::BodyExt;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING},
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

use self::answer::{Answer, Audible, BoxError, failure, status, whole};
pub(crate) use self::request::{Asked, Fault};

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
