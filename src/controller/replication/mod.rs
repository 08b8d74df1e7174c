//! Keeps one primary and its replicas: asks every server, judges, carries out what follows. Goes by what runs and not by the
//! spec, so that a failover does not wait for a spec that is invalid. What is decided is `domain::replication`'s.

mod act;
mod ask;
mod claims;
mod fence;
mod handover;
mod labels;
mod marks;
mod sighting;
mod sync;
mod written;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};

pub(super) use self::{
    ask::facts,
    handover::make_way,
    marks::{is_elsewhere, record_alone},
};
use self::{sighting::Sighting, written::Written};
use super::{context::Context, credentials, error::Error, events, observe};
use crate::{
    api::v1::RedisInstance,
    domain::{
        live::{has_password, requires_password},
        names::{PROMOTE_ANNOTATION, pod},
        observed::{Aspect, container},
        reason::Reason,
        replication::{
            Member, Record,
            election::Election,
            fence::Limits,
            lag,
            record::Mark,
            verdict::{Verdict, Word},
        },
        rollout::Copies,
        rotation::Keys,
    },
    redis::Credentials,
};

/// How often the servers are asked.
const CHECK: Duration = Duration::from_secs(1);
/// The same while something is under way.
const SOON: Duration = Duration::from_millis(200);

/// The pods of one instance that share their data, and what is recorded of them.
pub(super) struct Group<'a> {
    stored: &'a RedisInstance,
    namespace: String,
    name: String,
    uid: String,
    /// Pods that the StatefulSet runs.
    running: i32,
    pods: Vec<(i32, Arc<Pod>)>,
    /// A pod that the StatefulSet is about to have, as after it was made again under its pods.
    unadopted: Option<String>,
    keys: Option<Keys>,
    record: Option<Record>,
    limits: Limits,
}

/// Who is what, as it was found or made in this pass.
#[derive(Clone, Debug)]
pub(super) struct Roles {
    /// Ordinal of the pod that takes the writes.
    pub(super) primary: Option<i32>,
    /// Ordinals of the replicas that have its data.
    pub(super) in_sync: BTreeSet<i32>,
    /// What each server told.
    pub(super) members: Vec<Member>,
    /// Whether all is as it should be.
    pub(super) aspect: Aspect,
    /// How long it is enough to have looked.
    pub(super) again: Duration,
}

impl Roles {
    /// Whether a pod has the data that it should have.
    pub(super) fn is_settled(&self, ordinal: i32) -> bool {
        self.primary == Some(ordinal) || self.in_sync.contains(&ordinal)
    }

    /// Who has the data, as a rollout sees it.
    pub(super) fn copies(&self) -> Copies {
        let idle = self.members.iter().filter(|member| member.is_idle()).map(|member| member.ordinal).collect();
        Copies { primary: self.primary, in_sync: self.in_sync.clone(), idle }
    }

    /// Whether the primary does not answer, so that everything else has to wait until it is known why.
    pub(super) fn is_silent(&self) -> bool {
        self.aspect.reason == Reason::PrimaryUnreachable
    }

    fn missing(members: Vec<Member>, reason: Reason, message: String) -> Self {
        let holds = (reason != Reason::PrimaryUnreachable).then_some(false);
        let aspect = Aspect { holds, reason, message };
        Self { primary: None, in_sync: BTreeSet::new(), members, aspect, again: CHECK }
    }
}

impl Group<'_> {
    fn pod(&self, ordinal: i32) -> String {
        pod(&self.name, ordinal)
    }

    fn object(&self, ordinal: i32) -> Option<&Pod> {
        self.pods.iter().find(|(at, _)| *at == ordinal).map(|(_, pod)| pod.as_ref())
    }

    fn credentials(&self) -> Option<Credentials<'_>> {
        self.keys.as_ref().map(credentials::credentials)
    }

    fn term(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.latest)
    }
}

/// Finds or makes the primary and brings the others behind it; `None` for an instance of one pod.
pub(super) async fn keep(stored: &RedisInstance, context: &Context) -> Result<Option<Roles>, Error> {
    let Some(group) = gather(stored, context).await? else { return Ok(None) };
    if let Some(pod) = &group.unadopted {
        // It may be the primary, and may not be asked yet.
        let message = format!("waiting for the StatefulSet controller to adopt or end pod {pod}");
        context.metrics.roles.looked(&group.uid, false, Instant::now());
        return Ok(Some(Roles::missing(Vec::new(), Reason::PrimaryMissing, message)));
    }
    let asked = Instant::now();
    let members = ask::members(&group, context).await; // redis
    let named = stored.annotations().get(PROMOTE_ANNOTATION).map(String::as_str);
    let patient = ask::is_early(&group, &members, context);
    sync::listen(&group, &members, asked, context);
    let seen = sync::seen(&group, context);
    let election = Election {
        instance: &group.name,
        members: &members,
        record: group.record.as_ref(),
        seen: seen.as_ref(),
        named,
        patient,
        limits: group.limits,
    };
    let (verdict, word) = (election.judge(), election.word());
    report(&group, named, &verdict, &word, context).await; // client
    let renew = matches!(word, Word::Refused(_));
    let roles = match verdict {
        Verdict::Primary(primary) => act::settle(&group, members, primary, renew, context).await?, // client, redis
        Verdict::Fence(primary, why) => fence::ask(&group, members, primary, why, context).await?, // client
        Verdict::Promote(ordinal, cause) => act::promote(&group, members, ordinal, &cause, context).await?, // client, redis
        Verdict::Wait(reason, message) => {
            let steady = sync::steady(&group, &members, context).filter(|_| reason == Reason::PrimaryUnreachable);
            steady.unwrap_or_else(|| Roles::missing(members, reason, message))
        }
        Verdict::Stuck(message) => Roles::missing(members, Reason::NoSafePrimary, message),
    };
    if group.running <= 1 && (roles.primary.is_some() || group.record.as_ref().is_some_and(|r| r.primary == Some(0))) {
        // One that is left of several was promoted if it had to be; for the rest it is as one that was always alone.
        context.metrics.roles.forget(&group.uid);
        return Ok(None);
    }
    let mut roles = handover::from_one_that_leaves(&group, roles, context).await?; // client, redis
    if act::send_away_again(&group, &roles, context).await || roles.is_silent() {
        roles.again = SOON; // redis
    }
    if let (true, Some(primary)) = (context.servers.are_shown(), roles.primary) {
        for Member { ordinal, .. } in &roles.members {
            let lag = lag(&roles.members, primary, *ordinal);
            context.servers.lags(&group.namespace, &group.name, &group.pod(*ordinal), lag);
        }
    }
    let now = Instant::now();
    context.metrics.roles.looked(&group.uid, roles.primary.is_some(), now);
    context.remember(&group.uid, |memory| {
        if roles.primary.is_some() {
            memory.replication.primary_seen = Some(now);
        }
        memory.replication.replicated = true;
    });
    Ok(Some(roles))
}

/// Reports once what became of the administrator's word.
async fn report(group: &Group<'_>, named: Option<&str>, verdict: &Verdict, word: &Word, context: &Context) {
    let (reason, note) = match word {
        Word::Refused(note) => (Reason::PromotionRefused, note),
        Word::Used(note) if matches!(verdict, Verdict::Primary(_)) => (Reason::PromotionUsed, note),
        // A promotion is reported when it is carried out.
        Word::Used(_) | Word::None => return,
    };
    let told = context.remember(&group.uid, |memory| {
        let told = memory.replication.word.as_deref() == named;
        memory.replication.word = named.map(str::to_owned);
        told
    });
    if !told {
        events::role_changed(&group.stored.object_ref(&()), reason, note.clone(), context).await;
    }
}

/// What the stores show of a group of several pods, or of one that is left of several.
async fn gather<'a>(stored: &'a RedisInstance, context: &Context) -> Result<Option<Group<'a>>, Error> {
    let (namespace, name) = (stored.namespace().unwrap_or_default(), stored.name_any());
    let uid = stored.uid().unwrap_or_default();
    let place = ObjectRef::new(&name).within(&namespace);
    let set = context.stores.stateful_sets.glance(&place);
    let Some(set) = set.filter(|set| set.owner_references().iter().any(|owner| owner.uid == uid)) else {
        return Ok(None);
    };
    let running = observe::running(&set);
    claims::adopt(&namespace, &name, &uid, context).await?; // client
    let record = Record::of(&marks::read(&namespace, &name, &uid, context));
    if running <= 1 && record.is_none() {
        return Ok(None);
    }
    let whose = (namespace.as_str(), name.as_str(), uid.as_str());
    let pods = observe::pods(whose, running, context);
    let unadopted = observe::unadopted(whose, running, context);
    // While `auth.enabled` changes, some pods have a password and others do not.
    let any = pods.iter().any(|(_, pod)| has_password(&pod.metadata)) || credentials::is_demanded(&uid, context);
    let keys = if any || context.stores.stateful_sets.get(&place).is_some_and(|set| is_protected(&set)) {
        credentials::keys_of(&namespace, &name, &uid, context).await? // client
    } else {
        None
    };
    let limits = Limits::of(&stored.spec);
    Ok(Some(Group { stored, namespace, name, uid, running, pods, unadopted, keys, record, limits }))
}

/// The process in the container of a pod: a container that was restarted is another one.
fn process(pod: &Pod) -> Option<String> {
    Some(format!("{}/{}", pod.uid()?, container(pod)?.container_id.as_ref()?))
}

fn is_protected(set: &StatefulSet) -> bool {
    set.spec.as_ref().is_some_and(|spec| requires_password(&spec.template))
}

fn address(members: &[Member], ordinal: i32) -> Option<IpAddr> {
    members.iter().find(|member| member.ordinal == ordinal)?.told().map(|told| told.address)
}

/// What this process remembers of a group; all of it can be lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Whether it was seen to be one.
    pub(super) replicated: bool,
    /// When the primary last answered.
    primary_seen: Option<Instant>,
    /// When the first server answered.
    first_heard: Option<Instant>,
    /// Since when which server has not answered, and how often it was asked since.
    silent: std::collections::BTreeMap<i32, (Instant, u32)>,
    /// The labels and marks last written, which the watches may not have shown yet.
    labels: Written<labels::Labels>,
    marks: Written<Mark>,
    /// The primary as it last answered.
    sighting: Option<Sighting>,
    /// What was last reported of a primary that answered.
    aspect: Option<Aspect>,
    /// Since when each replica has been in sync, or has not.
    turned: std::collections::BTreeMap<i32, (bool, Instant)>,
    /// Since when the primary has been busy.
    busy: Option<Instant>,
    /// The pod (uid) that the kubelet was asked to end, and when.
    fenced: Option<(String, Instant)>,
    /// The administrator's word that was last reported on.
    word: Option<String>,
    /// The pods (uid) whose claims were labelled, or tried to be.
    adopted: std::collections::BTreeMap<i32, String>,
    /// When a handover was begun that did not come to its end, and to which pod.
    unfinished: Option<(Instant, i32)>,
    /// The servers that lost the role, whose clients are sent away once more.
    dismissed: Vec<(IpAddr, Instant)>,
}
