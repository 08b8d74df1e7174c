//! Asks every server of a group what it is, all at once. A question that gets no answer is an answer too, and so is how long
//! there has been none.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use futures::future::join_all;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};
use kube::ResourceExt;

use super::{Group, claims, process};
use crate::{
    controller::{context::Context, credentials, observe, servers},
    domain::{
        names::PORT,
        observed::{container, is_ready, revision, trouble_of, unready_seconds},
        replication::{Answer, Evasion, Link, Member, Role, Told},
        writes::Facts,
    },
    redis::{Server, ServerError, replication::Standing},
};

/// How long a server may take to say what it is, connecting included.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long pod 0 of a new instance is waited for when others have started.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a server has to be asked in vain before its silence counts: one question can get lost.
const TRIES: u32 = 3;

/// Every member, in order of ordinal.
pub(super) async fn members(group: &Group<'_>, context: &Context) -> Vec<Member> {
    let newest = observe::update_revision(&group.namespace, &group.name, context);
    let asked = (0..group.running).map(|ordinal| async move {
        let answer = match group.object(ordinal).and_then(serving_at) {
            Some(address) => ask(group, address, context).await,
            None => Some(Answer::Absent),
        };
        (ordinal, answer)
    });
    let answers = join_all(asked).await;
    let now = Instant::now();
    answers
        .into_iter()
        .map(|(ordinal, answer)| {
            let pod = group.object(ordinal);
            Member {
                ordinal,
                address: pod.and_then(serving_at),
                leaving: pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some()),
                hindered: pod.is_some_and(|pod| {
                    trouble_of(pod, &Time(jiff::Timestamp::now())).is_some_and(|t| t.stalled || t.is_unscheduled())
                }),
                inherited: claims::is_inherited(group, ordinal, context),
                ended: ended(group, ordinal, context),
                node_away: pod.is_some_and(is_node_away),
                fenced: fenced(group, ordinal, now, context),
                updated: pod.is_some_and(|pod| is_updated(pod, newest.as_ref())),
                unready: pod.map_or(Some(0), |pod| unready_seconds(pod, jiff::Timestamp::now())),
                answer: heard(group, ordinal, answer, now, context),
            }
        })
        .collect()
}

/// Looks again at which pods the roll has been at: one may have become ready since the servers were asked.
pub(super) fn refresh(members: &mut [Member], group: &Group<'_>, context: &Context) {
    let newest = observe::update_revision(&group.namespace, &group.name, context);
    for member in members {
        member.updated = group.object(member.ordinal).is_some_and(|pod| is_updated(pod, newest.as_ref()));
    }
}

/// Whether a pod serves with the newest template.
fn is_updated(pod: &Pod, newest: Option<&String>) -> bool {
    is_ready(pod) && newest.is_some() && revision(pod) == newest
}

/// Where the server of a pod can be asked, if the kubelet says that it runs.
fn serving_at(pod: &Pod) -> Option<IpAddr> {
    container(pod)?.state.as_ref()?.running.as_ref()?;
    servers::address(pod)
}

/// The answer, or nothing.
async fn ask(group: &Group<'_>, address: IpAddr, context: &Context) -> Option<Answer> {
    let port = u16::try_from(PORT).unwrap_or_default();
    let question = async {
        let mut server = Server::connect_within((address, port), group.credentials(), (DEADLINE, DEADLINE)).await?;
        server.standing().await
    };
    match tokio::time::timeout(DEADLINE, question).await {
        Ok(Ok(standing)) => Some(Answer::Told(told(address, standing))),
        // Also where the connection is refused: the process may have ended, or something between the two refuses.
        Ok(Err(ServerError::Closed { .. } | ServerError::Unreachable { .. })) | Err(_) => None,
        Ok(Err(error)) => {
            if matches!(error, ServerError::Password { .. }) && group.keys.is_none() {
                credentials::demand(&group.uid, context);
            }
            Some(Answer::Evasive(match error {
                ServerError::Busy { .. } => Evasion::Busy,
                ServerError::Full { .. } => Evasion::Full,
                _ => Evasion::Other,
            }))
        }
    }
}

/// What decides whether a server accepts writes.
pub(in crate::controller) fn facts(standing: &Standing) -> Facts {
    Facts {
        loading: standing.loading,
        is_replica: !standing.is_primary,
        append_only_fails: standing.append_only_fails,
        snapshot_fails: standing.snapshot_fails,
        good_replicas: standing.good_replicas,
        wanted_replicas: standing.wanted_replicas,
    }
}

fn told(address: IpAddr, standing: Standing) -> Told {
    let refusal = facts(&standing).refusal();
    // Where it says that it follows the loopback it waits to be told whom.
    let of = standing.follows.and_then(|(host, _)| host.parse().ok()).filter(|host: &IpAddr| !host.is_loopback());
    let link =
        Link { of, up: standing.link_up, syncing: standing.syncing, silence: standing.silence, down: standing.down };
    Told {
        address,
        role: if standing.is_primary { Role::Primary } else { Role::Replica(link) },
        history: standing.history,
        former_history: standing.former_history,
        offset: standing.offset,
        empty: standing.empty,
        loading: standing.loading,
        cannot_persist: standing.append_only_fails || standing.snapshot_fails,
        refusal,
    }
}

/// The answer, or since when there is none.
fn heard(group: &Group<'_>, ordinal: i32, answer: Option<Answer>, now: Instant, context: &Context) -> Answer {
    context.remember(&group.uid, |memory| {
        let silent = &mut memory.replication.silent;
        if let Some(answer) = answer {
            silent.remove(&ordinal);
            return answer;
        }
        // It has been silent since it was asked.
        let (since, tries) = silent.entry(ordinal).or_insert_with(|| (now.checked_sub(DEADLINE).unwrap_or(now), 0));
        *tries += 1;
        let seconds = (now - *since).as_secs();
        Answer::Silent {
            seconds: if *tries < TRIES { seconds.min(group.limits.silence.saturating_sub(1)) } else { seconds },
        }
    })
}

/// Whether the kubelet confirms that the process which took the writes last has ended.
fn ended(group: &Group<'_>, ordinal: i32, context: &Context) -> bool {
    let Some(pod) = group.object(ordinal) else { return true };
    if serving_at(pod).is_none() {
        return true;
    }
    let seen = context.recall(&group.uid, |memory| {
        memory
            .replication
            .sighting
            .as_ref()
            .filter(|seen| seen.primary == ordinal)
            .and_then(|seen| seen.process.clone())
    });
    seen.is_some_and(|seen| process(pod).is_some_and(|process| process != seen))
}

/// Whether the node's controller reports the pod as not ready because its kubelet reports nothing: the kubelet itself gives
/// a reason.
fn is_node_away(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| {
        condition.type_ == "Ready" && condition.status != "True" && condition.reason.as_deref().unwrap_or("").is_empty()
    })
}

/// Seconds since the kubelet was asked to end this pod.
fn fenced(group: &Group<'_>, ordinal: i32, now: Instant, context: &Context) -> Option<u64> {
    let uid = group.object(ordinal)?.uid()?;
    let asked = context.recall(&group.uid, |memory| memory.replication.fenced.clone());
    asked.filter(|(pod, _)| *pod == uid).map(|(_, at)| now.saturating_duration_since(at).as_secs())
}

/// Whether the first server that answered did so only just now: then others may come at any moment.
pub(super) fn is_early(group: &Group<'_>, members: &[Member], context: &Context) -> bool {
    let any = members.iter().any(|member| member.told().is_some_and(|told| !told.loading));
    let now = Instant::now();
    context.remember(&group.uid, |memory| {
        let since = any.then(|| *memory.replication.first_heard.get_or_insert(now));
        since.is_none_or(|since| now - since < PATIENCE)
    })
}
