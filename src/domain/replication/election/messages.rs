//! Messages of an election: what it waits for, and what an administrator loses with each choice.

use super::Election;
use crate::domain::{
    names::{self, PROMOTE_ANNOTATION},
    reason::Reason,
    replication::{Answer, Evasion, Member, Record, Told, verdict::Verdict},
};

impl<'a> Election<'a> {
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
        others.sort_by_key(|other| std::cmp::Reverse(self.continued(other).map(|reported| reported.offset)));
        let remedy = others
            .first()
            .map_or_else(String::new, |other| format!(", or give up what only it has: {}", self.command(other)));
        let losses = others.iter().map(|other| self.loss(other)).collect::<Vec<_>>().join("; ");
        let losses = if losses.is_empty() { losses } else { format!("; {losses}") };
        Verdict::Stuck(format!(
            "{} has the newest data and cannot be reached{losses}; bring it back{remedy}",
            self.pod(primary)
        ))
    }

    /// The reported state of a server whose data continue the recorded history.
    fn continued(&self, member: &'a Member) -> Option<&'a Told> {
        let record = self.record?;
        member.loaded().filter(|reported| reported.continues(&record.history))
    }

    /// Describes what would be lost by promoting this pod, as far as it is known.
    fn loss(&self, member: &'a Member) -> String {
        let pod = self.pod(member);
        let Some(reported) = self.continued(member) else {
            return format!("{pod} was restarted, and what it lacks is not known");
        };
        let bytes = self.seen.and_then(|seen| Some((seen.lacks(reported)?, seen.ago)));
        let bytes = bytes.map(|(bytes, ago)| format!(", {bytes} bytes behind the primary as that was {ago} s ago"));
        let down = reported.link().and_then(|link| link.down);
        let down = down.map(|seconds| format!(", without a link to it for {seconds} s"));
        let (bytes, down) = (bytes.unwrap_or_default(), down.unwrap_or_default());
        format!("{pod} was not in sync: it is at replication offset {}{bytes}{down}", reported.offset)
    }

    pub(super) fn out_of_range(&self, record: &Record) -> Verdict {
        let newest = record.primary.unwrap_or_default();
        let remedy = self
            .with_data(|_| true)
            .first()
            .map_or_else(String::new, |other| format!(", or give up what only it has: {}", self.command(other)));
        Verdict::Stuck(format!(
            "the newest data is in the volume of {}, which spec.replicas leaves out: set it to {} at least{remedy}",
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
