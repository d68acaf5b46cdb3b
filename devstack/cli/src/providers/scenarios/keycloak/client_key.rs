//! The client authenticates with a key (`private_key_jwt`), which is changed under load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::future::try_join_all;
use uuid::Uuid;

use crate::providers::keycloak::Keycloak;
use crate::providers::registration::new_key;
use crate::providers::results::ServerResults;
use crate::providers::scenarios::{BACK, GONE, IN, REFRESHED, Scenarios};
use crate::providers::stack_client::Requested;

/// Time between two changes of the file. Keycloak reads the keys anew for an unknown key id, but not
/// within 10 seconds after it has read them.
const BETWEEN_CHANGES: Duration = Duration::from_secs(12);

/// People whose tokens are requested during the change.
const PEOPLE: [&str; 4] = ["load-1", "load-2", "load-3", "load-4"];

const NOTHING_FAILS: &str =
    "0 failed refreshes while a key is added, put first, and the old one removed";

impl Scenarios<'_, Keycloak> {
    pub(super) async fn client_key(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let keyed = self.person("keyed").await?;
        results.add("private_key_jwt: sign-in", IN, keyed.connects().await);
        let account = keyed.signs_in().await?;
        let happened = keyed.refreshes(account, 3).await;
        results.add("private_key_jwt: refresh", REFRESHED, happened);
        let happened = self.change_of_key().await;
        results.add(
            "private_key_jwt: change of key under load",
            NOTHING_FAILS,
            happened,
        );
        let happened = keyed.signs_in_again(account).await;
        results.add("private_key_jwt: sign-in with the new key", BACK, happened);
        let happened = keyed.disconnects(account).await;
        results.add("private_key_jwt: disconnect", GONE, happened);
        Ok(())
    }

    async fn change_of_key(&self) -> anyhow::Result<String> {
        let mut accounts = Vec::new();
        for login in PEOPLE {
            accounts.push(self.person(login).await?.signs_in().await?);
        }
        let refused = self.server.refused_refreshes().await?;
        let answered = self.server.refreshes().await?;
        let begun = Instant::now();
        let stop = AtomicBool::new(false);
        let changes = async {
            let outcome = self.change_keys().await;
            stop.store(true, Ordering::Relaxed);
            outcome
        };
        let (requested, changed) = tokio::join!(self.requested_until(&accounts, &stop), changes);
        changed?;
        let requested = requested?;
        let seconds = begun.elapsed().as_secs();
        let answers: usize = requested.iter().map(|one| one.answers).sum();
        let tokens: usize = requested.iter().map(|one| one.versions.len()).sum();
        let refusals: Vec<&str> = requested
            .iter()
            .flat_map(|one| one.refusals.iter().map(String::as_str))
            .collect();
        let refused = self.server.refused_refreshes().await? - refused;
        let answered = self.server.refreshes().await? - answered;
        let text = format!(
            "{} failed requests of {} for {tokens} tokens of {} accounts in {seconds} s; Keycloak counts \
             {answered} refreshes and {refused} refused ones",
            refusals.len(),
            answers + refusals.len(),
            accounts.len()
        );
        ensure!(refusals.is_empty() && refused == 0, "{text}: {refusals:?}");
        // Each account was refreshed with the old and with the new key.
        ensure!(answered >= 4 * accounts.len(), "too little load: {text}");
        Ok(text)
    }

    async fn requested_until(
        &self,
        accounts: &[Uuid],
        stop: &AtomicBool,
    ) -> anyhow::Result<Vec<Requested>> {
        let requests = accounts
            .iter()
            .map(|account| self.stack_client.tokens_until(*account, stop));
        try_join_all(requests).await
    }

    /// The steps of docs/operate.md with shorter waits.
    async fn change_keys(&self) -> anyhow::Result<()> {
        let new = new_key("second")?;
        let old = std::fs::read_to_string(self.server.client_key_file())?;
        let (new, old) = (new.as_str(), old.as_str());
        for keys in [&[old, new][..], &[new, old], &[new]] {
            tokio::time::sleep(BETWEEN_CHANGES).await;
            self.server.set_client_keys(keys)?;
        }
        tokio::time::sleep(BETWEEN_CHANGES).await;
        Ok(())
    }
}
