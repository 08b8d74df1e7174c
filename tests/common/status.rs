//! What the operator reports: conditions and the message of the instance `cache`, and events. Knows no test.

use k8s_openapi::{api::events::v1::Event, apimachinery::pkg::apis::meta::v1::Condition};
use kube::api::ListParams;
use redis_operator::api::v1::{RedisInstance, RedisInstanceStatus};

use super::cluster::{Place, eventually};

impl Place {
    /// The status of the instance `cache`, if it has one.
    pub(crate) async fn status(&self) -> Option<RedisInstanceStatus> {
        self.api::<RedisInstance>().get("cache").await.unwrap().status
    }

    /// The condition of this type of the instance `cache`.
    pub(crate) async fn condition(&self, kind: &str) -> Option<Condition> {
        self.status().await?.conditions.into_iter().find(|condition| condition.type_ == kind)
    }

    /// Waits until the message of the condition of this type of the instance `cache` contains these words.
    pub(crate) async fn wait_for_condition(&self, kind: &str, words: &str) {
        let what = format!("condition {kind} with {words:?}");
        let (kind, words) = (kind.to_owned(), words.to_owned());
        self.until("cache", &what, move |instance: Option<&RedisInstance>| {
            let status = instance.and_then(|instance| instance.status.as_ref());
            let mut conditions = status.into_iter().flat_map(|status| &status.conditions);
            conditions.any(|condition| condition.type_ == kind && condition.message.contains(&words))
        })
        .await;
    }

    /// Waits until the last message in the status of the instance `cache` contains these words.
    pub(crate) async fn wait_for_message(&self, words: &str) {
        let what = format!("status with {words:?}");
        let words = words.to_owned();
        self.until("cache", &what, move |instance: Option<&RedisInstance>| {
            let status = instance.and_then(|instance| instance.status.as_ref());
            status.and_then(|status| status.last_condition_message.as_ref()).is_some_and(|held| held.contains(&words))
        })
        .await;
    }

    /// The notes of all events with this reason.
    pub(crate) async fn events(&self, reason: &str) -> Vec<String> {
        let events = self.api::<Event>().list(&ListParams::default()).await.unwrap();
        let of_reason = events.items.into_iter().filter(|event| event.reason.as_deref() == Some(reason));
        of_reason.map(|event| event.note.unwrap_or_default()).collect()
    }

    /// Waits for an event with this reason whose note contains these words; its note.
    pub(crate) async fn wait_for_event(&self, reason: &str, words: &str) -> String {
        eventually(&format!("event {reason} with {words:?}"), || async {
            self.events(reason).await.into_iter().find(|note| note.contains(words))
        })
        .await
    }
}
