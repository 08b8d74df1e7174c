//! Determines the release line of an image from its name alone; the contents of the image are not known.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use super::{Directive, LINES, Line};
use crate::domain::image::ImageReference;

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let of_line: BTreeMap<_, Vec<&str>> =
        LINES.iter().map(|line| ((line.engine.as_str(), line.version), line.names().collect())).collect();
    let of_any: BTreeSet<&str> = of_line.values().flatten().copied().collect();
    Names { of_line, of_any: of_any.into_iter().collect() }
});

/// The names and aliases of directives, in order.
struct Names {
    of_line: BTreeMap<(&'static str, (u32, u32)), Vec<&'static str>>,
    of_any: Vec<&'static str>,
}

/// The release that a configuration is validated against.
#[derive(Clone, Copy, Debug)]
pub enum Release {
    /// The release line the image's tag names.
    Known(&'static Line),
    /// The tag names none that there is a table of: what any of them takes is taken.
    Unknown,
}

/// The release line of an image: the engine from the repository, the version from the tag. A tag with a major number
/// alone moves with the releases, so it is the newest line of that major.
#[must_use]
pub fn release(image: &ImageReference) -> Release {
    let Some((engine, major, minor)) =
        engine(image).and_then(|engine| version(image).map(|(major, minor)| (engine, major, minor)))
    else {
        return Release::Unknown;
    };
    let fits = |line: &&Line| {
        line.engine == engine && line.version.0 == major && minor.is_none_or(|minor| line.version.1 == minor)
    };
    LINES.iter().rfind(fits).map_or(Release::Unknown, Release::Known)
}

/// Engine and exact version of an image that is a release of the engine itself: the last part of the repository is its name
/// and no more, since the numbers of bundles are their own, and the tag has all three numbers.
#[must_use]
pub fn exact(image: &ImageReference) -> Option<(&'static str, (u32, u32, u32))> {
    let name = image.repository().rsplit('/').next()?;
    let engine = ["redis", "valkey"].into_iter().find(|engine| name == *engine)?;
    let tag = image.tag()?;
    let version = tag.strip_prefix('v').unwrap_or(tag).split(['-', '_', '+']).next()?;
    let numbers: Vec<u32> = version.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    match numbers.as_slice() {
        &[major, minor, patch] => Some((engine, (major, minor, patch))),
        _ => None,
    }
}

/// The first release line that starts with the operator's redis.conf, which needs `bind * -::*`, and that has ACL users.
pub const OLDEST: (u32, u32) = (6, 2);

/// Why the image is not supported, if it is a release of the engine itself older than [`OLDEST`].
#[must_use]
pub fn too_old(image: &ImageReference) -> Option<String> {
    let name = image.repository().rsplit('/').next()?;
    let engine = ["redis", "valkey"].into_iter().find(|engine| name == *engine)?;
    let (major, minor) = version(image)?;
    let shown = minor.map_or_else(|| major.to_string(), |minor| format!("{major}.{minor}"));
    let (least, of) = OLDEST;
    ((major, minor.unwrap_or(u32::MAX)) < OLDEST)
        .then(|| format!("redis {least}.{of} or later is required; the image is {engine} {shown}"))
}

/// `redis` or `valkey`, if the last part of the repository says so.
#[must_use]
pub fn engine(image: &ImageReference) -> Option<&'static str> {
    let name = image.repository().rsplit('/').next().unwrap_or_default();
    ["valkey", "redis"].into_iter().find(|engine| name.contains(engine))
}

/// Major and, if the tag has it, minor number.
#[must_use]
pub fn version(image: &ImageReference) -> Option<(u32, Option<u32>)> {
    let tag = image.tag()?;
    let version = tag.strip_prefix('v').unwrap_or(tag).split(['-', '_', '+']).next()?;
    let mut numbers = version.split('.').map(str::parse);
    let major = numbers.next()?.ok()?;
    let minor = numbers.next().transpose().ok()?;
    Some((major, minor))
}

impl Release {
    /// As people say it: `redis 7.2`.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Known(line) => line.title(),
            Self::Unknown => "any known version of redis and valkey".to_owned(),
        }
    }

    /// Whether the official images of this release bring modules, which only their entrypoint loads.
    #[must_use]
    pub fn comes_with_modules(&self) -> bool {
        matches!(self, Self::Known(line) if line.engine == "redis" && line.version >= (8, 0))
    }

    /// The directive of this name or alias; of an unknown release, the newest line's that has it.
    #[must_use]
    pub fn directive(&self, name: &str) -> Option<&'static Directive> {
        match self {
            Self::Known(line) => line.directive(name),
            Self::Unknown => LINES.iter().rev().find_map(|line| line.directive(name)),
        }
    }

    /// Every form of the directive that may be meant: one for a known release, one a line for an unknown one.
    #[must_use]
    pub fn candidates(&self, name: &str) -> Vec<(&'static Line, &'static Directive)> {
        match self {
            Self::Known(line) => line.directive(name).map(|directive| (*line, directive)).into_iter().collect(),
            Self::Unknown => LINES.iter().rev().filter_map(|line| Some((line, line.directive(name)?))).collect(),
        }
    }

    /// Whether a running server can be given another value of this directive, and its default back. Of an unknown release
    /// every line must agree; what no table knows needs a restart.
    #[must_use]
    pub fn is_live(&self, name: &str) -> bool {
        let candidates = self.candidates(name);
        let settable = |(_, directive): &(&Line, &Directive)| directive.is_live() && !directive.default.is_null();
        !candidates.is_empty() && candidates.iter().all(settable)
    }

    /// Every name and alias that may be meant, in order. Sorted once: 256 directives of one spec may ask.
    #[must_use]
    pub fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Known(line) => {
                NAMES.of_line.get(&(line.engine.as_str(), line.version)).map(Vec::as_slice).unwrap_or_default()
            }
            Self::Unknown => &NAMES.of_any,
        }
    }

    /// Explains a name that this release lacks: added in a later line of the engine, or removed since an earlier one.
    #[must_use]
    pub fn elsewhere(&self, name: &str) -> Option<String> {
        let Self::Known(this) = self else { return None };
        let of_engine = || LINES.iter().filter(|line| line.engine == this.engine && line.directive(name).is_some());
        if let Some(later) = of_engine().find(|line| line.version > this.version) {
            return Some(format!("added in {}, the image is {}", later.title(), this.title()));
        }
        if let Some(earlier) = of_engine().rfind(|line| line.version < this.version) {
            return Some(format!("no longer in {}; the last version with it is {}", this.title(), earlier.title()));
        }
        let other = LINES.iter().find(|line| line.directive(name).is_some())?;
        Some(format!("a directive of {}, the image is {}", other.engine, this.title()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title(image: &str) -> String {
        release(&ImageReference::parse(image).unwrap()).title()
    }

    #[test]
    fn the_name_of_an_image_tells_its_line() {
        assert_eq!(title("redis:7.2.5-alpine"), "redis 7.2");
        assert_eq!(title("valkey/valkey:8.1"), "valkey 8.1");
        assert_eq!(
            title(
                "registry.example.com:5000/x/redis:7@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
            ),
            "redis 7.4"
        );
        assert_eq!(title("redis/redis-stack-server:v8.0.1"), "redis 8.0");
    }

    #[test]
    fn releases_before_6_2_are_too_old_where_the_name_is_the_engines_own() {
        let old = |image: &str| too_old(&ImageReference::parse(image).unwrap()).is_some();
        for image in [
            "redis:5",
            "redis:6.0.16-alpine",
            "redis:3.2.12",
            "bitnami/redis:v5.0.14",
            "redis:2.8",
            "registry.example.com:5000/x/redis:4-buster",
        ] {
            assert!(old(image), "{image}");
        }
        for image in [
            "redis:6",
            "redis:6.2",
            "redis:6.2.0",
            "redis",
            "redis:latest",
            "oliver006/redis_exporter:v1.58.0",
            "team/cache:1.0",
            "valkey/valkey:7.2",
            "redis:10",
        ] {
            assert!(!old(image), "{image}");
        }
    }

    #[test]
    fn what_the_name_does_not_tell_is_unknown() {
        for image in
            ["redis", "redis:latest", "redis:alpine", "redis:99.1", "team/cache:7.2", "valkey/valkey:9.0", "redis:7.x"]
        {
            assert!(matches!(release(&ImageReference::parse(image).unwrap()), Release::Unknown), "{image}");
        }
    }

    #[test]
    fn what_a_running_server_can_be_given_depends_on_the_release() {
        let live = |image: &str, name: &str| release(&ImageReference::parse(image).unwrap()).is_live(name);
        assert!(live("redis:7.2", "maxmemory") && live("redis:7.2", "slave-read-only"));
        assert!(!live("redis:7.2", "databases") && !live("redis:7.2", "banana"));
        assert!(live("redis:latest", "maxmemory") && !live("redis:latest", "io-threads"));
    }

    #[test]
    fn a_name_of_another_release_is_told() {
        let release = release(&ImageReference::parse("redis:6.2").unwrap());
        assert_eq!(release.elsewhere("latency-tracking").unwrap(), "added in redis 7.0, the image is redis 6.2");
        assert_eq!(release.elsewhere("maxmemroy"), None);
    }
}
