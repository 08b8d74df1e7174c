//! What the operator took over a span of time: CPU and memory of its process, and its requests as the API server's audit
//! log has them. Knows nothing of what was done meanwhile.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    common::{
        audit::{self, Entry},
        operator::Operator,
    },
    figures,
};

/// The operator counts as quiet after this long without a write and with next to no CPU: what it reads by the clock goes on.
const QUIET: Duration = Duration::from_secs(3);

/// A span that has begun.
pub(super) struct Ledger {
    process: u32,
    user: String,
    cpu: f64,
    read: u64,
    pub(super) begun: Timestamp,
    /// Every request of the operator's since.
    pub(super) ours: Vec<Entry>,
    /// Every request of anybody else's since.
    pub(super) others: Vec<Entry>,
}

impl Ledger {
    /// Begins now.
    pub(super) fn open(operator: &Operator) -> Self {
        let mut ledger = Self::before_the_start(operator.user.clone());
        ledger.of(operator);
        ledger
    }

    /// Begins now, for a process that is yet to start.
    pub(super) fn before_the_start(user: String) -> Self {
        let (read, begun) = (audit::length(), Timestamp::now());
        Self { process: 0, user, cpu: 0.0, read, begun, ours: Vec::new(), others: Vec::new() }
    }

    /// Goes on with the CPU of this process, from now.
    pub(super) fn of(&mut self, operator: &Operator) {
        (self.process, self.cpu) = (operator.id(), figures::cpu_seconds(operator.id()));
    }

    /// The same, with all the CPU it has used since it was started.
    pub(super) fn of_all(&mut self, operator: &Operator) {
        (self.process, self.cpu) = (operator.id(), 0.0);
    }

    /// Takes up what has happened since it was last asked.
    pub(super) fn read(&mut self) {
        let (entries, read) = audit::after(self.read);
        self.read = read;
        let (ours, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.user() == self.user);
        self.ours.extend(ours);
        self.others.extend(others);
    }

    /// CPU seconds since the beginning.
    pub(super) fn cpu(&self) -> f64 {
        figures::cpu_seconds(self.process) - self.cpu
    }

    /// Waits until the operator has nothing to do any more.
    pub(super) async fn quiet(&mut self) {
        let begun = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        let writes = |ledger: &Self| ledger.ours.iter().filter(|entry| entry.is_write()).count();
        let (mut since, mut cpu, mut written) = (Instant::now(), self.cpu(), writes(self));
        while since.elapsed() < QUIET {
            assert!(begun.elapsed() < Duration::from_mins(10), "the operator does not come to rest");
            tick.tick().await;
            self.read();
            if self.cpu() > cpu + 0.025 || writes(self) > written {
                since = Instant::now();
            }
            (cpu, written) = (self.cpu(), writes(self));
        }
    }

    /// Seconds from the beginning to the answer of the operator's last request.
    pub(super) fn last_request(&self) -> f64 {
        let last = self.ours.iter().map(Entry::answered).max().unwrap_or(self.begun);
        last.duration_since(self.begun).as_secs_f64()
    }

    /// Prints what it came to; with a number of instances, also for each of them.
    pub(super) fn print(&self, instances: usize) {
        let (cpu, (resident, peak)) = (self.cpu(), figures::memory(self.process));
        #[expect(clippy::cast_precision_loss, reason = "counts of instances and requests")]
        let each = |total: usize| total as f64 / instances as f64;
        #[expect(clippy::cast_precision_loss, reason = "a count of instances")]
        let milliseconds = cpu * 1000.0 / instances as f64;
        println!("  CPU {cpu:.2} s ({milliseconds:.2} ms an instance), resident {resident:.0} MiB, peak {peak:.0} MiB");
        let writes = self.ours.iter().filter(|entry| entry.is_write()).count();
        let refused = self.ours.iter().filter(|entry| entry.code() >= 400).count();
        let all = self.ours.len();
        println!(
            "  requests {all} ({:.2} an instance), writes {writes} ({:.2}), refused {refused}",
            each(all),
            each(writes)
        );
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for entry in &self.ours {
            let refused = if entry.code() >= 400 { format!(" -> {}", entry.code()) } else { String::new() };
            *kinds.entry(format!("{} {}{refused}", entry.verb(), entry.resource())).or_default() += 1;
        }
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        println!("    {}", if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") });
    }
}
