//! The operator as a process of the test's own, to be killed at will. Knows no cluster but what `KUBECONFIG` names.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::cluster::eventually;

/// A running operator. Dropping it kills it with SIGKILL, as a node that dies would.
pub(crate) struct Operator {
    process: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
    /// Port of the webhooks, on the loopback.
    pub(crate) webhook_port: u16,
}

impl Operator {
    /// Starts the operator with this certificate (PEM) and key, without waiting for anything.
    pub(crate) fn start(certificate: &str, key: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tls.crt"), certificate).unwrap();
        fs::write(folder.path().join("tls.key"), key).unwrap();
        let log = folder.path().join("log");
        let (webhook_port, admin_port) = (free_port(), free_port());
        let process = Command::new(env!("CARGO_BIN_EXE_redis-operator"))
            .args(["run", "--log-format=text", "--default-image=redis:7.0.15"])
            .arg(format!("--webhook-address=127.0.0.1:{webhook_port}"))
            .arg(format!("--admin-address=127.0.0.1:{admin_port}"))
            .arg(format!("--certificate-dir={}", folder.path().display()))
            .stdout(fs::File::create(&log).unwrap())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { process, log, _folder: folder, webhook_port }
    }

    /// Starts the operator without a certificate: it reconciles and serves no webhook.
    pub(crate) fn reconciling_only() -> Self {
        Self::start("", "")
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

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
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

/// The CRD as the project ships it.
pub(crate) fn crd() -> serde_json::Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/crd.yaml");
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}
