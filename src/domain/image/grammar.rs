//! Decides which texts may be a host, a path, a tag or a digest of an image reference; how they are joined is not its
//! business. The rules are those of the expressions in `regexp.go` of `github.com/distribution/reference`.

const MAX_TAG_LENGTH: usize = 128;

/// A name or an IPv4 address, or an IPv6 address in brackets, and perhaps a port; any case.
pub(super) fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let legal = !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
            return legal && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
        }
        None => super::split_suffix(text, ':'),
    };
    port.is_none_or(is_port) && name.split('.').all(is_label)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(text: &str) -> bool {
    let legal = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    legal && !text.is_empty() && !text.starts_with('-') && !text.ends_with('-')
}

/// The path of a repository in its registry.
pub(super) fn is_path(text: &str) -> bool {
    text.split('/').all(is_path_component)
}

/// Lower-case letters and digits, joined by one point, one or two underscores, or any number of dashes.
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let separator = |run: &str| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|byte| byte == b'-');
    text.starts_with(alphanumeric) && text.ends_with(alphanumeric) && text.split(alphanumeric).all(separator)
}

/// A tag without its colon.
pub(super) fn is_tag(text: &str) -> bool {
    let legal = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    legal && !text.is_empty() && text.len() <= MAX_TAG_LENGTH && !text.starts_with(['.', '-'])
}

/// An algorithm and its value. Any algorithm is accepted here; unsupported ones are refused later with another message.
pub(super) fn is_digest(text: &str) -> bool {
    let (algorithm, encoded) = super::split_suffix(text, ':');
    let part = |part: &str| {
        part.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(part)
        && encoded.is_some_and(|encoded| encoded.len() >= 32 && encoded.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
