//! The steps at each server. Each step that hurts a grant has a person of its own.

pub(super) mod hydra;
pub(super) mod keycloak;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use uuid::Uuid;

use super::desk::{Desk, Pages, eventually};
use super::process::Process;
use super::table::Rows;

type Happened = anyhow::Result<String>;

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
pub(super) trait Server: Pages {
    /// Its process.
    fn process(&self) -> &Process;
    /// The address of its API.
    fn userinfo(&self) -> String;
    /// Makes a person known to it.
    async fn gets_to_know(&self, login: &str) -> anyhow::Result<()>;
    /// Starts it after a stop.
    async fn start_again(&self) -> anyhow::Result<()>;
    /// Makes a signing key that comes before all others; the first one has 0.
    async fn rotate_keys(&self, nth: u32) -> anyhow::Result<()>;
}

/// A server and the desk in front of it, with the steps that every server has alike.
struct Walk<'a, S> {
    desk: &'a Desk<'a>,
    server: &'a S,
}

impl<S: Server> Walk<'_, S> {
    /// A person whom the server has just got to know.
    async fn person(&self, login: &'static str) -> anyhow::Result<At<'_, S>> {
        self.server.gets_to_know(login).await?;
        Ok(At {
            desk: self.desk,
            pages: self.server,
            login,
            userinfo: self.server.userinfo(),
        })
    }

    async fn rotation(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let ada = self.person("ada").await?;
        rows.add("sign-in", IN, ada.connects().await);
        let account = ada.signs_in().await?;
        let happened = ada.refreshes(account, 3).await;
        rows.add("refresh, strict rotation", REFRESHED, happened);

        ada.lost_answer(account).await?;
        let happened = ada.is_refused(account, &ASKED, true).await;
        rows.add("strict rotation, an answer was lost", DEAD, happened);
        rows.add("and its way back", BACK, ada.comes_back(account).await);
        Ok(())
    }

    async fn keys(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let keys = self.person("keys").await?;
        let account = keys.signs_in().await?;
        let happened = async {
            for nth in 0..2 {
                self.server.rotate_keys(nth).await?;
                keys.comes_back(account).await?;
            }
            keys.refreshes(account, 1).await?;
            Ok("two changes, a sign-in after each, a refresh".to_owned())
        };
        rows.add("signing keys rotated", KEYS, happened.await);
        // Where that broke, the next steps are not to break with it.
        keys.gets_in_again().await
    }

    async fn silence(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let silent = self.person("silent").await?;
        let account = silent.signs_in().await?;
        self.server.process().silence();
        let told = silent.is_told_of_an_outage(account, &OUTAGE).await;
        self.server.process().resume();
        let happened = silent.after_an_outage(account, told).await;
        rows.add("silence (SIGSTOP)", UNTOUCHED, happened);
        Ok(())
    }

    async fn restart(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let away = self.person("away").await?;
        let account = away.signs_in().await?;
        self.server.process().stop();
        let told = away.is_told_of_an_outage(account, &OUTAGE).await;
        self.server.start_again().await?;
        let happened = away.after_an_outage(account, told).await;
        rows.add("restart", UNTOUCHED, happened);
        Ok(())
    }
}

/// One person at one server.
struct At<'a, P> {
    desk: &'a Desk<'a>,
    pages: &'a P,
    login: &'static str,
    userinfo: String,
}

impl<P: Pages> At<'_, P> {
    async fn signs_in(&self) -> anyhow::Result<Uuid> {
        let account = self.desk.sign_in(self.pages, self.login).await?.id;
        // A grant that was dead is served again as soon as the sign-in is applied.
        let token = eventually("a token after the sign-in", async || {
            Ok(self.desk.token(account).await?.ok())
        })
        .await?;
        let status = self.desk.accepts(&self.userinfo, &token).await?;
        ensure!(status == 200, "the provider's API answered {status}");
        Ok(account)
    }

    /// A sign-in works, sooner or later.
    async fn gets_in_again(&self) -> anyhow::Result<()> {
        eventually("a sign-in", async || {
            let entered = self.desk.enter(self.pages, self.login).await;
            Ok(entered.is_ok().then_some(()))
        })
        .await
    }

    async fn connects(&self) -> Happened {
        let account = self.signs_in().await?;
        Ok(format!("account {}, accepted", short(account)))
    }

    async fn refreshes(&self, account: Uuid, times: usize) -> Happened {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..times {
            let token = self.desk.refresh(account).await??;
            let status = self.desk.accepts(&self.userinfo, &token).await?;
            ensure!(status == 200, "the provider's API answered {status}");
            seen.insert(token.access_token);
        }
        ensure!(seen.len() == times, "{} tokens of {times}", seen.len());
        Ok(format!("{times} refreshes, {times} tokens"))
    }

    async fn comes_back(&self, account: Uuid) -> Happened {
        let again = self.signs_in().await?;
        ensure!(again == account, "another account: {}", short(again));
        Ok("the same account".to_owned())
    }

    /// A refresh is refused for one of these reasons, and the grant is dead or not.
    async fn is_refused(&self, account: Uuid, reasons: &[&str], dead: bool) -> Happened {
        let Err(refusal) = self.desk.refresh(account).await? else {
            anyhow::bail!("a token was given");
        };
        let is = self.desk.is_dead(account).await?;
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
    async fn lost_answer(&self, account: Uuid) -> anyhow::Result<()> {
        let before = self.desk.sealed(account).await?;
        self.desk.refresh(account).await??;
        self.desk.put_back(account, &before).await
    }

    /// Many callers ask for the token, which has expired.
    async fn asked_at_once(&self, account: Uuid) -> Happened {
        let first = self.desk.token(account).await??;
        tokio::time::sleep(SHORT + Duration::from_secs(1)).await;
        let tokens = self.desk.tokens_at_once(account, CALLERS).await?;
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
    async fn is_served_again(&self, account: Uuid) -> Happened {
        self.desk.refreshed_again(account).await?;
        ensure!(
            !self.desk.is_dead(account).await?,
            "a token, and the grant is still called dead"
        );
        Ok("served again without a sign-in".to_owned())
    }

    /// Nothing answers: a refresh is refused, and the token that is still good is given.
    async fn is_told_of_an_outage(&self, account: Uuid, reasons: &[&str]) -> Happened {
        let told = self.is_refused(account, reasons, false).await?;
        let good = self.desk.token(account).await?;
        good.context("the token that is still good was not given")?;
        Ok(told)
    }

    /// The server is back.
    async fn after_an_outage(&self, account: Uuid, told: Happened) -> Happened {
        let begun = Instant::now();
        let token = self.desk.refreshed_again(account).await?;
        let after = begun.elapsed().as_secs();
        let status = self.desk.accepts(&self.userinfo, &token).await?;
        ensure!(status == 200, "the provider's API answered {status}");
        let told = told?;
        Ok(format!("{told}; served {after} s after its return"))
    }

    async fn disconnects(&self, account: Uuid) -> Happened {
        let token = self.desk.token(account).await??;
        let confirmed = self.desk.disconnect(account).await?;
        ensure!(confirmed, "the provider did not confirm it");
        let status = self.desk.accepts(&self.userinfo, &token).await?;
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
fn keep(outcome: anyhow::Result<()>, rows: &mut Rows<'_>) {
    if let Err(error) = outcome {
        rows.add("what the next steps need", "holds", Err(error));
    }
}

fn short(account: Uuid) -> String {
    account.simple().to_string().split_off(24)
}
