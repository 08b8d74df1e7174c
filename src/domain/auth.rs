//! The password as Redis and clients need it: what may be one, and the lines that redis.conf includes.
//! Knows no Secret object and makes no randomness; nothing here may be logged.

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{hex, words};

/// The user that clients and replicas are.
const USER: &str = "default";
/// The longest password that Redis' own AUTH takes comfortably; longer ones are a file mounted by mistake.
const LENGTH_LIMIT: usize = 512;

/// A password that Redis can be given. Its `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

/// Why the bytes under the key `password` of a Secret cannot be the password. Never contains the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PasswordError {
    /// No such key in the Secret.
    #[error("has no key \"password\"; add one")]
    Absent,
    /// The key is there and empty.
    #[error("has an empty \"password\"; give it a value")]
    Empty,
    /// Longer than 512 bytes.
    #[error("has a \"password\" of more than 512 bytes; shorten it")]
    TooLong,
    /// The trap of `echo secret | base64`: clients and Redis would disagree about the last byte.
    #[error("has a \"password\" that ends in a line break; write it with printf or echo -n")]
    LineBreak,
    /// Something no client could be given reliably.
    #[error("has a \"password\" with control characters; use printable ones")]
    Control,
}

impl Password {
    /// Checks the bytes under the key `password`.
    ///
    /// # Errors
    /// If they cannot be used as a password; the error says how to correct the Secret.
    pub fn parse(bytes: Option<&[u8]>) -> Result<Self, PasswordError> {
        let bytes = bytes.ok_or(PasswordError::Absent)?;
        match bytes {
            [] => Err(PasswordError::Empty),
            bytes if bytes.len() > LENGTH_LIMIT => Err(PasswordError::TooLong),
            [.., b'\n' | b'\r'] => Err(PasswordError::LineBreak),
            bytes if bytes.iter().any(u8::is_ascii_control) => Err(PasswordError::Control),
            bytes => Ok(Self(bytes.to_vec())),
        }
    }

    /// A password from 24 random bytes: 48 hex digits, so that no shell, URL or quoting ever changes it.
    #[must_use]
    pub fn from_entropy(entropy: [u8; 24]) -> Self {
        Self(hex::lower(&entropy).into_bytes())
    }

    /// The bytes, for the Secret alone.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The lines that redis.conf includes: clients need the password, and a replica gives it to its primary. With the name of
    /// the user, so that a primary without a password takes it too.
    #[must_use]
    pub fn conf(&self) -> String {
        let quoted = self.0.iter().fold(String::new(), |mut quoted, byte| {
            match byte {
                b'"' | b'\\' => quoted.extend(['\\', char::from(*byte)]),
                b' '..=b'~' => quoted.push(char::from(*byte)),
                byte => quoted.extend(["\\x", &hex::lower(&[*byte])]),
            }
            quoted
        });
        format!("masterauth \"{quoted}\"\nmasteruser {USER}\nrequirepass \"{quoted}\"\n")
    }

    /// The password that a server takes which includes these lines: the last one counts.
    #[must_use]
    pub fn of_conf(conf: &[u8]) -> Option<Self> {
        let conf = std::str::from_utf8(conf).ok()?;
        let value = conf.lines().rev().find_map(|line| line.strip_prefix("requirepass "))?;
        let word = words::split(value).ok()?.into_iter().next()?;
        let bytes: Option<Vec<u8>> = word.chars().map(|c| u8::try_from(c).ok()).collect();
        Self::parse(Some(&bytes?)).ok()
    }

    /// The digest that a server stores: sha256 as hex digits.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::lower(&Sha256::digest(&self.0))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_password_is_told_with_its_cure() {
        assert_eq!(Password::parse(None), Err(PasswordError::Absent));
        assert_eq!(Password::parse(Some(b"")), Err(PasswordError::Empty));
        assert_eq!(Password::parse(Some(b"secret\n")), Err(PasswordError::LineBreak));
        assert_eq!(Password::parse(Some(b"a\nuser default on nopass")), Err(PasswordError::Control));
        assert_eq!(Password::parse(Some(&[b'x'; 513])), Err(PasswordError::TooLong));
    }

    #[test]
    fn any_password_is_lines_that_read_back() {
        let odd = Password::parse(Some("a \"b\\ é#".as_bytes())).unwrap();
        let conf = odd.conf();
        assert_eq!(Password::of_conf(conf.as_bytes()), Some(odd));
        assert_eq!(Password::of_conf(b"requirepass \"a\"\nrequirepass b\n"), Password::parse(Some(b"b")).ok());
        for other in [&b""[..], b"requirepass", b"requirepass \"", b"requirepass \"\"", b"masterauth a\n", b"\xff"] {
            assert_eq!(Password::of_conf(other), None);
        }
        assert_eq!(
            conf,
            "masterauth \"a \\\"b\\\\ \\xc3\\xa9#\"\nmasteruser default\nrequirepass \"a \\\"b\\\\ \\xc3\\xa9#\"\n"
        );
    }

    #[test]
    fn debug_output_never_shows_it() {
        assert_eq!(format!("{:?}", Password::from_entropy([7; 24])), "Password(..)");
    }
}
