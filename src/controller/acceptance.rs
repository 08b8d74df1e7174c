//! What running servers accept: each is given the passwords that it lacks, and loses what it should not accept. Which ones these
//! are is `domain::rotation`'s; when it is done is `rotation`'s.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;

use super::{credentials::credentials, servers::Running};
use crate::{
    domain::{names::PORT, rotation::Rotation},
    redis::{Credentials, Server, ServerError},
};

/// How long a server may take to accept a connection, and to answer a command.
const DEADLINES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));

/// What came of it.
pub(super) struct Brought<'a> {
    /// Why the first server that is not as it should be is not.
    pub(super) failure: Option<Failure<'a>>,
    /// Whether a server that should ask for a password asked for none.
    pub(super) found_open: bool,
}

/// Why a server is not as it should be.
pub(super) struct Failure<'a> {
    pub(super) pod: &'a str,
    pub(super) error: ServerError,
}

/// A server that accepts all that it has to, or asks for no password.
struct Connected<'a> {
    running: &'a Running,
    server: Server,
    is_open: bool,
}

impl Connected<'_> {
    /// Whether it was opened when spec.auth was off for a while, and no rollout restarts it now.
    const fn is_to_be_closed(&self) -> bool {
        self.is_open && self.running.current && self.running.has_password
    }
}

/// Gives each server what it lacks. Only when all have that does any of them lose a password, or use another one itself. A server
/// that should ask for a password and does not is closed at once, whatever the others answer.
pub(super) async fn bring<'a>(
    rotation: Rotation<'_>,
    servers: &'a [Running],
    is_leading: impl Fn() -> bool,
) -> Brought<'a> {
    let opened = join_all(servers.iter().map(|server| open(rotation, server))).await;
    let (mut connected, mut failure) = (Vec::new(), None);
    for (running, outcome) in servers.iter().zip(opened) {
        match outcome {
            Ok((server, is_open)) => connected.push(Connected { running, server, is_open }),
            // It starts, and is asked when it is ready.
            Err(ServerError::Closed { .. }) if !running.ready => {}
            Err(error) => {
                failure.get_or_insert(Failure { pod: &running.pod, error });
            }
        }
    }
    let found_open = connected.iter().any(Connected::is_to_be_closed);
    let closed = close_again(rotation, &mut connected, &is_leading).await;
    failure = failure.or_else(|| closed.err());
    if failure.is_none() {
        failure = settle(rotation, &mut connected, &is_leading).await.err();
    }
    Brought { failure, found_open }
}

/// A connection to a server, and whether that asks for no password. What it was given is proved by a login.
async fn open(rotation: Rotation<'_>, running: &Running) -> Result<(Server, bool), ServerError> {
    let address = (running.address, u16::try_from(PORT).unwrap_or_default());
    let known = credentials(rotation.keys);
    let mut server = match Server::connect_within(address, Some(known), DEADLINES).await {
        // The Secret may be what somebody changed, and not the server.
        Err(ServerError::Password { .. }) => {
            let wanted = Credentials { current: rotation.wanted.as_bytes(), former: None };
            Server::connect_within(address, Some(wanted), DEADLINES).await?
        }
        outcome => outcome?,
    };
    let held = match server.accepted().await? {
        Some(held) => held.into_iter().collect(),
        None if running.current && !running.has_password => return Err(ServerError::Open { address: address.into() }),
        // Or it started before spec.auth asked for a password, and is about to be restarted.
        None => return Ok((server, true)),
    };
    accept(rotation, &mut server, &held, &running.pod).await?;
    Ok((server, false))
}

/// Has a server that accepts these passwords accept the others that it has to.
async fn accept(
    rotation: Rotation<'_>,
    server: &mut Server,
    held: &BTreeSet<String>,
    pod: &str,
) -> Result<(), ServerError> {
    for password in rotation.lacking(held) {
        server.accept(&password.digest()).await?;
        server.authenticate(password.as_bytes()).await?;
        tracing::info!(pod, "accepts another password");
    }
    Ok(())
}

/// Has the servers that were opened ask for the password again: each for itself, since one that cannot be asked must leave no other
/// one open. Each can log in at a primary first, and so can those that are about to be restarted.
async fn close_again<'a>(
    rotation: Rotation<'_>,
    connected: &mut [Connected<'a>],
    is_leading: impl Fn() -> bool,
) -> Result<(), Failure<'a>> {
    if !connected.iter().any(Connected::is_to_be_closed) || !is_leading() {
        return Ok(());
    }
    let mut outcome = Ok(());
    let mut open: Vec<&mut Connected<'a>> = connected.iter_mut().filter(|one| one.is_open).collect();
    let mut can_log_in = BTreeSet::new();
    for Connected { running, server, .. } in &mut open {
        match server.log_in_at_primary(rotation.keys.current.as_bytes()).await {
            Ok(()) => {
                can_log_in.insert(running.pod.as_str());
            }
            Err(error) => outcome = outcome.and(Err(Failure { pod: &running.pod, error })),
        }
    }
    open.retain(|one| one.is_to_be_closed() && can_log_in.contains(one.running.pod.as_str()));
    for Connected { running, server, is_open } in open {
        match require(rotation, server, &running.pod).await {
            Ok(()) => *is_open = false,
            Err(error) => outcome = outcome.and(Err(Failure { pod: &running.pod, error })),
        }
    }
    outcome
}

async fn require(rotation: Rotation<'_>, server: &mut Server, pod: &str) -> Result<(), ServerError> {
    let current = &rotation.keys.current;
    server.require(current.as_bytes()).await?;
    tracing::info!(pod, "asks for the password again");
    accept(rotation, server, &[current.digest()].into(), pod).await
}

/// Where every server accepts what it has to: has each of them log in with the current password itself, and accept no other.
async fn settle<'a>(
    rotation: Rotation<'_>,
    connected: &mut [Connected<'a>],
    is_leading: impl Fn() -> bool,
) -> Result<(), Failure<'a>> {
    // Also one without a password: it may have to follow one that has it.
    for Connected { running, server, .. } in &mut *connected {
        let led = server.log_in_at_primary(rotation.keys.current.as_bytes()).await;
        led.map_err(|error| Failure { pod: &running.pod, error })?;
    }
    for Connected { running, server, .. } in connected {
        let closed = close(rotation, server, &running.pod, &is_leading).await;
        closed.map_err(|error| Failure { pod: &running.pod, error })?;
    }
    Ok(())
}

/// Has a server accept no more than it has to, and proves the current password once more.
async fn close(
    rotation: Rotation<'_>,
    server: &mut Server,
    pod: &str,
    is_leading: impl Fn() -> bool,
) -> Result<(), ServerError> {
    let Some(held) = server.accepted().await? else { return Ok(()) };
    let surplus = rotation.surplus(&held.into_iter().collect());
    if surplus.is_empty() || !is_leading() {
        return Ok(());
    }
    server.authenticate(rotation.keys.current.as_bytes()).await?;
    for digest in surplus {
        server.refuse(&digest).await?;
        tracing::info!(pod, "accepts a password no more");
    }
    server.authenticate(rotation.keys.current.as_bytes()).await
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        sync::{Arc, Mutex},
    };

    use jiff::{SignedDuration, Timestamp};
    use tokio::{
        io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::domain::{
        auth::Password,
        rotation::{Former, Keys},
    };

    /// What a stub of a server was told, and the digests that it accepts; `None`: it asks for no password.
    #[derive(Clone, Debug, Default)]
    struct Stub {
        accepts: Option<BTreeSet<String>>,
        settings: Vec<(String, String)>,
        /// Whether it refuses connections for want of room.
        is_full: bool,
        /// A directive that it does not take.
        refuses: &'static str,
    }

    impl Stub {
        fn answer(&mut self, words: &[String]) -> String {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let digest = |text: &str| password(text).digest();
            match words.as_slice() {
                ["AUTH", _, given] if self.accepts.as_ref().is_none_or(|all| all.contains(&digest(given))) => {}
                ["AUTH", ..] => return "-WRONGPASS no\r\n".to_owned(),
                ["CONFIG", "SET", name, _] if *name == self.refuses => return "-ERR no\r\n".to_owned(),
                ["CONFIG", "SET", name, value] => {
                    if *name == "requirepass" {
                        self.accepts = Some([digest(value)].into());
                    }
                    self.settings.push(((*name).to_owned(), (*value).to_owned()));
                }
                ["CONFIG", "GET", name] => {
                    let set = self.settings.iter().rev().find(|(set, _)| set == name);
                    return list(&[name, set.map_or("", |(_, value)| value)]);
                }
                ["ACL", "GETUSER", _] => {
                    let flags = if self.accepts.is_none() { list(&["on", "nopass"]) } else { list(&["on"]) };
                    let all: Vec<&str> = self.accepts.iter().flatten().map(String::as_str).collect();
                    return format!("*4\r\n$5\r\nflags\r\n{flags}$9\r\npasswords\r\n{}", list(&all));
                }
                ["ACL", "SETUSER", _, rule] => {
                    let all = self.accepts.get_or_insert_default();
                    let (sign, digest) = rule.split_at(1);
                    let _changed = if sign == "#" { all.insert(digest.to_owned()) } else { all.remove(digest) };
                }
                _ => {}
            }
            "+OK\r\n".to_owned()
        }
    }

    fn list(texts: &[&str]) -> String {
        let texts: Vec<String> = texts.iter().map(|text| format!("${}\r\n{text}\r\n", text.len())).collect();
        format!("*{}\r\n{}", texts.len(), texts.concat())
    }

    async fn serve(stub: Arc<Mutex<Stub>>, client: TcpStream) -> std::io::Result<()> {
        let mut client = BufReader::new(client);
        if stub.lock().unwrap().is_full {
            return client.write_all(b"-ERR max number of clients reached\r\n").await;
        }
        loop {
            let mut words = Vec::new();
            for _ in 0..number(&mut client).await? {
                let mut word = vec![0; number(&mut client).await? + 2];
                client.read_exact(&mut word).await?;
                words.push(String::from_utf8(word).unwrap().trim_end().to_owned());
            }
            let answer = stub.lock().unwrap().answer(&words);
            client.write_all(answer.as_bytes()).await?;
        }
    }

    async fn number(client: &mut BufReader<TcpStream>) -> std::io::Result<usize> {
        let mut line = String::new();
        client.read_line(&mut line).await?;
        line.get(1..)
            .and_then(|number| number.trim().parse().ok())
            .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }

    /// Servers of these kinds after a look, and what came of it.
    async fn after(stubs: Vec<Stub>, rotation: Rotation<'_>) -> (Vec<Stub>, Option<(String, String)>, bool) {
        let (mut servers, mut kept) = (Vec::new(), Vec::new());
        for stub in stubs {
            let listener = loop {
                let mut random = [0; 3];
                getrandom::fill(&mut random).unwrap();
                let address = Ipv4Addr::new(127, random[0], random[1], random[2]);
                if let Ok(listener) = TcpListener::bind((address, 6379)).await {
                    break listener;
                }
            };
            servers.push(Running {
                ordinal: i32::try_from(kept.len()).unwrap(),
                uid: String::new(),
                pod: format!("cache-{}", kept.len()),
                address: listener.local_addr().unwrap().ip(),
                start: String::new(),
                ready: true,
                current: true,
                leaving: false,
                is_outdated: false,
                has_password: true,
            });
            let stub = Arc::new(Mutex::new(stub));
            kept.push(Arc::clone(&stub));
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(serve(Arc::clone(&stub), client));
                }
            });
        }
        let Brought { failure, found_open } = bring(rotation, &servers, || true).await;
        let failure = failure.map(|failure| (failure.pod.to_owned(), failure.error.to_string()));
        (kept.iter().map(|stub| stub.lock().unwrap().clone()).collect(), failure, found_open)
    }

    fn password(text: &str) -> Password {
        Password::parse(Some(text.as_bytes())).unwrap()
    }

    fn digests(texts: &str) -> BTreeSet<String> {
        texts.split(' ').map(|text| password(text).digest()).collect()
    }

    #[tokio::test]
    async fn servers_that_were_opened_are_closed_though_another_cannot_be_asked() {
        let now = Timestamp::now();
        let former = Former { password: password("old"), until: now + SignedDuration::from_mins(5) };
        let (keys, wanted) = (Keys { current: password("now"), former: Some(former) }, password("next"));
        let rotation = Rotation { keys: &keys, wanted: &wanted, now };
        let full = Stub { is_full: true, ..Stub::default() };
        let refuses = Stub { refuses: "requirepass", ..Stub::default() };
        let deaf = Stub { refuses: "masterauth", ..Stub::default() };
        let (after, failure, found_open) =
            after(vec![full, deaf, refuses, Stub::default(), Stub::default()], rotation).await;
        assert!(found_open);
        assert!(failure.is_some_and(|(pod, why)| pod == "cache-0" && why.contains("maxclients")));
        for closed in &after[3..] {
            assert_eq!(closed.accepts, Some(digests("now old next")), "as far as the change of the password is");
            let names: Vec<&str> = closed.settings.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["masteruser", "masterauth", "requirepass", "protected-mode"]);
        }
        assert_eq!(after[1].accepts, None, "it could not follow a primary that was closed");
        assert_eq!(after[2].accepts, None);
    }

    #[tokio::test]
    async fn a_server_loses_a_password_only_when_all_have_what_they_need() {
        let (keys, wanted, now) = (Keys::one(password("now")), password("now"), Timestamp::now());
        let rotation = Rotation { keys: &keys, wanted: &wanted, now };
        let with = |texts: &str| Stub { accepts: Some(digests(texts)), ..Stub::default() };
        let full = Stub { is_full: true, ..Stub::default() };
        let (held, failure, found_open) = after(vec![with("now x"), full], rotation).await;
        assert!(failure.is_some() && !found_open);
        assert_eq!(held[0].accepts, Some(digests("now x")));
        let (settled, failure, _) = after(vec![with("now x"), with("now")], rotation).await;
        assert_eq!(failure, None);
        assert!(settled.iter().all(|server| server.accepts == Some(digests("now"))));
    }
}
