//! A virtual host per test.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::PATIENCE;

/// State of a queue in the management API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    /// Its name.
    pub name: String,
    /// Messages that are ready or not yet acknowledged. The number is about a second old.
    pub messages: u64,
    /// Number of consumers.
    pub consumers: u64,
}

/// A virtual host for one test. It is deleted when this value is dropped.
#[derive(Debug)]
pub struct TestBroker {
    vhost: String,
    url: String,
    api: Api,
}

#[derive(Debug, Clone)]
struct Api {
    base: String,
    client: Client,
}

impl Api {
    fn new(base: &str) -> reqwest::Result<Self> {
        let client = Client::builder()
            .timeout(Duration::from_secs(20))
            .no_proxy()
            .build()?;
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            client,
        })
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?.error_for_status()?;
        let text = answer.text().await?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).context("the response of the management API is not JSON")
    }
}

/// Time between a test and the deletion of its virtual host. In RabbitMQ 3.10 a worker crashes
/// if a quorum queue with at-least-once dead lettering is deleted while it is being declared.
/// After two such crashes within a short time the worker's supervisor ends too, and from then
/// on the broker answers every declaration of such a queue with `INTERNAL_ERROR`.
const DELETE_DELAY: Duration = Duration::from_secs(3);

impl TestBroker {
    /// Creates a virtual host.
    ///
    /// # Panics
    /// The server cannot be reached.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its broker")]
    pub async fn create() -> Self {
        Self::try_create()
            .await
            .expect("cannot create a virtual host")
    }

    async fn try_create() -> anyhow::Result<Self> {
        let server = crate::server(crate::AMQP_URL);
        let (origin, _) = server
            .rsplit_once('/')
            .context("the AMQP URL has no virtual host")?;
        let user = origin
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once(':'))
            .map(|(user, _)| user.to_owned())
            .context("the AMQP URL names no user")?;
        let api = Api::new(&crate::server(crate::RABBITMQ_API_URL))?;
        let vhost = format!("test-{}", Uuid::new_v4().simple());
        api.send(
            Method::PUT,
            &format!("/api/vhosts/{vhost}"),
            Some(json!({})),
        )
        .await?;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        let permissions = format!("/api/permissions/{vhost}/{user}");
        api.send(Method::PUT, &permissions, Some(all)).await?;
        Ok(Self {
            url: format!("{origin}/{vhost}"),
            vhost,
            api,
        })
    }

    /// AMQP URL of the virtual host.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Name of the virtual host.
    pub fn vhost(&self) -> &str {
        &self.vhost
    }

    /// Returns the queues of the virtual host.
    ///
    /// # Errors
    /// The management API refuses the request.
    pub async fn queues(&self) -> anyhow::Result<Vec<QueueState>> {
        let path = format!("/api/queues/{}", self.vhost);
        let answer = self.api.send(Method::GET, &path, None).await?;
        let number = |queue: &Value, key: &str| queue.get(key).and_then(Value::as_u64);
        Ok(answer
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|queue| {
                Some(QueueState {
                    name: queue.get("name")?.as_str()?.to_owned(),
                    messages: number(queue, "messages").unwrap_or(0),
                    consumers: number(queue, "consumers").unwrap_or(0),
                })
            })
            .collect())
    }

    /// Takes up to `count` messages from a queue without waiting and acknowledges them. Returns
    /// them as the management API does, with the payload in base64.
    ///
    /// # Errors
    /// The management API refuses the request.
    pub async fn take(&self, queue: &str, count: u32) -> anyhow::Result<Vec<Value>> {
        let path = format!("/api/queues/{}/{queue}/get", self.vhost);
        let how = json!({"count": count, "ackmode": "ack_requeue_false", "encoding": "base64"});
        let answer = self.api.send(Method::POST, &path, Some(how)).await?;
        Ok(answer.as_array().cloned().unwrap_or_default())
    }

    /// Empties a queue.
    ///
    /// # Errors
    /// The management API refuses the request.
    pub async fn purge(&self, queue: &str) -> anyhow::Result<()> {
        let path = format!("/api/queues/{}/{queue}/contents", self.vhost);
        self.api.send(Method::DELETE, &path, None).await.map(drop)
    }

    /// Closes every connection to the virtual host, as a restart of the broker would. The
    /// management API lists a connection only some seconds after it was opened, so this
    /// function waits for the first one.
    ///
    /// # Errors
    /// The management API refuses the request, or there is no connection within 15 seconds.
    pub async fn close_connections(&self) -> anyhow::Result<usize> {
        let path = format!("/api/vhosts/{}/connections", self.vhost);
        let begun = Instant::now();
        loop {
            let answer = self.api.send(Method::GET, &path, None).await?;
            let names: Vec<&str> = answer
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|connection| connection.get("name")?.as_str())
                .collect();
            for name in &names {
                let mut url = reqwest::Url::parse(&self.api.base)?;
                url.path_segments_mut()
                    .map_err(|()| anyhow::anyhow!("the management URL has no path"))?
                    .extend(["api", "connections", name]);
                // An error is ignored, because the connection may have closed by itself.
                let _ = self.api.client.delete(url).send().await?;
            }
            if !names.is_empty() {
                return Ok(names.len());
            }
            anyhow::ensure!(
                begun.elapsed() < PATIENCE,
                "there is no connection to close"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        let base = self.api.base.clone();
        let path = format!("/api/vhosts/{}", self.vhost);
        // The receiver is dropped, because nothing waits for the deletion.
        crate::run_in_thread(async move {
            tokio::time::sleep(DELETE_DELAY).await;
            // A new client is used, because the connections of the other one belong to the
            // test's runtime, which may not run at this time.
            if let Ok(api) = Api::new(&base) {
                let _ = api.send(Method::DELETE, &path, None).await;
            }
        });
    }
}
