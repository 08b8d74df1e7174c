//! Whether the server of a new image can read the data that the present server wrote, judged by the tags of both
//! images. Knows the versions of the RDB format, which snapshots and the base of an append-only file are written in;
//! reads no data.

use super::{
    directives::release::{engine, version},
    field_error::FieldError,
    image::ImageReference,
    names::DOWNGRADE_ANNOTATION,
};
use crate::api::v1::RedisInstance;

/// The RDB version of the last release lines that Redis and Valkey have in common; Valkey reads no later one of Redis.
const LAST_COMMON: u32 = 11;
/// The first version of Valkey's own numbering, with a signature that no Redis reads.
const FIRST_OF_VALKEY: u32 = 80;

/// The RDB version that the releases of a line write. Later releases count as the last one in this table: none writes
/// an earlier version.
fn rdb_version(engine: &str, line: (u32, u32)) -> u32 {
    match (engine, line) {
        ("valkey", line) if line >= (9, 0) => FIRST_OF_VALKEY,
        ("valkey", _) => LAST_COMMON,
        (_, line) if line >= (8, 10) => 15,
        (_, line) if line >= (8, 8) => 14,
        (_, line) if line >= (8, 6) => 13,
        (_, line) if line >= (7, 4) => 12,
        (_, line) if line >= (7, 2) => LAST_COMMON,
        (_, line) if line >= (7, 0) => 10,
        _ => 9,
    }
}

/// Engine and version of the server that writes the data, such as `redis 7.2.5`, if the image states both. Later
/// changes of the image are compared with it, also after an image without a version.
#[must_use]
pub fn data_version(image: &ImageReference) -> Option<String> {
    Some(format!("{} {}", engine(image)?, image.version()?))
}

/// A release as far as it decides about the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Server {
    engine: &'static str,
    major: u32,
    /// `None` for a tag that moves with the releases of its major number.
    minor: Option<u32>,
}

impl Server {
    fn of(image: &ImageReference) -> Option<Self> {
        let (major, minor) = version(image)?;
        Some(Self { engine: engine(image)?, major, minor })
    }

    /// Reads what [`data_version`] wrote.
    fn read(text: &str) -> Option<Self> {
        let (engine, version) = text.split_once(' ')?;
        let engine = ["redis", "valkey"].into_iter().find(|known| *known == engine)?;
        let mut numbers = version.split('.').map(str::parse);
        Some(Self { engine, major: numbers.next()?.ok()?, minor: numbers.next().transpose().ok()? })
    }

    fn title(self) -> String {
        let minor = self.minor.map(|minor| format!(".{minor}")).unwrap_or_default();
        format!("{} {}{minor}", self.engine, self.major)
    }

    /// The release line; of a tag that moves, the newest one.
    fn line(self) -> (u32, u32) {
        (self.major, self.minor.unwrap_or(u32::MAX))
    }

    /// The RDB version up to which it reads, which is the one it writes.
    fn reads_up_to(self) -> u32 {
        rdb_version(self.engine, self.line())
    }

    /// The least that it may have written: a tag that moves may have been any release of its major number.
    fn may_have_written(self) -> u32 {
        rdb_version(self.engine, (self.major, self.minor.unwrap_or(0)))
    }

    fn reads(self, written: u32) -> bool {
        let foreign = self.engine == "valkey" && (LAST_COMMON + 1..FIRST_OF_VALKEY).contains(&written);
        written <= self.reads_up_to() && !foreign
    }

    /// Whether it is an earlier release of the same engine.
    fn is_before(self, other: Self) -> bool {
        self.engine == other.engine && self.line() < other.line()
    }
}

/// The effect of an image change on the data.
enum Prospect {
    /// It is read.
    Good,
    /// Its format is known to the earlier release; what is in it may not be.
    Doubtful,
    /// It is not read: Redis does not start, or starts empty.
    Lost,
}

/// The change of the image, when it is to another release.
struct Change {
    from: Server,
    to: Server,
    /// True if the present image is known not to have served; reverting it is not a downgrade.
    unserved: bool,
    /// Whether the user has given the data up for this very image.
    vouched: bool,
}

impl Change {
    fn between(old: &RedisInstance, new: &RedisInstance) -> Option<Self> {
        let (before, after) = (old.spec.image.as_deref()?, new.spec.image.as_deref()?);
        if before == after {
            return None;
        }
        let to = Server::of(&ImageReference::parse(after).ok()?)?;
        let present = ImageReference::parse(before).ok();
        let present_server = present.as_ref().and_then(Server::of);
        let status = old.status.as_ref();
        let unserved = present_server.is_some()
            && status
                .is_some_and(|status| status.version.as_deref() != present.as_ref().and_then(|image| image.version()));
        let wrote = status.and_then(|status| Server::read(status.data_version.as_deref()?));
        let (from, unserved) = match (present_server, wrote) {
            // The data were written by the last image that served, not by a later image that never did or has no version.
            (Some(_), Some(wrote)) if unserved && !to.reads(wrote.may_have_written()) => (wrote, false),
            (Some(present_server), _) => (present_server, unserved),
            (None, wrote) => (wrote?, false),
        };
        let annotations = new.metadata.annotations.as_ref();
        let vouched = annotations.and_then(|all| all.get(DOWNGRADE_ANNOTATION)).is_some_and(|named| named == after);
        Some(Self { from, to, unserved, vouched })
    }

    fn prospect(&self) -> Prospect {
        if !self.to.reads(self.from.may_have_written()) {
            Prospect::Lost
        } else if !self.to.reads(self.from.reads_up_to()) || self.to.is_before(self.from) {
            Prospect::Doubtful
        } else {
            Prospect::Good
        }
    }
}

/// The fault of a change to a server that cannot read the data.
#[must_use]
pub fn fault(old: &RedisInstance, new: &RedisInstance) -> Option<FieldError> {
    let change = Change::between(old, new)?;
    let lost = matches!(change.prospect(), Prospect::Lost) && !change.unserved && !change.vouched;
    lost.then(|| {
        let (from, to) = (change.from.title(), change.to.title());
        let detail = format!(
            "{to} cannot read the data that {from} wrote; create a new RedisInstance with this image and move the data, \
             or, if the data may be lost, name the image in the annotation {DOWNGRADE_ANNOTATION}"
        );
        FieldError::forbidden("spec.image", detail)
    })
}

/// The word about a change that is let through and may not end well for the data.
#[must_use]
pub fn warning(old: &RedisInstance, new: &RedisInstance) -> Option<String> {
    let change = Change::between(old, new)?;
    let (from, to) = (change.from.title(), change.to.title());
    match change.prospect() {
        Prospect::Good => None,
        _ if change.unserved => {
            Some(format!("spec.image: {to} may not read the data if {from} has written to it before it failed"))
        }
        Prospect::Doubtful => {
            Some(format!("spec.image: {to} may not read all that {from} wrote; only upgrades are safe"))
        }
        Prospect::Lost => {
            Some(format!("spec.image: {to} cannot read the data of {from}: it starts empty or not at all"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn instance(image: &str, metadata: Value, status: Value) -> RedisInstance {
        serde_json::from_value(json!({"apiVersion": "redis.github.com/v1", "kind": "RedisInstance",
            "metadata": metadata, "spec": {"image": image}, "status": status}))
        .unwrap()
    }

    fn judged(from: &str, to: &str) -> &'static str {
        let (old, new) = (instance(from, json!({}), json!(null)), instance(to, json!({}), json!(null)));
        match (fault(&old, &new), warning(&old, &new)) {
            (Some(_), _) => "refused",
            (None, Some(told)) => {
                assert!(told.len() <= 120, "{told}");
                "warned"
            }
            (None, None) => "silent",
        }
    }

    /// What was seen on real servers: a data set written by the one, read by the other.
    #[test]
    fn what_cannot_be_read_is_refused_and_nothing_else() {
        for (from, to, expected) in [
            ("redis:6.2", "redis:7.0", "silent"),
            ("redis:6.2", "valkey/valkey:9.1", "silent"),
            ("redis:7.0", "redis:6.2", "refused"),
            ("redis:7.0", "redis:8.2", "silent"),
            ("redis:7.0", "valkey/valkey:8.1", "silent"),
            ("redis:7.0", "valkey/valkey:9.1", "silent"),
            ("redis:8.2", "redis:7.0", "refused"),
            ("redis:8.2", "valkey/valkey:8.1", "refused"),
            ("redis:8.2", "valkey/valkey:9.1", "refused"),
            ("valkey/valkey:8.1", "redis:7.0", "refused"),
            ("valkey/valkey:8.1", "redis:8.2", "silent"),
            ("valkey/valkey:8.1", "valkey/valkey:9.1", "silent"),
            ("valkey/valkey:9.1", "redis:8.2", "refused"),
            ("valkey/valkey:9.1", "valkey/valkey:8.1", "refused"),
        ] {
            assert_eq!(judged(from, to), expected, "{from} to {to}");
        }
    }

    #[test]
    fn an_earlier_release_with_the_same_format_is_told_and_a_patch_is_not() {
        for (from, to, expected) in [
            ("redis:8.2.6", "redis:8.0.4", "warned"),
            ("redis:8.6", "redis:8.2", "refused"),
            ("redis:8", "redis:8.2.8", "warned"),
            ("valkey/valkey:8.1", "valkey/valkey:7.2", "warned"),
            ("redis:7.4.10", "redis:7.4.1-alpine", "silent"),
            ("redis:7.2", "redis:7", "silent"),
            ("redis:7", "redis:7.2", "warned"),
            ("redis:8", "redis:7.2", "refused"),
            ("redis:7.2", "registry.example.com/redis:7.0", "refused"),
            ("redis:latest", "redis:6.2", "silent"),
            ("redis:7.4", "team/cache:1.0", "silent"),
        ] {
            assert_eq!(judged(from, to), expected, "{from} to {to}");
        }
    }

    #[test]
    fn the_annotation_opens_the_way_for_the_image_that_it_names_and_no_other() {
        let old = instance("redis:7.2", json!({}), json!(null));
        let to = |named: &str| {
            let new = instance("redis:6.2", json!({"annotations": {DOWNGRADE_ANNOTATION: named}}), json!(null));
            (fault(&old, &new).is_some(), warning(&old, &new).is_some())
        };
        assert_eq!(to("redis:6.2"), (false, true));
        assert!(to("redis:6.2.14").0 && to("").0 && to("*").0);
    }

    #[test]
    fn the_last_known_version_is_judged_by_where_the_present_image_tells_none() {
        let judged = |wrote: &str, served: Value, from: &str, to: &str| {
            let old = instance(from, json!({}), json!({"status": "Running", "version": served, "dataVersion": wrote}));
            fault(&old, &instance(to, json!({}), json!(null))).is_some()
        };
        let digest = format!("redis@sha256:{}", "0".repeat(64));
        for from in ["redis:latest", "redis", "team/cache:blue", &digest] {
            assert!(judged("redis 8.2", json!(null), from, "redis:6.2"), "{from}");
            assert!(judged("valkey 9.1.0", json!(null), from, "redis:8.2"), "{from}");
            assert!(
                !judged("redis 8.2", json!(null), from, "redis:8.2.3")
                    && !judged("redis 8.2", json!(null), from, "redis")
            );
        }
        assert!(judged("redis 7.0.15", json!("7.0.15"), "redis:8.2", "redis:6.2"), "8.2 never served, 7.0 did");
        assert!(!judged("redis 7.0.15", json!("7.0.15"), "redis:8.2", "redis:7.0.15"));
        assert!(!judged("nonsense", json!(null), "redis:latest", "redis:6.2"));
        assert_eq!(
            data_version(&ImageReference::parse("team/redis:v7.2.5-x").unwrap()).as_deref(),
            Some("redis 7.2.5")
        );
        assert_eq!(data_version(&ImageReference::parse("redis:latest").unwrap()), None);
    }

    #[test]
    fn an_image_that_never_served_can_be_taken_back() {
        let new = instance("redis:7.0.15", json!({}), json!(null));
        let from = |served: Value| {
            let old = instance("redis:7.2.5", json!({}), json!({"status": "Updating", "version": served}));
            (fault(&old, &new).is_some(), warning(&old, &new).is_some())
        };
        assert_eq!(from(json!("7.0.15")), (false, true));
        assert_eq!(from(json!(null)), (false, true), "it is new, and no server has served yet");
        assert!(from(json!("7.2.5")).0);
    }
}
