//! A client that writes numbered keys until it is stopped, remembers which were acknowledged, and checks in the end that
//! all of them can be read.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::cluster::{Place, grows};

/// A command that takes longer is taken to have failed.
const PATIENCE: Duration = Duration::from_millis(500);

/// Time between two acknowledged writes that is reported.
const PAUSE: Duration = Duration::from_millis(200);

/// Time between two acknowledged writes that is printed at once, with the time of day, to be found in the operator's log.
const LONG: Duration = Duration::from_millis(1500);

/// How long a write may be unreadable in the end before it counts as lost.
const RETURN: Duration = Duration::from_secs(10);

/// What a writer saw.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Writes that were answered with OK.
    pub(crate) acknowledged: usize,
    /// Numbers of acknowledged writes that cannot be read in the end.
    pub(crate) lost: Vec<usize>,
    /// The times between two acknowledged writes that were longer than `PAUSE`, in ascending order.
    pub(crate) pauses: Vec<Duration>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, lost, pauses } = self;
        let at = |percent: usize| pauses.get((pauses.len() * percent / 100).min(pauses.len().saturating_sub(1)));
        let [median, p90, longest] = [50, 90, 100].map(|percent| at(percent).copied().unwrap_or_default());
        write!(
            f,
            "{acknowledged} writes, {} lost, {} pauses over {PAUSE:?}: median {median:.2?}, p90 {p90:.2?}, longest {longest:.2?}",
            lost.len(),
            pauses.len()
        )
    }
}

/// A running writer.
pub(crate) struct Writer {
    count: Arc<AtomicU64>,
    stop: oneshot::Sender<()>,
    work: JoinHandle<Outcome>,
}

impl Writer {
    /// Starts to write to the Service of an instance.
    pub(crate) async fn start(place: &Place, instance: &str) -> Self {
        Self::begin(place, instance, place.password(instance).await, false).await
    }

    /// The same with a password that the instance does not have yet.
    pub(crate) async fn start_with(place: &Place, instance: &str, password: &str) -> Self {
        Self::begin(place, instance, password.to_owned(), false).await
    }

    /// The same, counting a write as acknowledged when a replica has it too (`WAIT 1`).
    pub(crate) async fn start_confirmed(place: &Place, instance: &str) -> Self {
        Self::begin(place, instance, place.password(instance).await, true).await
    }

    async fn begin(place: &Place, instance: &str, password: String, confirmed: bool) -> Self {
        let (stop, stopped) = oneshot::channel();
        let service: k8s_openapi::api::core::v1::Service = place.api().get(instance).await.unwrap();
        let address = format!("{}:6379", service.spec.unwrap().cluster_ip.unwrap());
        let count = Arc::new(AtomicU64::new(0));
        let work = tokio::spawn(write(address, password, confirmed, Arc::clone(&count), stopped));
        Self { count, stop, work }
    }

    /// Waits until so many more writes were acknowledged: a client that hangs proves nothing.
    pub(crate) async fn goes_on(&self, more: u64) {
        grows("acknowledged writes", &self.count, more).await;
    }

    /// Ends it and reads back what it wrote.
    pub(crate) async fn stop(self) -> Outcome {
        self.stop.send(()).unwrap();
        self.work.await.unwrap()
    }

    /// Ends it, prints what it saw in this case, and fails if an acknowledged write is lost.
    pub(crate) async fn stop_without_loss(self, case: &str) -> Outcome {
        let outcome = self.stop().await;
        eprintln!("{case}: {outcome}");
        assert!(outcome.lost.is_empty(), "{case}: acknowledged writes are lost: {:?}", outcome.lost);
        outcome
    }
}

async fn write(
    address: String,
    password: String,
    confirmed: bool,
    count: Arc<AtomicU64>,
    mut stopped: oneshot::Receiver<()>,
) -> Outcome {
    let mut client = Client { address, password, stream: None };
    let (mut acknowledged, mut pauses, mut latest) = (Vec::new(), Vec::new(), Instant::now());
    let mut pace = tokio::time::interval(Duration::from_millis(2));
    for number in 0.. {
        if stopped.try_recv().is_ok() {
            break;
        }
        pace.tick().await;
        let written = client.ask(&format!("SET key-{number} {number}")).await.as_deref() == Some("+OK");
        // On another connection than the write's, WAIT would speak of nothing.
        let connected = client.stream.is_some();
        if written && (!confirmed || (connected && client.ask("WAIT 1 400").await.is_some_and(|held| held != ":0"))) {
            acknowledged.push(number);
            count.fetch_add(1, Ordering::Relaxed);
            let pause = latest.elapsed();
            latest = Instant::now();
            if pause > PAUSE {
                pauses.push(pause);
            }
            if pause > LONG {
                eprintln!("no writes for {pause:.2?} until {}", jiff::Timestamp::now());
            }
        }
    }
    let mut lost = Vec::new();
    for number in &acknowledged {
        let expected = format!("${}\r\n{number}", number.to_string().len());
        // The last change may still be closing connections, and the Service may lead nowhere for a moment.
        let (begun, mut pause) = (Instant::now(), tokio::time::interval(Duration::from_millis(10)));
        let mut held = client.ask(&format!("GET key-{number}")).await;
        while held.is_none() && begun.elapsed() < RETURN {
            pause.tick().await;
            held = client.ask(&format!("GET key-{number}")).await;
        }
        if held.as_deref() != Some(expected.as_str()) {
            eprintln!("write {number} reads back as {held:?}");
            lost.push(*number);
        }
    }
    pauses.sort_unstable();
    Outcome { acknowledged: acknowledged.len(), lost, pauses }
}

/// A connection that is made again when it breaks.
struct Client {
    address: String,
    password: String,
    stream: Option<TcpStream>,
}

impl Client {
    /// The answer, or nothing when there was none in time.
    async fn ask(&mut self, command: &str) -> Option<String> {
        let answer = timeout(PATIENCE, self.exchange(command)).await.ok().flatten();
        if answer.is_none() {
            self.stream = None;
        }
        answer
    }

    async fn exchange(&mut self, command: &str) -> Option<String> {
        if self.stream.is_none() {
            let mut stream = TcpStream::connect(&self.address).await.ok()?;
            // With the name of the user, a server without a password takes it too.
            send(&mut stream, &format!("AUTH default {}", self.password)).await?;
            self.stream = Some(stream);
        }
        send(self.stream.as_mut()?, command).await
    }
}

async fn send(stream: &mut TcpStream, command: &str) -> Option<String> {
    stream.write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
    let mut answer = String::new();
    let mut part = [0; 256];
    while !is_whole(&answer) {
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        answer.push_str(std::str::from_utf8(part.get(..read)?).ok()?);
    }
    Some(answer.trim_end().to_owned())
}

fn is_whole(answer: &str) -> bool {
    let lines = answer.matches("\r\n").count();
    if answer.starts_with('$') && !answer.starts_with("$-1") { lines >= 2 } else { lines >= 1 }
}
