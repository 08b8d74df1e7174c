//! Image references as distribution reads them, and where ours differ on purpose.

use redis_operator::domain::image::{ImageError, ImageReference};
use serde::Deserialize;

use crate::judge::{Intended, Judge};

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct ImageVector {
    #[serde(rename = "in")]
    pub(crate) text: String,
    pub(crate) err: Option<String>,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) tag: String,
    pub(crate) digest: String,
}

type ImageResult = Result<ImageReference, ImageError>;

pub(crate) static DIFFERENCES: [Intended<ImageVector, ImageResult>; 1] = [Intended {
    reason: "white space around a reference is named as such; Go refuses it too",
    applies: |vector, ours| vector.err.is_some() && *ours == Err(ImageError::Whitespace),
}];

/// Compares one reference with Go's verdict.
pub(crate) fn take(judge: &mut Judge<ImageVector, ImageResult>, vector: &ImageVector) {
    let ours = ImageReference::parse(&vector.text);
    judge.take(vector, &ours, agree(vector, &ours));
}

fn agree(vector: &ImageVector, ours: &ImageResult) -> bool {
    match ours {
        Err(error) => vector.err.as_deref() == Some(name(*error)),
        Ok(image) => {
            let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
            image.as_str() == vector.text
                && *vector
                    == ImageVector {
                        text: vector.text.clone(),
                        err: None,
                        host: part(image.host()),
                        path: image.repository().to_owned(),
                        tag: part(image.tag()),
                        digest: part(image.digest()),
                    }
        }
    }
}

/// The word `vectors/images.go` has for a refusal.
fn name(error: ImageError) -> &'static str {
    match error {
        ImageError::Whitespace => "whitespace",
        ImageError::Format => "format",
        ImageError::Uppercase => "uppercase",
        ImageError::TooLong => "too-long",
        ImageError::Identifier => "identifier",
        ImageError::DigestFormat => "digest-format",
        ImageError::DigestLength => "digest-length",
        ImageError::DigestUnsupported => "digest-unsupported",
    }
}

#[test]
fn images_agree_with_distribution() {
    let mut judge = Judge::new(&DIFFERENCES);
    let vectors: Vec<ImageVector> = crate::vectors(include_str!("images.json"));
    for vector in &vectors {
        take(&mut judge, vector);
    }
    judge.conclude();
}
