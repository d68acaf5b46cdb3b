//! RabbitMQ's management API.

use std::time::Duration;

use latchkey_messaging::topology::{SYNC_SVC_QUEUE, UNROUTED_QUEUE, parked_queue};
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
struct Queue {
    name: String,
    /// Absent until the first statistics.
    messages: Option<u64>,
}

/// How old the numbers of messages are at most: a quorum queue tells its own only every 5 s.
pub const AGE_OF_NUMBERS: Duration = Duration::from_secs(6);

/// RabbitMQ's management API. Its numbers of messages are [`AGE_OF_NUMBERS`] old.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    client: reqwest::Client,
}

impl Api {
    /// `base` is the URL with credentials.
    pub(super) fn new(base: String) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .build()?;
        Ok(Self { base, client })
    }

    /// Returns the number of messages that wait for sync-svc, in its queue, in its retry queues and
    /// among the unrouted; `None` if RabbitMQ does not answer.
    pub async fn waiting(&self) -> Option<u64> {
        self.messages(|name| name == UNROUTED_QUEUE || belongs_to_sync_svc(name))
            .await
    }

    /// Returns the number of messages in the queue of sync-svc and in its retry queues, whether
    /// they are delivered or not; `None` if RabbitMQ does not answer.
    pub async fn waiting_in_queue(&self) -> Option<u64> {
        self.messages(belongs_to_sync_svc).await
    }

    async fn messages(&self, counts: impl Fn(&str) -> bool) -> Option<u64> {
        let queues: Vec<Queue> = self.get("/api/queues/%2f").await?;
        let counted = queues.iter().filter(|queue| counts(&queue.name));
        counted.map(|queue| queue.messages).sum()
    }

    /// Returns whether a queue exists.
    pub async fn has_queue(&self, name: &str) -> bool {
        let queue: Option<Queue> = self.get(&format!("/api/queues/%2f/{name}")).await;
        queue.is_some()
    }

    /// Returns whether a queue has no binding to an exchange.
    pub async fn is_unbound(&self, exchange: &str, queue: &str) -> bool {
        let path = format!("/api/bindings/%2f/e/{exchange}/q/{queue}");
        let bindings: Option<Vec<serde_json::Value>> = self.get(&path).await;
        bindings.is_some_and(|bindings| bindings.is_empty())
    }

    /// Returns whether an alarm of memory or disk is active.
    pub async fn has_alarm(&self) -> bool {
        let request = self
            .client
            .get(format!("{}/api/health/checks/alarms", self.base));
        let answer = request.send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        let request = self.client.get(format!("{}{path}", self.base));
        let answer = request.send().await.ok()?.error_for_status().ok()?;
        answer.json().await.ok()
    }
}

/// Whether it is the queue of sync-svc or one of its retry queues.
fn belongs_to_sync_svc(name: &str) -> bool {
    name.starts_with(SYNC_SVC_QUEUE) && name != parked_queue(SYNC_SVC_QUEUE)
}
