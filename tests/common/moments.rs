//! How often a test repeats what it does, and when it kills something: at moments that differ, and are the same for the
//! same SEED.

use std::time::Duration;

/// How often a test that can be repeated is: `ROUNDS`, else this many times.
pub(crate) fn rounds(usual: usize) -> usize {
    std::env::var("ROUNDS").map_or(usual, |rounds| rounds.parse().expect("ROUNDS must be a number"))
}

/// Moments that look random and are the same for the same seed.
pub(crate) struct Moments(u64);

impl Moments {
    /// Those of SEED.
    pub(crate) fn seeded() -> Self {
        let seed = std::env::var("SEED").map_or(4711, |seed| seed.parse().expect("SEED must be a number"));
        eprintln!("SEED={seed}");
        Self(seed)
    }

    /// Lets less than this pass.
    #[expect(clippy::disallowed_methods, reason = "the moment of a crash is what is tried here, not a condition")]
    pub(crate) async fn pass(&mut self, most: Duration) {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part = (self.0 >> 33) % 1000;
        tokio::time::sleep(most * u32::try_from(part).unwrap() / 1000).await;
    }
}
