//! Whether the server that takes the writes accepts them. The servers of several pods are asked all the time, for their roles;
//! one alone is asked here. What the answers mean is `domain::writes`'s.

use std::time::{Duration, Instant};

use kube::ResourceExt;

use super::{
    context::Context,
    credentials,
    error::{spread, within},
    observe,
    replication::{self, Roles},
    servers, status,
};
use crate::{
    api::v1::RedisInstance,
    domain::{
        live::has_password,
        names::{PORT, pod},
        observed::{Trouble, container},
        reason::Reason,
        replication::{Answer, Evasion, Member},
        writes::{Refusal, append_only_fails, snapshot_fails},
    },
    redis::{Persistence, Server, ServerError},
};

/// How often a server that runs alone is asked.
const CHECK: Duration = Duration::from_secs(15);
/// The same while it accepts no writes.
const SOON: Duration = Duration::from_secs(5);
/// The same while it cannot be reached: many of them, as behind a `NetworkPolicy`, must not take the workers' time.
const UNREACHED: Duration = Duration::from_mins(1);
/// The longest time over which a start spreads the first questions.
const START: Duration = Duration::from_mins(1);
/// How long a refusal lasts before it is reported: a replica that restarts, or a short script, is none. With `CHECK` it is
/// far below the 30 s within which a refusal has to be reported.
const LASTING: Duration = Duration::from_secs(4);
/// How long a server may take to accept a connection, and to answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// The reasons that a status may have because of what a server answered.
const REASONS: [Reason; 5] =
    [Reason::Busy, Reason::MaxClientsReached, Reason::ReadOnly, Reason::NotEnoughReplicas, Reason::PersistenceFailing];

/// What is remembered of one instance; all of it can be lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// When the server that runs alone is asked next.
    next: Option<Instant>,
    /// Why no writes are accepted, and since when.
    refusal: Option<(Refusal, Instant)>,
    /// What is reported.
    reported: Option<Trouble>,
}

/// What a server was heard to say.
enum Heard {
    /// Nothing: what was reported holds.
    Nothing,
    /// Why it accepts no writes, if it does not.
    Said(Option<Refusal>),
}

impl Memory {
    /// What to report.
    pub(super) fn reported(&self) -> Option<Box<Trouble>> {
        self.reported.clone().map(Box::new)
    }

    /// Notes an answer of this pod; whether something else is to be reported.
    fn note(&mut self, pod: &str, refusal: Option<Refusal>, now: Instant) -> bool {
        self.refusal = refusal.map(|refusal| match self.refusal.take() {
            Some((former, since)) if former.is_like(&refusal) => (refusal, since),
            _ => (refusal, now),
        });
        let lasts = |since: Instant| now.saturating_duration_since(since) >= LASTING;
        let reported = match &self.refusal {
            Some((refusal, since)) if lasts(*since) => Some(refusal.trouble(pod)),
            // What was reported holds until another cause has lasted.
            Some(_) => self.reported.clone(),
            None => None,
        };
        std::mem::replace(&mut self.reported, reported.clone()) != reported
    }
}

/// Asks, if it is time; how long it is enough to have looked.
pub(super) async fn look(stored: &RedisInstance, roles: Option<&Roles>, context: &Context) -> Duration {
    if stored.metadata.deletion_timestamp.is_some() {
        return UNREACHED;
    }
    let uid = stored.uid().unwrap_or_default();
    let now = Instant::now();
    let (name, heard) = match roles {
        Some(roles) => match roles.primary {
            Some(primary) => (pod(&stored.name_any(), primary), of_primary(roles, primary)),
            None => match restarted_and_full(roles) {
                Some(ordinal) => (pod(&stored.name_any(), ordinal), Heard::Said(Some(Refusal::Full))),
                // That nobody takes the writes is reported as it is.
                None => (String::new(), Heard::Said(None)),
            },
        },
        None => match due(stored, &uid, now, context) {
            Ok(()) => (pod(&stored.name_any(), 0), Heard::Said(ask(stored, &uid, context).await)), // redis
            Err(rest) => return rest,
        },
    };
    let Heard::Said(refusal) = heard else { return CHECK };
    let is_unreached = matches!(refusal, Some(Refusal::Unreachable(_)));
    context.remember(&uid, |memory| {
        if memory.writes.note(&name, refusal, Instant::now()) {
            memory.known.doubt();
        }
        let rest = match (&memory.writes.refusal, &memory.writes.reported) {
            (None, _) => spread(CHECK, &uid),
            (Some(_), Some(_)) if is_unreached => spread(UNREACHED, &uid),
            (Some(_), _) => SOON,
        };
        memory.writes.next = Some(now + rest);
        rest
    })
}

/// The former primary whose server was started again and accepts no connection that would give it its role back.
fn restarted_and_full(roles: &Roles) -> Option<i32> {
    let is_full = |member: &&Member| member.ended && member.answer == Answer::Evasive(Evasion::Full);
    roles.members.iter().find(is_full).map(|member| member.ordinal)
}

/// What the primary of several pods answered.
fn of_primary(roles: &Roles, primary: i32) -> Heard {
    let answer = roles.members.iter().find(|member| member.ordinal == primary).map(|member| &member.answer);
    match answer {
        Some(Answer::Told(told)) => Heard::Said(told.refusal.clone()),
        Some(Answer::Evasive(Evasion::Busy)) => Heard::Said(Some(Refusal::Busy)),
        Some(Answer::Evasive(Evasion::Full)) => Heard::Said(Some(Refusal::Full)),
        Some(Answer::Evasive(Evasion::Other)) => Heard::Said(None),
        Some(Answer::Absent | Answer::Silent { .. }) | None => Heard::Nothing,
    }
}

/// Whether a server that runs alone is to be asked now, or how long not.
fn due(stored: &RedisInstance, uid: &str, now: Instant, context: &Context) -> Result<(), Duration> {
    let status = status::latest(stored, context);
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    // What the operator before this one reported is not taken back without a question.
    let reported = ready.and_then(|ready| Reason::of(&ready.reason)).is_some_and(|reason| REASONS.contains(&reason));
    let start = if reported { Duration::ZERO } else { within(context.time_for_all().clamp(CHECK, START), uid) };
    let next = context.remember(uid, |memory| *memory.writes.next.get_or_insert(now + start));
    let rest = next.saturating_duration_since(now);
    if rest.is_zero() { Ok(()) } else { Err(rest) }
}

/// Why the server of the first pod accepts no writes, if it runs.
async fn ask(stored: &RedisInstance, uid: &str, context: &Context) -> Option<Refusal> {
    let (namespace, name) = (stored.namespace().unwrap_or_default(), stored.name_any());
    let (_, first) = observe::pods((&namespace, &name, uid), 1, context).into_iter().next()?;
    container(&first)?.state.as_ref()?.running.as_ref()?;
    let address = servers::address(&first)?;
    let required = stored.spec.auth.as_ref().and_then(|auth| auth.enabled) != Some(false);
    let keys = if required || has_password(&first.metadata) || credentials::is_demanded(uid, context) {
        credentials::keys_of(&namespace, &name, uid, context).await.ok()? // client
    } else {
        None
    };
    let question = async {
        let address = (address, u16::try_from(PORT).unwrap_or_default());
        let credentials = keys.as_ref().map(credentials::credentials);
        let mut server = Server::connect_within(address, credentials, (DEADLINE, DEADLINE)).await?;
        server.standing().await
    };
    match tokio::time::timeout(DEADLINE, question).await {
        Ok(Ok(standing)) => replication::facts(&standing).refusal(),
        Ok(Err(error)) => match error {
            ServerError::Busy { .. } if error.is_loading() => Some(Refusal::Loading),
            ServerError::Busy { .. } => Some(Refusal::Busy),
            ServerError::Full { .. } => Some(Refusal::Full),
            ServerError::Closed { .. } | ServerError::Unreachable { .. } => {
                Some(Refusal::Unreachable(error.to_string()))
            }
            ServerError::Password { .. } if keys.is_none() => {
                credentials::demand(uid, context);
                None
            }
            // It answers, and clients may have another password than the operator.
            _ => None,
        },
        Err(_) => Some(Refusal::Unreachable(format!("it gave no answer within {} s", DEADLINE.as_secs()))),
    }
}

/// What ails the data files of a server that answers.
pub(super) fn persistence_trouble(pod: &str, persistence: Persistence) -> Option<Trouble> {
    match persistence {
        Persistence { loading: true, .. } => Some(Refusal::Loading.trouble(pod)),
        Persistence { append_only_written: false, .. } => Some(append_only_fails(pod, true)),
        Persistence { snapshot_written: false, .. } => Some(snapshot_fails(pod, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        observed::Aspect,
        replication::fixtures::{member, started},
    };

    #[test]
    fn a_former_primary_that_was_started_again_and_is_full_is_named() {
        let roles = |ended| {
            let full = Member { ended, ..member(1, Answer::Evasive(Evasion::Full)) };
            let aspect = Aspect { holds: Some(false), reason: Reason::PrimaryMissing, message: String::new() };
            let members = vec![started(0, true), full];
            Roles { primary: None, in_sync: [].into(), members, aspect, again: CHECK }
        };
        assert_eq!([roles(true), roles(false)].map(|roles| restarted_and_full(&roles)), [Some(1), None]);
    }

    #[test]
    fn a_refusal_is_reported_when_it_has_lasted_and_until_it_ends() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut memory = Memory::default();
        let few = |good| Some(Refusal::NoReplicas { good, wanted: 2 });
        let reason = |memory: &Memory| memory.reported().map(|trouble| trouble.reason);
        for (second, refusal, changes, reported) in [
            (0, Some(Refusal::Busy), false, None),
            (3, Some(Refusal::Busy), false, None),
            (4, None, false, None),
            (5, few(1), false, None),
            (9, few(1), true, Some(Reason::NotEnoughReplicas)),
            (10, few(1), false, Some(Reason::NotEnoughReplicas)),
            (11, few(0), true, Some(Reason::NotEnoughReplicas)),
            (12, Some(Refusal::Busy), false, Some(Reason::NotEnoughReplicas)),
            (16, Some(Refusal::Busy), true, Some(Reason::Busy)),
            (17, None, true, None),
        ] {
            assert_eq!(memory.note("cache-0", refusal, at(second)), changes, "{second} s");
            assert_eq!(reason(&memory), reported, "{second} s");
        }
    }

    #[test]
    fn a_refusal_is_reported_within_30_seconds_of_its_beginning() {
        let latest = CHECK + CHECK / 4 + SOON + DEADLINE * 2;
        assert!(SOON >= LASTING && latest < Duration::from_secs(30), "{latest:?}");
    }
}
