//! Compares our verdict with Go's, vector by vector: a difference needs a reason that is written down, and a reason needs
//! a difference. Knows nothing of quantities and images.

use std::fmt::Debug;

/// How many differences are printed; one mistake makes thousands.
const PRINTED: usize = 50;

/// A difference that is meant: when it applies, and why.
pub(crate) struct Intended<V, P> {
    /// Stands in docs/parsers.md as well.
    pub(crate) reason: &'static str,
    pub(crate) applies: fn(&V, &P) -> bool,
}

/// What has been compared so far.
pub(crate) struct Judge<V: 'static, P: 'static> {
    intended: &'static [Intended<V, P>],
    used: Vec<usize>,
    faults: Vec<String>,
    unexplained: usize,
    pub(crate) agreed: usize,
}

impl<V: Debug, P: Debug> Judge<V, P> {
    pub(crate) fn new(intended: &'static [Intended<V, P>]) -> Self {
        Self { intended, used: vec![0; intended.len()], faults: Vec::new(), unexplained: 0, agreed: 0 }
    }

    pub(crate) fn take(&mut self, vector: &V, ours: &P, agree: bool) {
        if agree {
            self.agreed += 1;
            return;
        }
        match self.intended.iter().position(|difference| (difference.applies)(vector, ours)) {
            Some(reason) => self.used[reason] += 1,
            None => self.fault(format!("ours {ours:?}, Go {vector:?}")),
        }
    }

    pub(crate) fn fault(&mut self, text: String) {
        self.unexplained += 1;
        if self.faults.len() < PRINTED {
            self.faults.push(text);
        }
    }

    /// Fails with the differences that no reason covers.
    pub(crate) fn explained(&self) {
        assert!(self.faults.is_empty(), "{} unintended differences:\n{}", self.unexplained, self.faults.join("\n"));
    }

    /// Fails with those, and with the reasons that cover none.
    pub(crate) fn conclude(&self) {
        self.explained();
        let unused = self.intended.iter().zip(&self.used).filter(|(_, used)| **used == 0);
        let unused: Vec<&str> = unused.map(|(difference, _)| difference.reason).collect();
        assert!(unused.is_empty(), "intended differences that no vector shows: {unused:?}");
    }

    /// What was compared, as a line of text.
    pub(crate) fn figures(&self) -> String {
        let intended: Vec<String> = self
            .intended
            .iter()
            .zip(&self.used)
            .map(|(difference, used)| format!("\n  {used} differ as intended: {}", difference.reason))
            .collect();
        format!("{} agree, {} differ unexplained{}", self.agreed, self.unexplained, intended.concat())
    }
}
