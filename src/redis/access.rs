//! Access to a server: the digests of the passwords of its only user `default`, and the password with which it logs in
//! to its primary. Passwords never appear in errors.

use std::{collections::BTreeMap, fmt};

use redis::{FromRedisValue, Value, cmd};

use super::{Server, ServerError};

/// The user that clients and replicas are.
const USER: &str = "default";

/// The credentials to log in with: the current password, or else the former one. `Debug` prints neither.
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

    /// Logs in. Success proves the password, unless the server requires none. A failed login leaves the connection as
    /// it was. Because the user is named, a server without a password accepts any.
    ///
    /// # Errors
    /// [`ServerError::Password`], or if the server cannot be reached.
    pub async fn authenticate(&mut self, password: &[u8]) -> Result<(), ServerError> {
        self.ask(cmd("AUTH").arg(USER).arg(password)).await.map_err(|error| redact(error, "the login"))
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

    /// Makes the server require no password. Protected mode is switched off first: with it, a server without a password
    /// answers no other pod.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn open(&mut self) -> Result<(), ServerError> {
        self.set("protected-mode", b"no").await?;
        self.set("requirepass", b"").await.map_err(|error| redact(error, "to ask for no password"))
    }

    /// Makes the server require this password and no other.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn require(&mut self, password: &[u8]) -> Result<(), ServerError> {
        self.set("requirepass", password).await.map_err(|error| redact(error, "to ask for a password"))?;
        self.set("protected-mode", b"yes").await
    }

    /// Makes the server accept the password of this digest, in addition to those that it accepts.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn accept(&mut self, digest: &str) -> Result<(), ServerError> {
        self.change(&format!("#{digest}"), "a password").await
    }

    /// Removes the password of this digest; clients that have logged in with it stay connected.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn refuse(&mut self, digest: &str) -> Result<(), ServerError> {
        self.change(&format!("!{digest}"), "that a password goes").await
    }

    /// Sets the password with which the server logs in to its primary, if it differs.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn log_in_at_primary(&mut self, password: &[u8]) -> Result<(), ServerError> {
        for (directive, wanted) in [("masteruser", USER.as_bytes()), ("masterauth", password)] {
            if self.config(&[directive]).await?.get(directive).map(Vec::as_slice) != Some(wanted) {
                self.set(directive, wanted).await.map_err(|error| redact(error, directive))?;
            }
        }
        Ok(())
    }

    async fn change(&mut self, rule: &str, what: &str) -> Result<(), ServerError> {
        let done = self.ask(cmd("ACL").arg("SETUSER").arg(USER).arg(rule)).await;
        done.map_err(|error| redact(error, what))
    }
}

/// The error without the server's message, which may repeat the arguments of the command.
fn redact(error: ServerError, what: &str) -> ServerError {
    match error {
        ServerError::Refused { .. } => ServerError::Refused { why: format!("it refuses {what}") },
        error => error,
    }
}
