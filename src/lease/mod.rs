//! Leader election: acquires the Lease, renews it and releases it. Independent of what the leader does; does not end
//! the process.

mod leadership;
mod rules;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

pub use self::leadership::Leadership;
use self::rules::{RETRY, Sight, TERM};
use crate::health::Health;

/// The longest that one request is waited for: a second one must fit into the term.
const REQUEST: Duration = Duration::from_secs(4);

/// A candidate for a Lease.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
    leadership: Leadership,
    health: Health,
    /// The Lease as the last write or read left it; `None` when it must be read.
    known: Option<Lease>,
    sight: Option<Sight>,
    /// The last logged message.
    last_logged: String,
}

/// Why an attempt failed.
enum Setback {
    /// Another process holds the Lease.
    Held,
    /// The Lease changed between read and write.
    Overtaken,
    /// The API server gave no answer, or refused.
    Failed(String),
}

impl Election {
    /// A candidate for the Lease of this name and namespace. The identity must be unique to this process, or belong to
    /// a predecessor that is certainly dead.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        name: String,
        identity: String,
        leadership: Leadership,
        health: Health,
    ) -> Self {
        let leases = Api::namespaced(client, namespace);
        Self { leases, name, identity, leadership, health, known: None, sight: None, last_logged: String::new() }
    }

    /// Acquires the Lease whenever it is free and renews it, until `resigned`; then releases it.
    pub async fn run(mut self, resigned: CancellationToken) {
        let mut tries = tokio::time::interval(RETRY);
        tries.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while resigned.run_until_cancelled(tries.tick()).await.is_some() {
            let begun = Instant::now();
            if !self.leadership.is_held() {
                // While this process leads, the reconcile loop itself has to report its liveness.
                self.health.beat(std::time::Instant::now());
            }
            let outcome = match timeout(REQUEST, self.contend(begun)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Setback::Failed(format!("no answer within {} s", REQUEST.as_secs()))),
            };
            match outcome {
                Ok(()) => {
                    self.leadership.extend(begun + TERM);
                    self.tell(format!("{} reconciles: it holds the lease", self.identity));
                }
                Err(Setback::Held) => {
                    self.leadership.end();
                    let holder = self.sight.as_ref().and_then(Sight::holder).unwrap_or_default().to_owned();
                    self.tell(format!("{holder} reconciles; {} stands by", self.identity));
                }
                Err(Setback::Overtaken) => tries.reset_immediately(),
                Err(Setback::Failed(why)) => {
                    tracing::warn!(lease = self.name, why, "cannot read or write the lease; trying again");
                }
            }
        }
        if self.leadership.is_held() {
            self.give_back().await;
        }
        self.leadership.end();
    }

    /// One attempt: reads the Lease if its state is unknown, and acquires it if it is free.
    async fn contend(&mut self, now: Instant) -> Result<(), Setback> {
        let lease = match self.known.take() {
            Some(lease) => lease,
            None => match self.leases.get_opt(&self.name).await.map_err(failed)? {
                Some(lease) => lease,
                None => return self.create().await,
            },
        };
        let record = lease.spec.clone().unwrap_or_default();
        let sight = Sight::next(self.sight.as_ref(), &record, now);
        let free = sight.is_free_for(&self.identity, now);
        self.sight = Some(sight);
        if !free {
            return Err(Setback::Held);
        }
        let spec = rules::held(&record, &self.identity, wall_clock());
        // The write carries the resourceVersion: of two candidates that found the Lease free, one gets a conflict.
        self.write(Lease { spec: Some(spec), ..lease }).await
    }

    async fn create(&mut self) -> Result<(), Setback> {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        let spec = rules::held(&LeaseSpec::default(), &self.identity, wall_clock());
        let lease = Lease { metadata, spec: Some(spec) };
        let created = self.leases.create(&PostParams::default(), &lease).await.map_err(failed)?;
        self.remember(created);
        Ok(())
    }

    async fn write(&mut self, lease: Lease) -> Result<(), Setback> {
        let written = self.leases.replace(&self.name, &PostParams::default(), &lease).await.map_err(failed)?;
        self.remember(written);
        Ok(())
    }

    fn remember(&mut self, written: Lease) {
        let record = written.spec.clone().unwrap_or_default();
        self.sight = Some(Sight::next(None, &record, Instant::now()));
        self.known = Some(written);
    }

    /// Best effort: otherwise the next leader waits until the Lease expires.
    async fn give_back(&mut self) {
        let Some(lease) = self.known.take() else { return };
        let spec = rules::released(&lease.spec.clone().unwrap_or_default(), wall_clock());
        let released = timeout(REQUEST, self.write(Lease { spec: Some(spec), ..lease })).await;
        if matches!(released, Ok(Ok(()))) {
            tracing::info!(lease = self.name, "gave the lease back");
        } else {
            tracing::warn!(lease = self.name, "could not release the lease; it expires in time");
        }
    }

    fn tell(&mut self, news: String) {
        if news != self.last_logged {
            tracing::info!(lease = self.name, "{news}");
            self.last_logged = news;
        }
    }
}

fn failed(error: kube::Error) -> Setback {
    match error {
        kube::Error::Api(status) if matches!(status.code, 404 | 409) => Setback::Overtaken,
        error => Setback::Failed(error.to_string()),
    }
}

/// For users who read the Lease; no decision depends on it.
fn wall_clock() -> MicroTime {
    let now = Timestamp::now();
    MicroTime(Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now))
}
