//! What outlives every pod and every operator: which volume held the primary's data last, and in which history. It stands
//! in an annotation of the claims, because it says something about the data: with a claim its word goes too.

use std::collections::BTreeSet;

/// Annotation of a claim: `TERM HISTORY primary|replica`, as in `3 8f0c... primary`.
pub const REPLICATION_ANNOTATION: &str = "redis.github.com/replication";

/// The mark of one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Counts the promotions of the instance; the claim with the highest has the newest data.
    pub term: u64,
    /// Name of the history that the data belong to, or that they go on with.
    pub history: String,
    /// Whether it was the primary's.
    pub primary: bool,
}

impl Mark {
    /// Reads an annotation; what is no mark is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let term = words.next()?.parse().ok()?;
        let history = words.next().filter(|word| word.len() <= 64)?.to_owned();
        let primary = match words.next()? {
            "primary" => true,
            "replica" => false,
            _ => return None,
        };
        words.next().is_none().then_some(Self { term, history, primary })
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.term, self.history, if self.primary { "primary" } else { "replica" })
    }
}

/// What the marks of all claims come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The latest term.
    pub term: u64,
    /// The history that began or went on with it.
    pub history: String,
    /// The pod that was primary in it, unless its claim is gone.
    pub primary: Option<i32>,
    /// The pods that had its data.
    pub members: BTreeSet<i32>,
}

impl Record {
    /// Sums up the marks, each with the ordinal of its claim; `None` for an instance that was never replicated.
    #[must_use]
    pub fn of(marks: &[(i32, Mark)]) -> Option<Self> {
        let term = marks.iter().map(|(_, mark)| mark.term).max()?;
        let latest: Vec<&(i32, Mark)> = marks.iter().filter(|(_, mark)| mark.term == term).collect();
        let primary = latest.iter().find(|(_, mark)| mark.primary);
        let (_, mark) = primary.or_else(|| latest.first())?;
        Some(Self {
            term,
            history: mark.history.clone(),
            primary: primary.map(|(ordinal, _)| *ordinal),
            members: latest.iter().map(|(ordinal, _)| *ordinal).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_nothing_else_is_one() {
        let mark = Mark { term: 3, history: "8f0c".to_owned(), primary: true };
        assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
        for text in ["", "3", "3 a", "3 a boss", "x a primary", "3 a primary more"] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_latest_term_counts() {
        let marks: Vec<(i32, Mark)> = [(0, "1 a primary"), (1, "2 b primary"), (2, "2 b replica")]
            .map(|(ordinal, text)| (ordinal, Mark::parse(text).unwrap()))
            .into();
        let record = Record { term: 2, history: "b".to_owned(), primary: Some(1), members: [1, 2].into() };
        assert_eq!(Record::of(&marks), Some(record.clone()));
        let without = [marks[0].clone(), marks[2].clone()];
        assert_eq!(Record::of(&without), Some(Record { primary: None, members: [2].into(), ..record }));
        assert_eq!(Record::of(&[]), None);
    }
}
