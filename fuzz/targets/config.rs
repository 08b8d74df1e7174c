//! A configuration is refused in printable words, or rendered so that every line is one directive of its own, as its words,
//! with nothing of the operator's changed: what a user types can never become a second line. Read back, it is what was
//! asked for, and no change to itself.
//!
//! The input is lines of NAME VALUE; its length decides the release and whether there is a password.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use redis_operator::{
    api::v1::RedisInstance,
    build,
    domain::{
        change, defaults::Defaults, directives::release, effective::Effective, instance::ValidatedInstance, live::Live,
        owned_directives, validate, words,
    },
};
use serde_json::json;

const IMAGES: [&str; 6] = ["redis:6.2", "redis:7.0", "redis:7.2", "redis:8.2", "valkey:9.1", "redis:latest"];

fuzz_target!(|text: &str| {
    let config: BTreeMap<&str, &str> =
        text.split('\n').map(|line| line.split_once(' ').unwrap_or((line, ""))).collect();
    let (image, auth) = (IMAGES[text.len() % IMAGES.len()], text.len().is_multiple_of(2));
    match instance(image, auth, &config) {
        Ok(instance) => rendered_as_meant(&instance, &rendered(instance_without(image, auth))),
        Err(messages) => {
            assert!(!messages.is_empty());
            for message in messages {
                assert!(message.chars().all(|c| matches!(c, ' '..='~')), "{message:?}");
                assert!(message.len() < 4000, "{} bytes: {message}", message.len());
            }
        }
    }
});

fn instance(image: &str, auth: bool, config: &BTreeMap<&str, &str>) -> Result<ValidatedInstance, Vec<String>> {
    let object = json!({"metadata": {"name": "cache", "namespace": "shop"},
        "spec": {"image": image, "auth": {"enabled": auth}, "config": config}});
    let typed: RedisInstance = serde_json::from_value(object).expect("the types fit");
    let typed = Defaults { image: image.to_owned() }.applied(&typed);
    validate::validate(&typed).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn instance_without(image: &str, auth: bool) -> ValidatedInstance {
    instance(image, auth, &BTreeMap::new()).expect("no configuration has no fault")
}

fn rendered(instance: ValidatedInstance) -> String {
    let data = build::build(&instance).config_map.data.expect("data");
    data["redis.conf"].clone()
}

fn rendered_as_meant(instance: &ValidatedInstance, plain: &str) {
    let conf = rendered(instance.clone());
    assert!(conf.bytes().all(|b| b == b'\n' || matches!(b, b' '..=b'~')), "{conf:?}");
    let owned = &plain[plain.find("\nbind ").expect("the operator's lines")..];
    let users = conf.strip_suffix(owned).expect("the operator's lines are last and unchanged");
    let mut read: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in users.lines().skip(1) {
        let (name, value) = line.split_once(' ').expect("a value");
        assert!(owned_directives::cure(name).is_none(), "{line}");
        read.entry(name).or_default().extend(words::split(value).expect(line));
    }
    for (name, words) in instance.config.iter() {
        assert_eq!(read.remove(name).as_deref(), Some(words), "{name}\n{conf}");
    }
    assert!(read.keys().all(|name| ["appendfsync", "appendonly"].contains(name)), "{read:?}");
    let release = release::release(&instance.image);
    assert_eq!(Effective::read(&conf, release), Effective::of(instance, release), "{conf}");
    assert!(change::classify(&Live::of(instance), instance).is_empty(), "{conf}");
}
