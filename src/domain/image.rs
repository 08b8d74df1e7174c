//! Decides whether a text is an OCI image reference, and which host, repository, tag and digest it names.
//! It asks no registry: whether the image exists is not its business.
//!
//! The measure is `ParseNormalizedNamed` of `github.com/distribution/reference`, which the container runtimes use, with
//! SHA-256, SHA-384 and SHA-512 linked in. Every text is judged as it judges it, with the same fault; the one
//! difference is that white space around the text is named as such, as Kubernetes does for pods.

use std::borrow::Cow;

use thiserror::Error;

mod grammar;

use grammar::{is_digest, is_host, is_path, is_tag};

const DEFAULT_HOST: &str = "docker.io";
const LEGACY_HOST: &str = "index.docker.io";
const MAX_REPOSITORY_LENGTH: usize = 255;

/// An image reference, with Docker's short names written out: `redis` is `library/redis` on `docker.io`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    text: String,
    host: Option<String>,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl ImageReference {
    /// Reads a reference such as `redis:7.4` or `registry.example.com:5000/team/redis@sha256:...`.
    ///
    /// # Errors
    /// Says what is wrong with the text, in the words of the reference parser.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        if text.trim() != text {
            return Err(ImageError::Whitespace);
        }
        if text.len() == 64 && text.bytes().all(is_lower_hex) {
            return Err(ImageError::Identifier);
        }
        let (host, remainder) = split_host(text);
        let remote = remainder.split(':').next().unwrap_or_default();
        if has_uppercase(remote) {
            return Err(ImageError::Uppercase);
        }

        let image = match Self::scan(text, host, &remainder) {
            Some(image) => image,
            None if Self::scan(text, &lowercase(host), &lowercase(&remainder)).is_some() => {
                return Err(ImageError::Uppercase);
            }
            None => return Err(ImageError::Format),
        };
        if image.repository.len() > MAX_REPOSITORY_LENGTH {
            return Err(ImageError::TooLong);
        }
        image.digest().map_or(Ok(()), supported_digest)?;
        Ok(image)
    }

    /// Checks the grammar only: lengths and digest algorithms are checked afterwards, because their errors have other
    /// messages.
    fn scan(text: &str, host: &str, remainder: &str) -> Option<Self> {
        let (named, digest) = split_suffix(remainder, '@');
        let (path, tag) = split_suffix(named, ':');
        // A first part such as `a_b.c` looks like a host but cannot be one; it still is a legal part of a path.
        let (host, repository) = match host {
            host if is_host(host) => (Some(host.to_owned()), path.to_owned()),
            part => (None, format!("{part}/{path}")),
        };
        let legal = is_path(&repository) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
        let (tag, digest) = (tag.map(str::to_owned), digest.map(str::to_owned));
        legal.then(|| Self { text: text.to_owned(), host, repository, tag, digest })
    }

    /// The reference as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The registry with its port, `docker.io` where none is written; `None` where the first part of the name has a
    /// point but cannot be a host.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The path in the registry, `library/redis` for `redis`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, without its colon.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The version in the tag, such as `7.4.1`; `None` if the tag contains none.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        let tag = self.tag()?;
        let tag = tag.strip_prefix('v').unwrap_or(tag);
        let version = tag.split(['-', '_', '+']).next()?;
        let numeric = version.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        numeric.then_some(version)
    }

    /// The digest with its algorithm, without the `@`.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Whether the reference is expected to name another image tomorrow: no digest, and no tag or `latest`.
    #[must_use]
    pub fn is_mutable(&self) -> bool {
        self.digest.is_none() && self.tag().is_none_or(|tag| tag == "latest")
    }
}

/// Why a text is not an image reference; the words after the colon are those of the reference parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ImageError {
    /// There is white space around the reference.
    #[error("must not have leading or trailing whitespace")]
    Whitespace,
    /// The text does not follow the grammar of references.
    #[error("must be a valid image reference: invalid reference format")]
    Format,
    /// The repository has an upper-case letter; only hosts and tags may.
    #[error("must be a valid image reference: repository name must be lowercase")]
    Uppercase,
    /// The repository is too long.
    #[error(
        "must be a valid image reference: repository name must not be more than {MAX_REPOSITORY_LENGTH} characters"
    )]
    TooLong,
    /// The whole text is 64 hexadecimal digits, which a container engine takes for an image's id.
    #[error("must be a valid image reference: cannot specify 64-byte hexadecimal strings")]
    Identifier,
    /// The digest is not written in lower-case hexadecimal digits, or its algorithm not in lower case.
    #[error("must be a valid image reference: invalid checksum digest format")]
    DigestFormat,
    /// The digest has not the length of its algorithm.
    #[error("must be a valid image reference: invalid checksum digest length")]
    DigestLength,
    /// The digest's algorithm is none of sha256, sha384 and sha512.
    #[error("must be a valid image reference: unsupported digest algorithm")]
    DigestUnsupported,
}

/// Docker's rule for the part before the first slash: it is a host if it could not be a part of a path on Docker Hub.
fn split_host(text: &str) -> (&str, Cow<'_, str>) {
    let (host, rest) = match text.split_once('/') {
        Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) || has_uppercase(first) => {
            (first, rest)
        }
        _ => (DEFAULT_HOST, text),
    };
    let host = if host == LEGACY_HOST { DEFAULT_HOST } else { host };
    if host == DEFAULT_HOST && !rest.contains('/') {
        return (host, Cow::Owned(format!("library/{rest}")));
    }
    (host, Cow::Borrowed(rest))
}

fn split_suffix(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// Any letter that has a lower case counts, not only ASCII: the words of the refusal depend on it.
fn has_uppercase(text: &str) -> bool {
    text.chars().any(|letter| !letter.to_lowercase().eq([letter]))
}

/// Lower case letter by letter, as Go does it: one letter stays one letter.
fn lowercase(text: &str) -> String {
    text.chars().filter_map(|letter| letter.to_lowercase().next()).collect()
}

fn supported_digest(digest: &str) -> Result<(), ImageError> {
    let (algorithm, encoded) = digest.split_once(':').ok_or(ImageError::DigestFormat)?;
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        other if has_uppercase(other) => return Err(ImageError::DigestFormat),
        _ => return Err(ImageError::DigestUnsupported),
    };
    if encoded.len() != length {
        return Err(ImageError::DigestLength);
    }
    if !encoded.bytes().all(is_lower_hex) {
        return Err(ImageError::DigestFormat);
    }
    Ok(())
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_reference_apart() {
        let digest = format!("sha256:{}", "a1".repeat(32));
        let text = format!("registry.example.com:5000/a/redis:7@{digest}");
        let image = ImageReference::parse(&text).expect("a legal reference");
        assert_eq!(image.as_str(), text);
        assert_eq!(image.host(), Some("registry.example.com:5000"));
        assert_eq!(image.repository(), "a/redis");
        assert_eq!(image.tag(), Some("7"));
        assert_eq!(image.digest(), Some(digest.as_str()));
    }

    #[test]
    fn only_a_fixed_tag_or_a_digest_stays_the_same() {
        let digest = format!("redis@sha256:{}", "0".repeat(64));
        for (text, mutable) in [("redis", true), ("redis:latest", true), ("redis:7.4", false), (digest.as_str(), false)]
        {
            let image = ImageReference::parse(text).expect("a legal reference");
            assert_eq!(image.is_mutable(), mutable, "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let refused = [
            ("redis:", "must be a valid image reference: invalid reference format"),
            ("Redis:7", "must be a valid image reference: repository name must be lowercase"),
            ("redis:7\n", "must not have leading or trailing whitespace"),
            ("https://registry.example.com/redis:7", "must be a valid image reference: invalid reference format"),
        ];
        for (text, message) in refused {
            let error = ImageReference::parse(text).expect_err(text);
            assert_eq!(error.to_string(), message, "{text}");
        }
        let long = format!("example.com/{}", "a".repeat(1 << 20));
        assert_eq!(ImageReference::parse(&long), Err(ImageError::TooLong));
    }
}
