//! An instance without a record, and the sentences of an election: what is waited for, and what each choice of an
//! administrator loses.

use super::{
    Answer, Evasion, Member, Record, Told,
    election::Election,
    verdict::{Cause, Verdict},
};
use crate::domain::{
    names::{self, PROMOTE_ANNOTATION},
    reason::Reason,
};

impl<'a> Election<'a> {
    /// Nothing is recorded: the instance begins, perhaps with the volumes of an earlier life.
    pub(super) fn first(&self) -> Verdict {
        // A server that runs and does not say yet what it holds may hold data.
        let runs = |member: &Member| match &member.answer {
            Answer::Silent { seconds } => *seconds < self.limits.silence,
            Answer::Evasive(_) | Answer::Told(_) => true,
            Answer::Absent => false,
        };
        let missing = self.unheard(|member| member.inherited || runs(member));
        if !missing.is_empty() {
            return self.missing(&missing);
        }
        let full = self.with_data(|_| true);
        match full.as_slice() {
            [] => self.first_of_the_empty(),
            [one] => Verdict::Promote(one.ordinal, Cause::First),
            several => match furthest(several) {
                Some(best) => Verdict::Promote(best.ordinal, Cause::First),
                None => self.undecided(several, "hold data that cannot be compared"),
            },
        }
    }

    /// Pod 0, if nothing keeps it from starting, since that is where people look first.
    fn first_of_the_empty(&self) -> Verdict {
        let awaited = |member: &&Member| member.loaded().is_some() || (self.patient && !member.hindered);
        let begun = self.members.iter().find(awaited);
        match begun.filter(|member| member.loaded().is_some()) {
            Some(one) => Verdict::Promote(one.ordinal, Cause::First),
            None => Verdict::Wait(Reason::PrimaryMissing, "waiting for the first pod to start".to_owned()),
        }
    }

    /// The loaded servers that hold data.
    pub(super) fn with_data(&self, among: impl Fn(&Member) -> bool) -> Vec<&'a Member> {
        let full = |member: &&Member| member.loaded().is_some_and(|told| !told.empty);
        self.members.iter().filter(full).filter(|member| among(member)).collect()
    }

    /// The servers that did not say what they hold.
    pub(super) fn unheard(&self, among: impl Fn(&Member) -> bool) -> Vec<&'a Member> {
        self.members.iter().filter(|member| member.loaded().is_none() && among(member)).collect()
    }

    pub(super) fn missing(&self, members: &[&Member]) -> Verdict {
        let message = format!("waiting for {}, whose volumes may have the newest data", self.list(members));
        Verdict::Wait(Reason::PrimaryMissing, message)
    }

    pub(super) fn waiting(&self, primary: &Member) -> Verdict {
        let full = if primary.answer == Answer::Evasive(Evasion::Full) {
            " and accepts no connection of the operator, since all that maxclients allows are in use: close connections, or raise \
             spec.config[maxclients], which restarts the pod"
        } else {
            ""
        };
        let message = format!("waiting for {}, which has the newest data{full}", self.pod(primary));
        Verdict::Wait(Reason::PrimaryMissing, message)
    }

    pub(super) fn lost(&self, primary: &Member, others: &[&Member]) -> Verdict {
        let mut others = others.to_vec();
        others.sort_by_key(|other| std::cmp::Reverse(self.continued(other).map(|told| told.offset)));
        let cure = others
            .first()
            .map_or_else(String::new, |other| format!(", or give up what only it has: {}", self.command(other)));
        let losses = others.iter().map(|other| self.loss(other)).collect::<Vec<_>>().join("; ");
        let losses = if losses.is_empty() { losses } else { format!("; {losses}") };
        Verdict::Stuck(format!(
            "{} has the newest data and cannot be reached{losses}; bring it back{cure}",
            self.pod(primary)
        ))
    }

    /// What a server tells that follows the recorded history.
    fn continued(&self, member: &'a Member) -> Option<&'a Told> {
        let record = self.record?;
        member.loaded().filter(|told| told.continues(&record.history))
    }

    /// What is lost when this one is promoted, as far as it is known.
    fn loss(&self, member: &'a Member) -> String {
        let pod = self.pod(member);
        let Some(told) = self.continued(member) else {
            return format!("{pod} was restarted, and what it lacks is not known");
        };
        let bytes = self.seen.and_then(|seen| Some((seen.lacks(told)?, seen.ago)));
        let bytes = bytes.map(|(bytes, ago)| format!(", {bytes} bytes behind the primary as that was {ago} s ago"));
        let down = told.link().and_then(|link| link.down);
        let down = down.map(|seconds| format!(", without a link to it for {seconds} s"));
        let (bytes, down) = (bytes.unwrap_or_default(), down.unwrap_or_default());
        format!("{pod} was not in sync: it is at replication offset {}{bytes}{down}", told.offset)
    }

    pub(super) fn out_of_range(&self, record: &Record) -> Verdict {
        let newest = record.primary.unwrap_or_default();
        let cure = self
            .with_data(|_| true)
            .first()
            .map_or_else(String::new, |other| format!(", or give up what only it has: {}", self.command(other)));
        Verdict::Stuck(format!(
            "the newest data is in the volume of {}, which spec.replicas leaves out: set it to {} at least{cure}",
            names::pod(self.instance, newest),
            newest + 1
        ))
    }

    pub(super) fn undecided(&self, members: &[&Member], what: &str) -> Verdict {
        let example = members.first().map_or_else(String::new, |member| self.command(member));
        Verdict::Stuck(format!("{} {what}; decide whose data the others get: {example}", self.list(members)))
    }

    fn list(&self, members: &[&Member]) -> String {
        members.iter().map(|member| self.pod(member)).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn pod(&self, member: &Member) -> String {
        names::pod(self.instance, member.ordinal)
    }

    pub(super) fn word_for(&self, member: &Member) -> String {
        format!("{}@{}", self.pod(member), self.record.map_or(0, |record| record.term))
    }

    fn command(&self, member: &Member) -> String {
        format!("kubectl annotate redisinstance {} {PROMOTE_ANNOTATION}={}", self.instance, self.word_for(member))
    }
}

/// The one furthest in the history that all of them belong to, if it is one.
fn furthest<'a>(members: &[&'a Member]) -> Option<&'a Member> {
    let told: Vec<(&Member, &Told)> = members.iter().filter_map(|member| Some((*member, member.loaded()?))).collect();
    let (_, one) = told.first()?;
    let comparable = told.iter().all(|(_, other)| other.history == one.history && other.offset > 0);
    let best = told.iter().max_by_key(|(member, told)| (told.offset, -member.ordinal));
    best.filter(|_| comparable).map(|(member, _)| *member)
}
