//! The operator as a process of the test's own, to be killed at will. Knows no cluster but what `KUBECONFIG` names.

use std::{
    env,
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    account::{ACCOUNT, account, token},
    cluster::{Place, eventually},
};

/// A running operator. Dropping it kills it with SIGKILL, as a node that dies would.
pub(crate) struct Operator {
    process: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
    /// Port of the webhooks, on the loopback.
    pub(crate) webhook_port: u16,
    /// Port of probes and metrics, on the loopback.
    pub(crate) admin_port: u16,
    /// Its name to the API server.
    pub(crate) user: String,
    /// What it shows the API server to prove it.
    pub(crate) token: String,
}

/// How an operator is started.
pub(crate) struct Launch<'a> {
    /// PEM; nothing: it serves no webhook.
    pub(crate) certificate: &'a str,
    pub(crate) key: &'a str,
    /// Where it finds the API server, if not where the test does.
    pub(crate) server: Option<String>,
    pub(crate) log_filter: &'a str,
    /// More of the command line; nothing: it runs without leader election.
    pub(crate) arguments: Vec<String>,
    /// The namespaces that its account may do something in; none: all.
    pub(crate) namespaces: Vec<&'a str>,
}

impl Default for Launch<'_> {
    fn default() -> Self {
        Self {
            certificate: "",
            key: "",
            server: None,
            log_filter: "info",
            arguments: Vec::new(),
            namespaces: Vec::new(),
        }
    }
}

/// `OPERATOR_PROGRAM`, as `just bench` names what the image ships; else the one that was built along with the tests.
fn program() -> OsString {
    env::var_os("OPERATOR_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_redis-operator").into())
}

/// The environment that the image gives the program: what is measured and tested is what is deployed.
fn of_the_image() -> Vec<(String, String)> {
    let dockerfile = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Dockerfile")).unwrap();
    let variables = dockerfile.lines().filter_map(|line| line.strip_prefix("ENV ")?.split_once('='));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Operator {
    /// Starts the operator with this certificate (PEM) and key, without waiting for anything.
    pub(crate) async fn start(place: &Place, certificate: &str, key: &str) -> Self {
        Self::launch(place, Launch { certificate, key, ..Launch::default() }).await
    }

    /// Starts the operator without a certificate: it reconciles and serves no webhook.
    pub(crate) async fn reconciling_only(place: &Place) -> Self {
        Self::launch(place, Launch::default()).await
    }

    /// Starts the operator, without waiting for anything. It has an account of its own with the permissions of
    /// `manifests/rbac.yaml` and no others, so the audit log distinguishes its requests.
    pub(crate) async fn launch(place: &Place, launch: Launch<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tls.crt"), launch.certificate).unwrap();
        fs::write(folder.path().join("tls.key"), launch.key).unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let token = token(place, &launch.namespaces).await;
        fs::write(&kubeconfig, account(&token, launch.server.as_deref())).unwrap();
        let log = folder.path().join("log");
        let (webhook_port, admin_port) = (free_port(), free_port());
        let process = Command::new(program())
            .args(["run", "--log-format=text", "--default-image=redis:7.0.15"])
            .arg(format!("--log-filter={}", launch.log_filter))
            .arg(format!("--webhook-address=127.0.0.1:{webhook_port}"))
            .arg(format!("--admin-address=127.0.0.1:{admin_port}"))
            .arg(format!("--certificate-dir={}", folder.path().display()))
            // A test that kills an operator starts the next one at once.
            .args(if launch.arguments.is_empty() {
                vec!["--leader-election=false".to_owned()]
            } else {
                launch.arguments
            })
            .env("KUBECONFIG", kubeconfig)
            .envs(of_the_image())
            .stdout(fs::File::create(&log).unwrap())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let user = format!("system:serviceaccount:{}:{ACCOUNT}", place.namespace);
        Self { process, log, _folder: folder, webhook_port, admin_port, user, token }
    }

    /// Process id, to read its figures from `/proc`.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the log holds this text.
    pub(crate) async fn says(&self, text: &str) {
        eventually(&format!("{text:?} in the operator's log {}", self.log.display()), || async {
            fs::read_to_string(&self.log).unwrap_or_default().contains(text).then_some(())
        })
        .await;
    }

    /// Status and body of the answer of its admin listener.
    pub(crate) async fn admin(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin_port)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The value of a metric's series, written as it is shown; 0 for one that is not.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let (_, text) = eventually("metrics", || self.admin("/metrics")).await;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal, such as STOP.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name} failed");
    }

    /// Waits for its end, after SIGTERM.
    pub(crate) async fn ended(&mut self) {
        let process = &mut self.process;
        eventually("end of the operator", || std::future::ready(process.try_wait().unwrap())).await;
    }

    /// Ends it with SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the operator:\n{}", self.log());
        }
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
