//! People of the demo provider, as many as a test needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;

use crate::services::{DEMO_URL, Services};

/// People who are created at once, and at most as many who wait for their sign-in: those of ten
/// seconds.
const BATCH: usize = 500;
/// Pause after the demo provider has not answered.
const PAUSE: Duration = Duration::from_secs(1);

/// Creates people with numbers that increase.
#[derive(Debug, Clone)]
pub(super) struct People {
    client: reqwest::Client,
    next: Arc<AtomicUsize>,
}

impl People {
    pub(super) fn new(services: &Services) -> anyhow::Result<Self> {
        let client = services.http()?.timeout(Duration::from_secs(30)).build()?;
        Ok(Self {
            client,
            next: Arc::default(),
        })
    }

    /// Creates people at the demo provider and returns their names. An attempt that fails uses its
    /// numbers up, because the demo provider may have created the people.
    pub(super) async fn create(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let names: Vec<String> = (first..first + count)
            .map(|number| format!("person{number}"))
            .collect();
        self.client
            .post(format!("{DEMO_URL}/control/people"))
            .json(&names)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .context("the demo provider creates no people")?;
        Ok(names)
    }

    /// Creates people until nobody receives them.
    pub(super) async fn supply(self, waiting: mpsc::Sender<String>) {
        while !waiting.is_closed() {
            let Ok(names) = self.create(BATCH).await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            for name in names {
                if waiting.send(name).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Returns the channel of [`People::supply`].
    pub(super) fn queue() -> (mpsc::Sender<String>, mpsc::Receiver<String>) {
        mpsc::channel(BATCH)
    }
}

/// Returns the mail address of a person.
pub(super) fn handle(person: &str) -> String {
    format!("{person}@acme.example")
}
