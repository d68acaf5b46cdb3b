//! People of the demo provider, as many as a test needs.

use std::time::Duration;

use anyhow::Context as _;

use crate::services::{DEMO_URL, Services};

/// Creates people with numbers that increase.
#[derive(Debug)]
pub(super) struct People {
    client: reqwest::Client,
    next: usize,
}

impl People {
    pub(super) fn new(services: &Services) -> anyhow::Result<Self> {
        let client = services.http()?.timeout(Duration::from_secs(30)).build()?;
        Ok(Self { client, next: 0 })
    }

    /// Creates people at the demo provider and returns their names.
    pub(super) async fn create(&mut self, count: usize) -> anyhow::Result<Vec<String>> {
        let names: Vec<String> = (self.next..self.next + count)
            .map(|number| format!("person{number}"))
            .collect();
        self.next += count;
        self.client
            .post(format!("{DEMO_URL}/control/people"))
            .json(&names)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .context("the demo provider creates no people")?;
        Ok(names)
    }
}

/// Returns the mail address of a person.
pub(super) fn handle(person: &str) -> String {
    format!("{person}@acme.example")
}
