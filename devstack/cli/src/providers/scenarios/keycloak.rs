//! The steps at Keycloak.

mod administrator;
mod client_key;
mod prompts;
mod pushed;
mod sign_out;

use anyhow::ensure;
use serde_json::json;
use std::time::Duration;

use super::{ASKED, BACK, CLIENT, DEAD, ONE_REFRESH, SHORT, Scenarios, require};
use crate::Stack;
use crate::providers::keycloak::{Keycloak, Realm, SessionKind};
use crate::providers::part::Part;
use crate::providers::results::ServerResults;
use crate::providers::stack_client::{StackClient, eventually};

/// Runs the steps of a part and adds their results.
pub(crate) async fn run(
    part: Part,
    stack: &Stack,
    server: &Keycloak,
    results: &mut ServerResults<'_>,
) -> anyhow::Result<()> {
    let realms: &[Realm] = match part {
        Part::Grants => &[Realm::Grants],
        Part::Sessions => &[Realm::Company, Realm::Portal],
        Part::Keys => &[Realm::Keys],
        Part::Pushed => &[Realm::Pushed],
    };
    for realm in realms {
        run_in(&server.of(*realm), stack, results).await?;
    }
    Ok(())
}

/// Runs the steps of one realm and adds their results.
pub(crate) async fn run_in(
    server: &Keycloak,
    stack: &Stack,
    results: &mut ServerResults<'_>,
) -> anyhow::Result<()> {
    let stack_client = StackClient::new(stack, server.realm().name())?;
    let scenarios = Scenarios {
        stack_client: &stack_client,
        server,
    };
    match server.realm() {
        Realm::Grants => scenarios.grants(results).await,
        Realm::Company => scenarios.company(results).await,
        Realm::Portal => scenarios.portal(results).await,
        Realm::Keys => require(scenarios.client_key(results).await, results),
        Realm::Pushed => {
            let step = "pushed authorization request, required of the client";
            let outcome = scenarios.pushes_requests("pushing", step, results).await;
            require(outcome, results);
        }
        Realm::Announced => {
            let step = "pushed authorization request, required by the discovery document";
            let outcome = scenarios.pushes_requests("announced", step, results).await;
            require(outcome, results);
        }
    }
    Ok(())
}

impl Scenarios<'_, Keycloak> {
    async fn grants(&self, results: &mut ServerResults<'_>) {
        require(self.rotation(results).await, results);
        require(self.callers(results).await, results);
        require(self.people(results).await, results);
        require(self.session(results).await, results);
        require(self.consent(results).await, results);
        require(self.expiry(results).await, results);
        require(self.client(results).await, results);
        require(self.keys(results).await, results);
        require(self.reuse(results).await, results);
        require(self.pause(results).await, results);
        require(self.restart(results).await, results);
        require(self.disconnect(results).await, results);
    }

    async fn company(&self, results: &mut ServerResults<'_>) {
        require(self.person_signed_out(results).await, results);
        require(self.session_ended(results).await, results);
        require(self.signs_out_here(results).await, results);
        require(self.one_password_prompt(results).await, results);
        require(self.connects_again(results).await, results);
    }

    async fn portal(&self, results: &mut ServerResults<'_>) {
        require(self.offline_session_ended(results).await, results);
        require(self.signs_out_there(results).await, results);
        require(self.signs_out_of_first_session(results).await, results);
        require(self.prompt_of_a_dropped_session(results).await, results);
    }

    async fn callers(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let busy = self.person("busy").await?;
        let brief = json!({"accessTokenLifespan": SHORT.as_secs()});
        self.server.change(brief).await?;
        let account = busy.signs_in().await;
        let usual = json!({"accessTokenLifespan": 300});
        self.server.change(usual).await?;
        let account = account?;
        let before = self.server.refreshes().await?;
        let happened = busy.requests_at_once(account).await;
        let refreshes = self.server.refreshes().await? - before;
        let happened = happened.and_then(|happened| {
            ensure!(
                refreshes == 1,
                "{happened}; {refreshes} refreshes at Keycloak"
            );
            Ok(format!("{happened}; Keycloak counts 1 refresh"))
        });
        results.add(
            "50 callers at once on an expired token",
            ONE_REFRESH,
            happened,
        );
        Ok(())
    }

    async fn people(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let disabled = self.person("disabled").await?;
        let account = disabled.signs_in().await?;
        self.server.enable_person("disabled", false).await?;
        results.add(
            "user disabled",
            "ACCOUNT_DISABLED; the grant is retried for 14 days",
            disabled
                .is_refused(account, &["ACCOUNT_DISABLED"], false)
                .await,
        );
        self.server.enable_person("disabled", true).await?;
        let happened = disabled.is_served_again(account).await;
        results.add("recovery", "served again once enabled", happened);

        let deleted = self.person("deleted").await?;
        let account = deleted.signs_in().await?;
        self.server.delete_person("deleted").await?;
        let reasons = ["INVALID_REFRESH_TOKEN", "ACCOUNT_DISABLED"];
        let happened = deleted.is_refused(account, &reasons, true).await;
        results.add("user deleted", DEAD, happened);
        let happened = async {
            let newcomer = self.person("deleted").await?;
            self.stack_client
                .sign_in_to_app(self.server, newcomer.login)
                .await?;
            let accounts = eventually("a new account", async || {
                let accounts = self.stack_client.accounts(newcomer.login).await?;
                Ok((accounts.len() > 1).then_some(accounts))
            })
            .await?;
            ensure!(
                self.stack_client.token(account).await?.is_err(),
                "the account of the deleted person has a token"
            );
            for other in accounts.iter().filter(|other| other.id != account) {
                self.stack_client.token(other.id).await??;
            }
            Ok(format!("{} accounts of the address", accounts.len()))
        };
        results.add(
            "a new user with the address of the deleted one",
            "a new account; the former one has no token",
            happened.await,
        );
        Ok(())
    }

    async fn session(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let ended = self.person("ended").await?;
        let account = ended.signs_in().await?;
        self.server.log_out("ended").await?;
        let happened = ended.is_refused(account, &ASKED, true).await;
        results.add("session logged out by an administrator", DEAD, happened);
        results.add("recovery", BACK, ended.signs_in_again(account).await);
        Ok(())
    }

    async fn consent(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let consent = self.person("consent").await?;
        let account = consent.signs_in().await?;
        self.server.revoke_consent("consent").await?;
        let reasons = ["INVALID_REFRESH_TOKEN", "CONSENT_REQUIRED"];
        results.add(
            "consent revoked",
            "INVALID_REFRESH_TOKEN or CONSENT_REQUIRED; the person must sign in",
            consent.is_refused(account, &reasons, true).await,
        );
        results.add("recovery", BACK, consent.signs_in_again(account).await);
        Ok(())
    }

    async fn expiry(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let expired = self.person("expired").await?;
        let account = expired.signs_in().await?;
        let brief = json!({
            "offlineSessionMaxLifespanEnabled": true,
            "offlineSessionMaxLifespan": SHORT.as_secs(),
        });
        self.server.change(brief).await?;
        tokio::time::sleep(SHORT + Duration::from_secs(1)).await;
        let happened = expired.is_refused(account, &ASKED, true).await;
        let usual = json!({"offlineSessionMaxLifespanEnabled": false});
        self.server.change(usual).await?;
        results.add("refresh token expired", DEAD, happened);
        results.add("recovery", BACK, expired.signs_in_again(account).await);
        Ok(())
    }

    async fn client(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let client = self.person("client").await?;
        let account = client.signs_in().await?;
        self.server.enable_client(false).await?;
        let happened = client.is_refused(account, &CLIENT, false).await;
        self.server.enable_client(true).await?;
        results.add(
            "client disabled",
            "the operator is informed; the grant lives",
            happened,
        );
        let happened = client.is_served_again(account).await;
        results.add("recovery", "served again once enabled", happened);
        Ok(())
    }

    /// From this step on a replaced token can be used twice more, so that a response that is
    /// lost does not end the grant.
    async fn reuse(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        self.server
            .change(json!({"refreshTokenMaxReuse": 2}))
            .await?;
        let step = "rotation with reuse, a response was lost";
        self.lost_response_is_survived("reuse", step, results).await
    }

    async fn disconnect(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let leaving = self.person("leaving").await?;
        let account = leaving.signs_in().await?;
        leaving.signs_in_again(account).await?;
        leaving.signs_in_again(account).await?;
        let before = self
            .server
            .sessions("leaving", SessionKind::Offline)
            .await?
            .len();
        let happened = leaving.disconnects(account).await;
        let left = self
            .server
            .sessions("leaving", SessionKind::Offline)
            .await?
            .len();
        let happened = happened.and_then(|happened| {
            ensure!(left == 0, "{happened}; {left} of {before} sessions live");
            Ok(format!("{happened}; {before} sessions before, none after"))
        });
        results.add(
            "disconnect after three sign-ins",
            "confirmed by the provider; the person has no session there",
            happened,
        );
        Ok(())
    }
}
