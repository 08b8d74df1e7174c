//! The record that survives every pod and every operator: which volume last held the primary's data, and in which
//! history. It is an annotation of the claims, because it describes the data: it is deleted together with the claim.

use std::collections::BTreeSet;

/// Annotation of a claim: `TERM HISTORY primary|replica|behind|promoting`, as in `3 8f0c... primary`.
pub const REPLICATION_ANNOTATION: &str = "redis.github.com/replication";
/// History of a server that was not probed yet; no other server continues it.
const UNKNOWN_HISTORY: &str = "-";

/// The record of one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Counts the promotions of the instance; the claim with the highest has the newest data.
    pub term: u64,
    /// The history (replication ID) that the data belong to or continue.
    pub history: String,
    /// The last known role of its server.
    pub state: State,
}

/// The role of the server of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It took the writes.
    Primary,
    /// It was in sync with the primary.
    Replica,
    /// It was in sync before and fell behind.
    Behind,
    /// It was in sync and is being promoted; until then the primary of the previous term has the newest data.
    Promoting,
}

const STATES: [(State, &str); 4] = [
    (State::Primary, "primary"),
    (State::Replica, "replica"),
    (State::Behind, "behind"),
    (State::Promoting, "promoting"),
];

impl Mark {
    /// The record for the primary of this term.
    #[must_use]
    pub const fn primary(term: u64, history: String) -> Self {
        Self { term, history, state: State::Primary }
    }

    /// The record for a single server that was not probed.
    #[must_use]
    pub fn alone() -> Self {
        Self::primary(1, UNKNOWN_HISTORY.to_owned())
    }

    /// Parses an annotation; invalid text is treated as no record.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let term = words.next()?.parse().ok()?;
        let history = words.next().filter(|word| word.len() <= 64)?.to_owned();
        let state = words.next()?;
        let (state, _) = STATES.iter().find(|(_, word)| *word == state)?;
        words.next().is_none().then_some(Self { term, history, state: *state })
    }

    /// The term in which its server was in sync.
    const fn settled_term(&self) -> u64 {
        match self.state {
            State::Promoting => self.term.saturating_sub(1),
            _ => self.term,
        }
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = STATES.iter().find(|(state, _)| *state == self.state).map_or("", |(_, word)| word);
        write!(f, "{} {} {word}", self.term, self.history)
    }
}

/// The combination of the records of all claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The latest term that a primary had.
    pub term: u64,
    /// The latest term of all records, including a promotion in progress.
    pub latest: u64,
    /// The history that began or continued with it.
    pub history: String,
    /// The pod that was primary in it, unless its claim is gone.
    pub primary: Option<i32>,
    /// The pods that have its data: the primary, and the replicas that were last in sync.
    pub members: BTreeSet<i32>,
}

impl Record {
    /// Combines the records, each with the ordinal of its claim; `None` for an instance that was never replicated.
    #[must_use]
    pub fn of(marks: &[(i32, Mark)]) -> Option<Self> {
        let latest = marks.iter().map(|(_, mark)| mark.term).max()?;
        let term = marks.iter().map(|(_, mark)| mark.settled_term()).max()?;
        let current: Vec<&(i32, Mark)> = marks.iter().filter(|(_, mark)| mark.settled_term() == term).collect();
        let primary = current.iter().find(|(_, mark)| mark.state == State::Primary);
        let (_, mark) = primary.or_else(|| current.first())?;
        let members = current.iter().filter(|(_, mark)| mark.state != State::Behind);
        Some(Self {
            term,
            latest,
            history: mark.history.clone(),
            primary: primary.map(|(ordinal, _)| *ordinal),
            members: members.map(|(ordinal, _)| *ordinal).collect(),
        })
    }

    /// True if the primary has never been probed: it was the only pod before.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        self.history == UNKNOWN_HISTORY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_nothing_else_is_one() {
        for (state, _) in STATES {
            let mark = Mark { term: 3, history: "8f0c".to_owned(), state };
            assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
        }
        assert_eq!(Mark::alone().to_string(), "1 - primary");
        for text in ["", "3", "3 a", "3 a boss", "x a primary", "3 a primary more"] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_latest_term_counts() {
        let marks = |texts: &[(i32, &str)]| -> Vec<(i32, Mark)> {
            texts.iter().map(|(ordinal, text)| (*ordinal, Mark::parse(text).unwrap())).collect()
        };
        let record = |texts| Record::of(&marks(texts));
        let whole = Record { term: 2, latest: 2, history: "b".to_owned(), primary: Some(1), members: [1, 2].into() };
        assert_eq!(record(&[(0, "1 a primary"), (1, "2 b primary"), (2, "2 b replica")]), Some(whole.clone()));
        let gone = Record { primary: None, members: [2].into(), ..whole.clone() };
        assert_eq!(record(&[(0, "1 a primary"), (2, "2 b replica")]), Some(gone));
        assert_eq!(record(&[]), None);
        // One that fell behind is no member, and one that was not promoted yet is none of the next term.
        let behind = [(0, "2 b behind"), (1, "2 b primary"), (2, "3 b promoting")];
        assert_eq!(record(&behind), Some(Record { latest: 3, ..whole }));
        let alone = record(&[(0, "1 - primary")]).unwrap();
        assert!(alone.is_unsettled() && alone.primary == Some(0));
    }
}
