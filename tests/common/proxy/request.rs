//! A request as it came to the proxy, and what is done to it instead of passing it on.

use std::time::Instant;

use hyper::Request;

/// What is done to a request instead of passing it on.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Answered with this status, as the API server would.
    Status(u16),
    /// Refused with a Status that asks the client to retry after so many seconds.
    Throttled(u32),
    /// The same as priority and fairness does it: a header and a line of text.
    Turned(u32),
    /// Never answered.
    Hang,
    /// The connection is reset.
    Reset,
    /// Passed on and carried out, and then the connection is closed.
    LoseReply,
    /// Passed on, and the answer lacks its end.
    CutReply,
    /// A watch that begins and delivers an error with this code.
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
    pub(super) fn of<B>(request: &Request<B>) -> Self {
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
