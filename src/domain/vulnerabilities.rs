//! Versions of Redis and Valkey with vulnerabilities that let a client take over the server, matched by the tag of the
//! image. A small dated table for admission warnings, not a scanner: a distribution may have fixed a version without
//! changing its number.

use super::{directives::release::exact, image::ImageReference};

/// When the table was last compared with its sources. Those are, for each entry, the projects' release notes (Redis: the
/// pages of `redis/docs` below `release-notes/redisce`; Valkey: the releases' own notes), for older lines OSV's records
/// of the same number. What of a line could not be verified is left out: a line in `unverified` gets no word. Left out
/// too is what needs TLS in Redis, which no instance has (CVE-2026-56684, CVE-2026-81934).
pub const COMPARED: &str = "2026-11-24";

type Version = (u32, u32, u32);

#[derive(Debug)]
struct Vulnerability {
    id: &'static str,
    what: &'static str,
    engine: &'static str,
    /// The first version that has it.
    since: Version,
    /// The first fixed version of each line. Lines older than the last entry that are not listed have no fix.
    fixed: &'static [Version],
    unverified: &'static [(u32, u32)],
}

/// The most severe comes first, because it is the one in the warning.
const TABLE: &[Vulnerability] = &[
    Vulnerability {
        id: "CVE-2025-49844",
        what: "Lua use-after-free",
        engine: "redis",
        since: (0, 0, 0),
        fixed: &[(6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)],
        unverified: &[],
    },
    Vulnerability {
        id: "CVE-2025-49844",
        what: "Lua use-after-free",
        engine: "valkey",
        since: (0, 0, 0),
        fixed: &[(7, 2, 11), (8, 0, 6), (8, 1, 4)],
        unverified: &[],
    },
    Vulnerability {
        id: "CVE-2025-62507",
        what: "stack overflow in XACKDEL",
        engine: "redis",
        since: (8, 2, 0),
        fixed: &[(8, 2, 3)],
        unverified: &[],
    },
    Vulnerability {
        id: "CVE-2026-63639",
        what: "use-after-free from a stream in RESTORE",
        engine: "valkey",
        since: (0, 0, 0),
        fixed: &[(8, 0, 10), (9, 0, 5), (9, 1, 1)],
        unverified: &[(7, 2), (8, 1)],
    },
    Vulnerability {
        id: "CVE-2026-23479",
        what: "use-after-free of a blocked client",
        engine: "redis",
        since: (7, 2, 0),
        fixed: &[(7, 4, 9), (8, 2, 6), (8, 4, 3), (8, 6, 3)],
        unverified: &[(7, 2)],
    },
    Vulnerability {
        id: "CVE-2026-23479",
        what: "use-after-free of a blocked client",
        engine: "valkey",
        since: (0, 0, 0),
        // 8.0.8 had the fix and was withdrawn.
        fixed: &[(7, 2, 13), (8, 0, 9), (8, 1, 7), (9, 0, 4)],
        unverified: &[],
    },
    Vulnerability {
        id: "CVE-2025-67733",
        what: "answers of one client forged by another's Lua",
        engine: "valkey",
        since: (0, 0, 0),
        fixed: &[(7, 2, 12), (8, 0, 7), (8, 1, 6), (9, 0, 2)],
        unverified: &[],
    },
];

impl Vulnerability {
    /// The first version that fixes this one, in its own line or in the next fixed line. `None` if it is not affected
    /// or nothing is known.
    fn cure(&self, version: Version) -> Option<Version> {
        let line = (version.0, version.1);
        if version < self.since || self.unverified.contains(&line) {
            return None;
        }
        let of_line = self.fixed.iter().find(|fixed| (fixed.0, fixed.1) == line);
        let later = || self.fixed.iter().find(|fixed| **fixed > version);
        of_line.map_or_else(later, |fixed| (version < *fixed).then_some(fixed)).copied()
    }
}

/// The word about an image whose tag names an exact version that is known to be vulnerable.
#[must_use]
pub fn warning(image: &ImageReference) -> Option<String> {
    let (engine, version) = exact(image)?;
    let of_engine = TABLE.iter().filter(|entry| entry.engine == engine);
    let found: Vec<(&Vulnerability, Version)> =
        of_engine.filter_map(|entry| Some((entry, entry.cure(version)?))).collect();
    let (gravest, _) = found.first()?;
    let cure = found.iter().map(|(_, cure)| *cure).max()?;
    let more = match found.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let unmended = if (cure.0, cure.1) == (version.0, version.1) {
        String::new()
    } else {
        format!("not fixed in {}.{}: ", version.0, version.1)
    };
    let text = |(major, minor, patch): Version| format!("{major}.{minor}.{patch}");
    let Vulnerability { id, what, .. } = gravest;
    Some(format!("spec.image: {engine} {} has {id} ({what}){more}; {unmended}use {}", text(version), text(cure)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(image: &str) -> Option<String> {
        warning(&ImageReference::parse(image).unwrap())
    }

    #[test]
    fn the_gravest_is_named_with_the_version_that_mends_all() {
        for (image, expected) in [
            (
                "redis:7.4.6",
                "spec.image: redis 7.4.6 has CVE-2026-23479 (use-after-free of a blocked client); use 7.4.9",
            ),
            (
                "redis:7.4.5-alpine",
                "spec.image: redis 7.4.5 has CVE-2025-49844 (Lua use-after-free) and 1 more; use 7.4.9",
            ),
            (
                "docker.io/library/redis:7.2.10",
                "spec.image: redis 7.2.10 has CVE-2025-49844 (Lua use-after-free); use 7.2.11",
            ),
            (
                "redis:7.0.15",
                "spec.image: redis 7.0.15 has CVE-2025-49844 (Lua use-after-free); not fixed in 7.0: use 7.2.11",
            ),
            (
                "redis:8.0.6",
                "spec.image: redis 8.0.6 has CVE-2026-23479 (use-after-free of a blocked client); not fixed in 8.0: use 8.2.6",
            ),
            (
                "valkey/valkey:9.1.0",
                "spec.image: valkey 9.1.0 has CVE-2026-63639 (use-after-free from a stream in RESTORE); use 9.1.1",
            ),
            (
                "valkey/valkey:8.1.3",
                "spec.image: valkey 8.1.3 has CVE-2025-49844 (Lua use-after-free) and 2 more; use 8.1.7",
            ),
        ] {
            assert_eq!(told(image).as_deref(), Some(expected), "{image}");
        }
    }

    #[test]
    fn what_is_mended_moves_or_is_not_known_gets_no_word() {
        for image in [
            "redis:7.4.9",
            "redis:8.8.0",
            "redis:8.10.2",
            "redis:7.2.11",
            "valkey/valkey:9.1.1",
            "redis:7.4",
            "redis:7",
            "redis",
            "redis:latest",
            "redis/redis-stack-server:7.2.0-v10",
            "valkey/valkey-bundle:8.1.0",
            "registry.example.com/team/cache:7.0.0",
        ] {
            assert_eq!(told(image), None, "{image}");
        }
    }

    #[test]
    fn every_word_is_short_enough_for_the_api() {
        for entry in TABLE {
            for line in entry.fixed {
                for patch in 0..line.2 {
                    let image = format!("{}:{}.{}.{patch}", entry.engine, line.0, line.1);
                    let told = told(&image).unwrap_or_default();
                    assert!((1..=120).contains(&told.len()), "{image}: {told:?}");
                }
            }
            assert!(entry.fixed.is_sorted(), "{}", entry.id);
        }
    }
}
