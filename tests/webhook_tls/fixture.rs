//! A certificate authority, a Secret volume as the kubelet keeps it, a server and its clients.
//! It must not know what the server is asked.

use std::{
    net::SocketAddr,
    os::unix::fs::symlink,
    path::Path,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use axum::Router;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use redis_operator::{
    health::Health,
    metrics::Metrics,
    webhook::{
        certificate::{CertificateFiles, ServingCertificate},
        server::{Limits, ServerError, ServerSettings, bind},
    },
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
    runtime::Handle,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

/// Long enough that only a condition that never comes true exceeds it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `condition`, and says what was missing when it does not come.
pub(crate) async fn within<T>(what: &str, condition: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, condition).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// A process in which nothing was reported yet.
pub(crate) fn well() -> Health {
    Health::new(std::time::Instant::now())
}

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A leaf for `localhost` and its key.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) leaf: CertificateDer<'static>,
}

impl Issued {
    /// A line of the key, to look for where none must be.
    pub(crate) fn secret(&self) -> &str {
        self.key.lines().nth(1).expect("a line of the key")
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("a CA") }
    }

    pub(crate) fn issue(&self) -> Issued {
        self.issue_until(2100)
    }

    /// A certificate that expires when this year begins.
    pub(crate) fn issue_until(&self, year: i32) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_after = date_time_ymd(year, 1, 1);
        let leaf = params.signed_by(&key, &self.issuer).expect("a leaf");
        Issued { certificate: leaf.pem(), key: key.serialize_pem(), leaf: leaf.der().clone() }
    }

    /// A client that trusts this authority and offers `protocols`.
    pub(crate) fn client(&self, protocols: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("the CA is a trust anchor");
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// A mounted Secret: `tls.crt -> ..data/tls.crt`, where `..data` is a symlink to a directory that is never changed.
pub(crate) struct Volume {
    directory: TempDir,
    issues: u32,
}

impl Volume {
    pub(crate) fn new() -> Self {
        LazyLock::force(&LOG);
        let directory = TempDir::new().expect("a directory");
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), directory.path().join(name)).expect("a link");
        }
        Self { directory, issues: 0 }
    }

    /// The lines logged about these files.
    pub(crate) fn log(&self) -> Vec<String> {
        let path = self.directory.path().display().to_string();
        let log = LOG.0.lock().unwrap();
        let log = String::from_utf8_lossy(&log);
        let ours = log.lines().filter(|line| line.contains(&path));
        ours.map(str::to_owned).collect()
    }

    pub(crate) fn files(&self) -> CertificateFiles {
        CertificateFiles {
            certificate: self.directory.path().join("tls.crt"),
            key: self.directory.path().join("tls.key"),
        }
    }

    /// The kubelet's steps: a new directory, a new link beside `..data`, one rename over it, the old directory removed.
    pub(crate) fn publish(&mut self, certificate: &str, key: &str) {
        let root = self.directory.path();
        let old = root.join(format!("..issue-{}", self.issues));
        self.issues += 1;
        let name = format!("..issue-{}", self.issues);
        let new = root.join(&name);
        std::fs::create_dir(&new).expect("a directory");
        std::fs::write(new.join("tls.crt"), certificate).expect("a file");
        std::fs::write(new.join("tls.key"), key).expect("a file");
        symlink(&name, root.join("..data_tmp")).expect("a link");
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).expect("a swap");
        if old.exists() {
            std::fs::remove_dir_all(old).expect("the old directory removed");
        }
    }
}

/// A server on a free port of the loopback interface.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Metrics,
    pub(crate) authority: Authority,
    pub(crate) volume: Volume,
    /// The leaf that was first served.
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    pub(crate) async fn start(router: Router, limits: Limits) -> Self {
        let (authority, metrics) = (Authority::new(), Metrics::new());
        let mut volume = Volume::new();
        let issued = authority.issue();
        volume.publish(&issued.certificate, &issued.key);
        let certificate =
            ServingCertificate::load(volume.files(), metrics.webhooks.clone(), well()).await.expect("a certificate");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let bound = bind(ServerSettings { address, limits }, &certificate).expect("a port");
        let address = bound.local_address();
        let shutdown = CancellationToken::new();
        let watched = shutdown.clone();
        tokio::spawn(async move { certificate.watch(Duration::from_millis(5), watched).await });
        let (counting, stopping) = (metrics.clone(), shutdown.clone());
        let serving = tokio::spawn(async move { bound.serve(router, &counting, Handle::current(), stopping).await });
        Self { address, metrics, authority, volume, leaf: issued.leaf, shutdown, serving }
    }

    /// The value of a metric's series, given as it is shown.
    pub(crate) fn counted(&self, series: &str) -> f64 {
        let shown = self.metrics.exposition().expect("the metrics");
        let value = shown.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {series} in {shown}"))
    }

    /// A TLS connection that has said nothing yet.
    pub(crate) async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_with(&self.authority.client(&[b"http/1.1"])).await
    }

    pub(crate) async fn connect_with(&self, client: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        client.connect(name, stream).await
    }

    /// The certificate that a new connection is shown.
    pub(crate) async fn shown(&self) -> CertificateDer<'static> {
        let connection = self.connect().await.expect("a connection");
        peer(&connection)
    }

    /// One POST over a connection of its own.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<(StatusCode, Bytes), String> {
        let connection = self.connect().await.map_err(|error| error.to_string())?;
        let mut sender = http(connection).await?;
        send(&mut sender, path, body).await
    }
}

pub(crate) fn peer(connection: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let (_, session) = connection.get_ref();
    let chain = session.peer_certificates().expect("the server shows a certificate");
    chain.first().expect("a leaf").clone().into_owned()
}

/// An HTTP/1.1 client on an open connection.
pub(crate) async fn http(connection: TlsStream<TcpStream>) -> Result<SendRequest<Full<Bytes>>, String> {
    let (sender, driver) =
        hyper::client::conn::http1::handshake(TokioIo::new(connection)).await.map_err(|error| error.to_string())?;
    tokio::spawn(driver);
    Ok(sender)
}

pub(crate) async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    path: &str,
    body: impl Into<Bytes>,
) -> Result<(StatusCode, Bytes), String> {
    let exchange = async {
        sender.ready().await?;
        let request = Request::post(path).header("host", "localhost").body(Full::new(body.into())).expect("a request");
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok::<_, hyper::Error>((status, response.into_body().collect().await?.to_bytes()))
    };
    within("an answer to a request", exchange).await.map_err(|error| error.to_string())
}

/// Reads until the server closes the connection, and returns what it said before.
pub(crate) async fn until_closed(what: &str, mut stream: impl AsyncRead + Unpin) -> String {
    let mut said = Vec::new();
    // A reset or a missing TLS farewell is an end as well.
    drop(within(what, stream.read_to_end(&mut said)).await);
    String::from_utf8_lossy(&said).into_owned()
}

/// Everything that this process logs. It is taken for all threads at once, because `tracing` settles for the whole
/// process, at the first use of a log statement, whether anybody listens to it.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false);
    subscriber.with_writer(move || writer.clone()).init();
    log
});

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
