//! The steps that are tested at each server. Each step that damages a grant has its own person.

pub(super) mod hydra;
pub(super) mod keycloak;
mod sessions;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use uuid::Uuid;

use super::process::Process;
use super::results::ServerResults;
use super::stack_client::{SignInPages, StackClient, eventually};
use super::visitor::Visitor;

type Outcome = anyhow::Result<String>;

/// Number of concurrent callers for one expired token.
const CALLERS: usize = 50;
/// Lifetime of a token that is to expire during a step.
const SHORT: Duration = Duration::from_secs(4);

const IN: &str = "one account with a token that the provider's API accepts";
const REFRESHED: &str = "a new token each time, accepted";
const BACK: &str = "after a sign-in the same account is served";
const ONE_REFRESH: &str = "one refresh, one token for all";
const DEAD: &str = "INVALID_REFRESH_TOKEN; the person must sign in";
const UNTOUCHED: &str = "an outage is reported; the grant lives and is served afterwards";
const KEYS: &str = "people can sign in at once, also after a second change";
const GONE: &str = "confirmed by the provider; the access token is refused";

const SIGNED_OUT: &str = "the session at the provider ends, and the browser is back in the app with the \
                          state of the sign-out; the grant lives";

/// What the steps need from every server.
pub(super) trait Server: SignInPages {
    /// Returns the server's process.
    fn process(&self) -> &Process;
    /// Returns the URL of its userinfo endpoint, which stands for the provider's API.
    fn userinfo(&self) -> String;
    /// Creates a user account.
    async fn create_person(&self, login: &str) -> anyhow::Result<()>;
    /// Starts it after a stop.
    async fn restart(&self) -> anyhow::Result<()>;
    /// Creates a signing key that is used before all others. `nth` is 0 for the first new key.
    async fn rotate_keys(&self, nth: u32) -> anyhow::Result<()>;
}

/// A server and a client of the stack, with the steps that are the same for every server.
struct Scenarios<'a, S> {
    stack_client: &'a StackClient<'a>,
    server: &'a S,
}

impl<S: Server> Scenarios<'_, S> {
    /// Creates a person at the server.
    async fn person(&self, login: &'static str) -> anyhow::Result<PersonAtProvider<'_, S>> {
        self.server.create_person(login).await?;
        Ok(self.known(login))
    }

    /// Returns a person who exists at the server.
    fn known(&self, login: &'static str) -> PersonAtProvider<'_, S> {
        PersonAtProvider {
            stack_client: self.stack_client,
            pages: self.server,
            login,
            userinfo: self.server.userinfo(),
        }
    }

    /// Returns another browser of a person.
    fn browser_of(&self, login: &'static str) -> anyhow::Result<Visitor<'_, S>> {
        Visitor::new(self.stack_client, self.server, login)
    }

    /// Creates a person at the server and gives them a browser.
    async fn visitor(&self, login: &'static str) -> anyhow::Result<Visitor<'_, S>> {
        self.server.create_person(login).await?;
        self.browser_of(login)
    }

    /// Waits until the person's account is served.
    async fn served_account(&self, login: &str) -> anyhow::Result<Uuid> {
        let account = self.stack_client.account(login).await?.id;
        eventually("a token after the sign-in", async || {
            Ok(self.stack_client.token(account).await?.ok())
        })
        .await?;
        Ok(account)
    }

    /// A response is lost, and the replaced token can be used once more.
    async fn lost_response_is_survived(
        &self,
        login: &'static str,
        step: &'static str,
        results: &mut ServerResults<'_>,
    ) -> anyhow::Result<()> {
        let person = self.person(login).await?;
        let account = person.signs_in().await?;
        person.lose_response(account).await?;
        let happened = person.refreshes(account, 1).await;
        results.add(step, "the grant lives", happened);
        Ok(())
    }

    async fn rotation(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let ada = self.person("ada").await?;
        results.add("sign-in", IN, ada.connects().await);
        let account = ada.signs_in().await?;
        let happened = ada.refreshes(account, 3).await;
        results.add("refresh, strict rotation", REFRESHED, happened);

        ada.lose_response(account).await?;
        let happened = ada.is_refused(account, &ASKED, true).await;
        results.add("strict rotation, a response was lost", DEAD, happened);
        results.add("recovery", BACK, ada.signs_in_again(account).await);
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
        // If this step failed, the next steps must not fail because of it.
        keys.signs_in_eventually().await
    }

    async fn pause(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let silent = self.person("silent").await?;
        let account = silent.signs_in().await?;
        self.server.process().pause();
        let refusal = silent.sees_outage(account, &OUTAGE).await;
        self.server.process().resume();
        let happened = silent.recovers(account, refusal).await;
        results.add("no response (SIGSTOP)", UNTOUCHED, happened);
        Ok(())
    }

    async fn restart(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let away = self.person("away").await?;
        let account = away.signs_in().await?;
        self.server.process().stop();
        let refusal = away.sees_outage(account, &OUTAGE).await;
        self.server.restart().await?;
        let happened = away.recovers(account, refusal).await;
        results.add("restart", UNTOUCHED, happened);
        Ok(())
    }
}

/// A person at one server.
struct PersonAtProvider<'a, P> {
    stack_client: &'a StackClient<'a>,
    pages: &'a P,
    login: &'static str,
    userinfo: String,
}

impl<P: SignInPages> PersonAtProvider<'_, P> {
    async fn signs_in(&self) -> anyhow::Result<Uuid> {
        let account = self.stack_client.sign_in(self.pages, self.login).await?.id;
        // A dead grant is served again as soon as sync-svc has applied the sign-in.
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

    /// Waits until a sign-in succeeds.
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

    /// Expects that a refresh is refused for one of the reasons and that the grant is dead or
    /// not, as `dead` says.
    async fn is_refused(&self, account: Uuid, reasons: &[&str], dead: bool) -> Outcome {
        let Err(refusal) = self.stack_client.refresh(account).await? else {
            anyhow::bail!("a token was returned");
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

    /// Simulates the loss of a refresh response: the next refresh uses the replaced token.
    async fn lose_response(&self, account: Uuid) -> anyhow::Result<()> {
        let before = self.stack_client.sealed(account).await?;
        self.stack_client.refresh(account).await??;
        self.stack_client.restore(account, &before).await
    }

    /// Requests the expired token from many callers at once.
    async fn requests_at_once(&self, account: Uuid) -> Outcome {
        let first = self.stack_client.token(account).await??;
        tokio::time::sleep(SHORT + Duration::from_secs(1)).await;
        let tokens = self.stack_client.tokens_at_once(account, CALLERS).await?;
        let newest = tokens.first().context("there were no callers")?;
        ensure!(
            newest.access_token != first.access_token,
            "the expired token was returned"
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

    /// Expects a token without a sign-in.
    async fn is_served_again(&self, account: Uuid) -> Outcome {
        self.stack_client.refreshed_again(account).await?;
        ensure!(
            !self.stack_client.is_dead(account).await?,
            "there is a token, but the grant is still marked as dead"
        );
        Ok("served again without a sign-in".to_owned())
    }

    /// Expects, while the server does not respond, that a refresh is refused and that the token
    /// which is still valid is returned.
    async fn sees_outage(&self, account: Uuid, reasons: &[&str]) -> Outcome {
        let refusal = self.is_refused(account, reasons, false).await?;
        let good = self.stack_client.token(account).await?;
        good.context("the token that is still valid was not returned")?;
        Ok(refusal)
    }

    /// Waits until the server responds again, and returns what was seen during the outage.
    async fn recovers(&self, account: Uuid, refusal: Outcome) -> Outcome {
        let begun = Instant::now();
        let token = self.stack_client.refreshed_again(account).await?;
        let after = begun.elapsed().as_secs();
        let status = self
            .stack_client
            .userinfo_status(&self.userinfo, &token)
            .await?;
        ensure!(status == 200, "the provider's API answered {status}");
        let refusal = refusal?;
        Ok(format!("{refusal}; served {after} s after its return"))
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

/// Reasons that mean an outage of the provider.
const OUTAGE: [&str; 4] = [
    "NETWORK",
    "OUTCOME_UNKNOWN",
    "PROVIDER_UNAVAILABLE",
    "STILL_REFRESHING",
];
/// Reasons that the operator has to resolve.
const CLIENT: [&str; 2] = ["CLIENT_MISCONFIGURED", "UNAUTHORIZED"];
const ASKED: [&str; 2] = ["INVALID_REFRESH_TOKEN", "ROTATION_LOST"];

/// Adds a failed step if a precondition of the following steps failed. Those steps are skipped.
fn require(outcome: anyhow::Result<()>, results: &mut ServerResults<'_>) {
    if let Err(error) = outcome {
        results.add("precondition of the next steps", "fulfilled", Err(error));
    }
}

fn short(account: Uuid) -> String {
    account.simple().to_string().split_off(24)
}
