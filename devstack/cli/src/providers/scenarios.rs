//! The steps at each server. Each step that hurts a grant has a person of its own.

pub(super) mod hydra;
pub(super) mod keycloak;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use uuid::Uuid;

use super::process::Process;
use super::results::ServerResults;
use super::stack_client::{SignInPages, StackClient, eventually};

type Outcome = anyhow::Result<String>;

/// Callers at once on one expired token.
const CALLERS: usize = 50;
/// The life of a token that is to expire.
const SHORT: Duration = Duration::from_secs(4);

const IN: &str = "one account with a token that the provider's API accepts";
const REFRESHED: &str = "a new token each time, accepted";
const BACK: &str = "a sign-in brings the same account back";
const ONE_REFRESH: &str = "one refresh, one token for all";
const DEAD: &str = "INVALID_REFRESH_TOKEN, the person is asked";
const UNTOUCHED: &str = "an outage is told, the grant lives and is served afterwards";
const KEYS: &str = "people sign in at once, also after a second change";
const GONE: &str = "confirmed by the provider, and the access token is refused";

/// What the steps need of every server.
pub(super) trait Server: SignInPages {
    /// Its process.
    fn process(&self) -> &Process;
    /// The address of its API.
    fn userinfo(&self) -> String;
    /// Makes a person known to it.
    async fn create_person(&self, login: &str) -> anyhow::Result<()>;
    /// Starts it after a stop.
    async fn restart(&self) -> anyhow::Result<()>;
    /// Makes a signing key that comes before all others; the first one has 0.
    async fn rotate_keys(&self, nth: u32) -> anyhow::Result<()>;
}

/// A server and the stack_client in front of it, with the steps that every server has alike.
struct Scenarios<'a, S> {
    stack_client: &'a StackClient<'a>,
    server: &'a S,
}

impl<S: Server> Scenarios<'_, S> {
    /// A person whom the server has just got to know.
    async fn person(&self, login: &'static str) -> anyhow::Result<PersonAtProvider<'_, S>> {
        self.server.create_person(login).await?;
        Ok(PersonAtProvider {
            stack_client: self.stack_client,
            pages: self.server,
            login,
            userinfo: self.server.userinfo(),
        })
    }

    async fn rotation(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let ada = self.person("ada").await?;
        results.add("sign-in", IN, ada.connects().await);
        let account = ada.signs_in().await?;
        let happened = ada.refreshes(account, 3).await;
        results.add("refresh, strict rotation", REFRESHED, happened);

        ada.lose_response(account).await?;
        let happened = ada.is_refused(account, &ASKED, true).await;
        results.add("strict rotation, an answer was lost", DEAD, happened);
        results.add("and its way back", BACK, ada.signs_in_again(account).await);
        Ok(())
    }

    async fn keys(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let keys = self.person("keys").await?;
        let account = keys.signs_in().await?;
        let happened = async {
            for nth in 0..2 {
                self.server.rotate_keys(nth).await?;
                keys.signs_in_again(account).await?;
            }
            keys.refreshes(account, 1).await?;
            Ok("two changes, a sign-in after each, a refresh".to_owned())
        };
        results.add("signing keys rotated", KEYS, happened.await);
        // Where that broke, the next steps are not to break with it.
        keys.signs_in_eventually().await
    }

    async fn pause(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let silent = self.person("silent").await?;
        let account = silent.signs_in().await?;
        self.server.process().pause();
        let told = silent.sees_outage(account, &OUTAGE).await;
        self.server.process().resume();
        let happened = silent.recovers(account, told).await;
        results.add("silence (SIGSTOP)", UNTOUCHED, happened);
        Ok(())
    }

    async fn restart(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let away = self.person("away").await?;
        let account = away.signs_in().await?;
        self.server.process().stop();
        let told = away.sees_outage(account, &OUTAGE).await;
        self.server.restart().await?;
        let happened = away.recovers(account, told).await;
        results.add("restart", UNTOUCHED, happened);
        Ok(())
    }
}

/// One person at one server.
struct PersonAtProvider<'a, P> {
    stack_client: &'a StackClient<'a>,
    pages: &'a P,
    login: &'static str,
    userinfo: String,
}

impl<P: SignInPages> PersonAtProvider<'_, P> {
    async fn signs_in(&self) -> anyhow::Result<Uuid> {
        let account = self.stack_client.sign_in(self.pages, self.login).await?.id;
        // A grant that was dead is served again as soon as the sign-in is applied.
        let token = eventually("a token after the sign-in", async || {
            Ok(self.stack_client.token(account).await?.ok())
        })
        .await?;
        let status = self
            .stack_client
            .userinfo_status(&self.userinfo, &token)
            .await?;
        ensure!(status == 200, "the provider's API answered {status}");
        Ok(account)
    }

    /// A sign-in works, sooner or later.
    async fn signs_in_eventually(&self) -> anyhow::Result<()> {
        eventually("a sign-in", async || {
            let entered = self
                .stack_client
                .sign_in_to_app(self.pages, self.login)
                .await;
            Ok(entered.is_ok().then_some(()))
        })
        .await
    }

    async fn connects(&self) -> Outcome {
        let account = self.signs_in().await?;
        Ok(format!("account {}, accepted", short(account)))
    }

    async fn refreshes(&self, account: Uuid, times: usize) -> Outcome {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..times {
            let token = self.stack_client.refresh(account).await??;
            let status = self
                .stack_client
                .userinfo_status(&self.userinfo, &token)
                .await?;
            ensure!(status == 200, "the provider's API answered {status}");
            seen.insert(token.access_token);
        }
        ensure!(seen.len() == times, "{} tokens of {times}", seen.len());
        Ok(format!("{times} refreshes, {times} tokens"))
    }

    async fn signs_in_again(&self, account: Uuid) -> Outcome {
        let again = self.signs_in().await?;
        ensure!(again == account, "another account: {}", short(again));
        Ok("the same account".to_owned())
    }

    /// A refresh is refused for one of these reasons, and the grant is dead or not.
    async fn is_refused(&self, account: Uuid, reasons: &[&str], dead: bool) -> Outcome {
        let Err(refusal) = self.stack_client.refresh(account).await? else {
            anyhow::bail!("a token was given");
        };
        let is = self.stack_client.is_dead(account).await?;
        let text = format!(
            "{refusal}, the grant {}",
            if is { "is dead" } else { "lives" }
        );
        ensure!(
            reasons.contains(&refusal.reason.as_str()) && is == dead,
            "{text}"
        );
        Ok(text)
    }

    /// The answer of a refresh is lost: the next one brings the replaced token.
    async fn lose_response(&self, account: Uuid) -> anyhow::Result<()> {
        let before = self.stack_client.sealed(account).await?;
        self.stack_client.refresh(account).await??;
        self.stack_client.restore(account, &before).await
    }

    /// Many callers ask for the token, which has expired.
    async fn requests_at_once(&self, account: Uuid) -> Outcome {
        let first = self.stack_client.token(account).await??;
        tokio::time::sleep(SHORT + Duration::from_secs(1)).await;
        let tokens = self.stack_client.tokens_at_once(account, CALLERS).await?;
        let newest = tokens.first().context("callers")?;
        ensure!(
            newest.access_token != first.access_token,
            "the expired token"
        );
        let same = tokens
            .iter()
            .filter(|token| token.access_token == newest.access_token)
            .count();
        let versions = newest.version - first.version;
        ensure!(
            same == CALLERS && versions == 1,
            "{same} of {CALLERS} have one token, {versions} versions later"
        );
        Ok(format!("{CALLERS} callers, one token, one version later"))
    }

    /// Served again without a sign-in.
    async fn is_served_again(&self, account: Uuid) -> Outcome {
        self.stack_client.refreshed_again(account).await?;
        ensure!(
            !self.stack_client.is_dead(account).await?,
            "a token, and the grant is still called dead"
        );
        Ok("served again without a sign-in".to_owned())
    }

    /// Nothing answers: a refresh is refused, and the token that is still good is given.
    async fn sees_outage(&self, account: Uuid, reasons: &[&str]) -> Outcome {
        let told = self.is_refused(account, reasons, false).await?;
        let good = self.stack_client.token(account).await?;
        good.context("the token that is still good was not given")?;
        Ok(told)
    }

    /// The server is back.
    async fn recovers(&self, account: Uuid, told: Outcome) -> Outcome {
        let begun = Instant::now();
        let token = self.stack_client.refreshed_again(account).await?;
        let after = begun.elapsed().as_secs();
        let status = self
            .stack_client
            .userinfo_status(&self.userinfo, &token)
            .await?;
        ensure!(status == 200, "the provider's API answered {status}");
        let told = told?;
        Ok(format!("{told}; served {after} s after its return"))
    }

    async fn disconnects(&self, account: Uuid) -> Outcome {
        let token = self.stack_client.token(account).await??;
        let confirmed = self.stack_client.disconnect(account).await?;
        ensure!(confirmed, "the provider did not confirm it");
        let status = self
            .stack_client
            .userinfo_status(&self.userinfo, &token)
            .await?;
        ensure!(
            status == 401 || status == 403,
            "the access token was answered {status}"
        );
        Ok(format!("confirmed, the access token is answered {status}"))
    }
}

/// The reasons that mean an outage.
const OUTAGE: [&str; 4] = [
    "NETWORK",
    "OUTCOME_UNKNOWN",
    "PROVIDER_UNAVAILABLE",
    "STILL_REFRESHING",
];
/// The reasons that are the operator's to mend.
const CLIENT: [&str; 2] = ["CLIENT_MISCONFIGURED", "UNAUTHORIZED"];
const ASKED: [&str; 2] = ["INVALID_REFRESH_TOKEN", "ROTATION_LOST"];

/// What stands between the steps did not hold: the steps that need it are left out.
fn require(outcome: anyhow::Result<()>, results: &mut ServerResults<'_>) {
    if let Err(error) = outcome {
        results.add("what the next steps need", "holds", Err(error));
    }
}

fn short(account: Uuid) -> String {
    account.simple().to_string().split_off(24)
}
