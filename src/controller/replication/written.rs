//! What was written to objects and the watch may not have shown yet: until it does, what was written is what is there.
//! Compares versions; what is written is not its business.

use std::collections::BTreeMap;

/// The last write to each object, by its uid, with the version that it got.
#[derive(Clone, Debug)]
pub(super) struct Written<T>(BTreeMap<String, (u128, T)>);

impl<T> Default for Written<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Clone> Written<T> {
    /// What was written to this object after the version that is shown.
    pub(super) fn since(&self, uid: &str, shown: Option<u128>) -> Option<T> {
        let (version, what) = self.0.get(uid)?;
        (*version > shown.unwrap_or(0)).then(|| what.clone())
    }

    /// Remembers a write, and forgets those to other objects that the watch must have shown.
    pub(super) fn wrote(&mut self, uid: String, version: Option<&String>, what: T) {
        let Some(version) = version.and_then(|version| version.parse().ok()) else { return };
        self.0.insert(uid, (version, what));
        // Versions grow over all objects: with so many later ones, an old one has been shown or its object is gone.
        while self.0.len() > KEPT {
            let oldest = self.0.iter().min_by_key(|(_, (version, _))| *version).map(|(uid, _)| uid.clone());
            let Some(oldest) = oldest else { return };
            self.0.remove(&oldest);
        }
    }
}

/// Writes that are remembered: those to all pods of the largest instance, twice over.
const KEPT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_counts_until_it_is_shown() {
        let mut written = Written::default();
        written.wrote("a".to_owned(), Some(&"7".to_owned()), "x");
        assert_eq!((written.since("a", Some(6)), written.since("a", Some(7))), (Some("x"), None));
        assert_eq!((written.since("a", None), written.since("b", None)), (Some("x"), None));
        for version in 8..60 {
            written.wrote(version.to_string(), Some(&version.to_string()), "y");
        }
        assert_eq!((written.0.len(), written.since("a", None), written.since("59", None)), (KEPT, None, Some("y")));
    }
}
