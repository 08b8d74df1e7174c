//! Who may log in to a server: the passwords of its one user `default`, by their digests, and the password that it gives to
//! its own primary. Nothing here answers a password to anybody but the caller, nor puts one into an error.

use std::{collections::BTreeMap, fmt};

use redis::{FromRedisValue, Value, cmd};

use super::{Server, ServerError};

/// The user that clients and replicas are.
const USER: &str = "default";

/// What to log in with: the password, or else the one before it. Its `Debug` shows neither.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// Tried first.
    pub current: &'a [u8],
    /// Tried when that is refused.
    pub former: Option<&'a [u8]>,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Server {
    /// Logs in with what it takes of these.
    pub(super) async fn log_in(&mut self, credentials: Credentials<'_>) -> Result<(), ServerError> {
        match (self.authenticate(credentials.current).await, credentials.former) {
            (Err(ServerError::Password { .. }), Some(former)) => self.authenticate(former).await,
            (outcome, _) => outcome,
        }
    }

    /// Logs in; that it can be done proves the password, unless the server asks for none. One that is refused leaves the
    /// connection as it was. With the name of the user, a server without a password takes any.
    ///
    /// # Errors
    /// [`ServerError::Password`], or when it cannot be asked.
    pub async fn authenticate(&mut self, password: &[u8]) -> Result<(), ServerError> {
        self.ask(cmd("AUTH").arg(USER).arg(password)).await.map_err(|error| wordless(error, "the login"))
    }

    /// The digests (sha256, hexadecimal) of the passwords that it accepts; `None` where it asks for no password.
    ///
    /// # Errors
    /// When it cannot be asked, or answers what cannot be understood.
    pub async fn accepted(&mut self) -> Result<Option<Vec<String>>, ServerError> {
        let user: BTreeMap<String, Value> = self.ask(cmd("ACL").arg("GETUSER").arg(USER)).await?;
        let words = |field: &str| user.get(field).and_then(|words| Vec::<String>::from_redis_value(words).ok());
        match (words("flags"), words("passwords")) {
            (Some(flags), _) if flags.iter().any(|flag| flag == "nopass") => Ok(None),
            (Some(_), Some(digests)) => Ok(Some(digests)),
            _ => Err(ServerError::Refused { why: "it does not list the passwords that it accepts".to_owned() }),
        }
    }

    /// Has it ask for no password. Protected mode goes first: with it, a server without a password answers no other pod.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn open(&mut self) -> Result<(), ServerError> {
        self.set("protected-mode", b"no").await?;
        self.set("requirepass", b"").await.map_err(|error| wordless(error, "to ask for no password"))
    }

    /// Has it ask for this password, and for no other.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn require(&mut self, password: &[u8]) -> Result<(), ServerError> {
        self.set("requirepass", password).await.map_err(|error| wordless(error, "to ask for a password"))?;
        self.set("protected-mode", b"yes").await
    }

    /// Makes it accept the password of this digest, beside those that it accepts.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn accept(&mut self, digest: &str) -> Result<(), ServerError> {
        self.change(&format!("#{digest}"), "a password").await
    }

    /// Makes it accept the password of this digest no more; who has logged in with it stays.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn refuse(&mut self, digest: &str) -> Result<(), ServerError> {
        self.change(&format!("!{digest}"), "that a password goes").await
    }

    /// Has it give this password to its primary, if it does not yet.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn log_in_at_primary(&mut self, password: &[u8]) -> Result<(), ServerError> {
        for (directive, wanted) in [("masteruser", USER.as_bytes()), ("masterauth", password)] {
            if self.config(&[directive]).await?.get(directive).map(Vec::as_slice) != Some(wanted) {
                self.set(directive, wanted).await.map_err(|error| wordless(error, directive))?;
            }
        }
        Ok(())
    }

    async fn change(&mut self, rule: &str, what: &str) -> Result<(), ServerError> {
        let done = self.ask(cmd("ACL").arg("SETUSER").arg(USER).arg(rule)).await;
        done.map_err(|error| wordless(error, what))
    }
}

/// The same without the server's words, which may repeat what it was given.
fn wordless(error: ServerError, what: &str) -> ServerError {
    match error {
        ServerError::Refused { .. } => ServerError::Refused { why: format!("it refuses {what}") },
        error => error,
    }
}
