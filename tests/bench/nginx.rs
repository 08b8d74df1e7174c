//! An nginx that answers every request with the same review over TLS: what serving HTTPS costs at the least.
//! Knows nothing of reviews; it discards what it is sent.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{figures, webhook::Authority};

const ANSWER: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","allowed":true}}"#;

/// A running nginx; ends with this value.
pub(crate) struct Nginx {
    process: Child,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Nginx {
    /// Starts it with one worker, as the webhooks have one thread; `None` where it is not installed.
    pub(crate) fn start(authority: &Authority) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::write(folder.path().join("tls.crt"), &authority.certificate).unwrap();
        fs::write(folder.path().join("tls.key"), &authority.key).unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};"))
            .concat();
        let conf = format!(
            "user root; worker_processes 1; daemon off; pid {at}/pid; error_log {at}/error.log;
             events {{ worker_connections 1024; }}
             http {{ access_log off; keepalive_requests 100000000; client_max_body_size 8m; {temporary}
               server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {at}/tls.crt; ssl_certificate_key {at}/tls.key;
                 location / {{ default_type application/json; return 200 '{ANSWER}'; }} }} }}"
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, conf).unwrap();
        let started = Command::new("/usr/sbin/nginx").arg("-c").arg(&file).stderr(Stdio::inherit()).spawn();
        let nginx = Self { process: started.ok()?, folder, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "nginx does not listen; {}", nginx.errors());
            std::thread::yield_now();
        }
        Some(nginx)
    }

    /// CPU seconds of its workers so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let master = self.process.id();
        let workers = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
        workers.split_whitespace().map(|worker| figures::cpu_seconds(worker.parse().unwrap())).sum()
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    /// SIGTERM, because the workers would outlive a master that is killed.
    fn drop(&mut self) {
        drop(Command::new("kill").arg(self.process.id().to_string()).status());
        drop(self.process.wait());
    }
}
