//! An image reference is refused, or taken as it is and in parts that make it up again; which release it is of can be asked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redis_operator::domain::{directives::release, image::ImageReference};

fuzz_target!(|text: &str| {
    let Ok(image) = ImageReference::parse(text) else { return };
    assert_eq!(image.as_str(), text);
    let part = |lead: &str, part: Option<&str>| part.map(|part| format!("{lead}{part}")).unwrap_or_default();
    let rest = part(":", image.tag()) + &part("@", image.digest());
    let name = text.strip_suffix(&rest).expect("tag and digest are the end");
    // `docker.io/library/` is what a bare name stands for.
    let repository = image.repository().strip_prefix("library/").unwrap_or(image.repository());
    assert!(name.ends_with(repository), "{name} and {repository}");
    let host = image.host().map(|host| format!("{host}/")).unwrap_or_default();
    let spelt = host + image.repository() + &rest;
    let again = ImageReference::parse(&spelt).expect("its parts make a reference");
    assert_eq!(
        (again.host(), again.repository(), again.tag(), again.digest()),
        (image.host(), image.repository(), image.tag(), image.digest()),
        "{spelt}"
    );
    let release = release::release(&image);
    assert!(!release.title().is_empty() && release.names().len() > 100);
});
