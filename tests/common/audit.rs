//! The API server's audit log: who wrote what, and how long each request took. Needs `AUDIT_LOG`.

use std::{
    env,
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use jiff::Timestamp;
use serde_json::Value;

/// One request as the API server saw it.
#[derive(Debug)]
pub(crate) struct Entry(Value);

impl Entry {
    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// get, list, watch, create, update, patch, delete ...
    pub(crate) fn verb(&self) -> &str {
        self.text("/verb")
    }

    /// Resource, with the subresource if there is one: `redisinstances/status`.
    pub(crate) fn resource(&self) -> String {
        let parts = [self.text("/objectRef/resource"), self.text("/objectRef/subresource")];
        parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/")
    }

    /// API group of the object.
    pub(crate) fn group(&self) -> &str {
        self.text("/objectRef/apiGroup")
    }

    /// Namespace of the object.
    pub(crate) fn namespace(&self) -> &str {
        self.text("/objectRef/namespace")
    }

    /// Name of the object.
    pub(crate) fn name(&self) -> &str {
        self.text("/objectRef/name")
    }

    /// HTTP status of the answer.
    pub(crate) fn code(&self) -> u64 {
        self.0.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default()
    }

    /// Whether the account was not allowed to make it. Admission says 403 too, for other reasons.
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.text("/annotations/authorization.k8s.io~1decision") == "forbid"
    }

    /// Whether it could have changed something.
    pub(crate) fn is_write(&self) -> bool {
        !matches!(self.verb(), "get" | "list" | "watch")
    }

    /// Milliseconds from the arrival of the request to its answer.
    pub(crate) fn milliseconds(&self) -> f64 {
        self.answered().duration_since(self.received()).as_secs_f64() * 1000.0
    }

    /// When it arrived.
    pub(crate) fn received(&self) -> Timestamp {
        self.text("/requestReceivedTimestamp").parse().unwrap()
    }

    /// When it was answered.
    pub(crate) fn answered(&self) -> Timestamp {
        self.text("/stageTimestamp").parse().unwrap()
    }

    /// Account that made the request.
    pub(crate) fn user(&self) -> &str {
        self.text("/user/username")
    }

    /// Pod that made the request, as its token says.
    pub(crate) fn pod(&self) -> &str {
        self.text("/user/extra/authentication.kubernetes.io~1pod-name/0")
    }
}

/// Every request answered since, in order.
pub(crate) fn since(begun: Timestamp) -> Vec<Entry> {
    after(0).0.into_iter().filter(|entry| entry.answered() >= begun).collect()
}

/// How long the log is now: what is asked for later is what comes after it.
pub(crate) fn length() -> u64 {
    log().metadata().unwrap().len()
}

/// Every request in the log after its first `read` bytes, in order, and how much of it has then been read.
pub(crate) fn after(read: u64) -> (Vec<Entry>, u64) {
    let (mut log, mut text) = (log(), String::new());
    log.seek(SeekFrom::Start(read)).unwrap();
    log.read_to_string(&mut text).unwrap();
    // The last line may be half written: it is for the next time.
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let entries = whole.lines().filter_map(|line| serde_json::from_str(line).ok()).map(Entry).collect();
    (entries, read + u64::try_from(whole.len()).unwrap())
}

fn log() -> File {
    let path = env::var("AUDIT_LOG").expect("AUDIT_LOG must name the API server's audit log; `cluster exec` sets it");
    File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
