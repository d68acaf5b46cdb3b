//! The steps at Keycloak.

use anyhow::ensure;
use serde_json::json;
use std::time::Duration;

use super::{ASKED, BACK, CLIENT, DEAD, ONE_REFRESH, SHORT, Walk, keep};
use crate::providers::desk::{Desk, eventually};
use crate::providers::keycloak::Keycloak;
use crate::providers::table::Rows;

/// Every step, with a row each.
pub(in crate::providers) async fn walk(desk: &Desk<'_>, server: &Keycloak, rows: &mut Rows<'_>) {
    let walk = Walk { desk, server };
    keep(walk.rotation(rows).await, rows);
    keep(walk.callers(rows).await, rows);
    keep(walk.people(rows).await, rows);
    keep(walk.session(rows).await, rows);
    keep(walk.consent(rows).await, rows);
    keep(walk.expiry(rows).await, rows);
    keep(walk.client(rows).await, rows);
    keep(walk.keys(rows).await, rows);
    keep(walk.reuse(rows).await, rows);
    keep(walk.silence(rows).await, rows);
    keep(walk.restart(rows).await, rows);
    keep(walk.disconnect(rows).await, rows);
}

impl Walk<'_, Keycloak> {
    async fn callers(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let busy = self.person("busy").await?;
        let brief = json!({"accessTokenLifespan": SHORT.as_secs()});
        self.server.change(brief).await?;
        let account = busy.signs_in().await;
        let usual = json!({"accessTokenLifespan": 300});
        self.server.change(usual).await?;
        let account = account?;
        let before = self.server.refreshes().await?;
        let happened = busy.asked_at_once(account).await;
        let refreshes = self.server.refreshes().await? - before;
        let happened = happened.and_then(|happened| {
            ensure!(
                refreshes == 1,
                "{happened}; {refreshes} refreshes at Keycloak"
            );
            Ok(format!("{happened}; Keycloak counts 1 refresh"))
        });
        rows.add(
            "50 callers at once on an expired token",
            ONE_REFRESH,
            happened,
        );
        Ok(())
    }

    async fn people(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let disabled = self.person("disabled").await?;
        let account = disabled.signs_in().await?;
        self.server.enable_person("disabled", false).await?;
        rows.add(
            "user disabled",
            "ACCOUNT_DISABLED, the grant is tried again for 14 days",
            disabled
                .is_refused(account, &["ACCOUNT_DISABLED"], false)
                .await,
        );
        self.server.enable_person("disabled", true).await?;
        let happened = disabled.is_served_again(account).await;
        rows.add("and its way back", "served again once enabled", happened);

        let deleted = self.person("deleted").await?;
        let account = deleted.signs_in().await?;
        self.server.delete_person("deleted").await?;
        let reasons = ["INVALID_REFRESH_TOKEN", "ACCOUNT_DISABLED"];
        let happened = deleted.is_refused(account, &reasons, true).await;
        rows.add("user deleted", DEAD, happened);
        let happened = async {
            let newcomer = self.person("deleted").await?;
            self.desk.enter(self.server, newcomer.login).await?;
            let accounts = eventually("an account of their own", async || {
                let accounts = self.desk.accounts(newcomer.login).await?;
                Ok((accounts.len() > 1).then_some(accounts))
            })
            .await?;
            ensure!(
                self.desk.token(account).await?.is_err(),
                "the account of the deleted person has a token"
            );
            for other in accounts.iter().filter(|other| other.id != account) {
                self.desk.token(other.id).await??;
            }
            Ok(format!("{} accounts of the address", accounts.len()))
        };
        rows.add(
            "somebody new with the address of the deleted user",
            "an account of their own; the former one has no token",
            happened.await,
        );
        Ok(())
    }

    async fn session(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let ended = self.person("ended").await?;
        let account = ended.signs_in().await?;
        self.server.log_out("ended").await?;
        let happened = ended.is_refused(account, &ASKED, true).await;
        rows.add("session logged out by an administrator", DEAD, happened);
        rows.add("and its way back", BACK, ended.comes_back(account).await);
        Ok(())
    }

    async fn consent(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let consent = self.person("consent").await?;
        let account = consent.signs_in().await?;
        self.server.revoke_consent("consent").await?;
        let reasons = ["INVALID_REFRESH_TOKEN", "CONSENT_REQUIRED"];
        rows.add(
            "consent revoked",
            "INVALID_REFRESH_TOKEN or CONSENT_REQUIRED, the person is asked",
            consent.is_refused(account, &reasons, true).await,
        );
        rows.add("and its way back", BACK, consent.comes_back(account).await);
        Ok(())
    }

    async fn expiry(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
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
        rows.add("refresh token expired", DEAD, happened);
        rows.add("and its way back", BACK, expired.comes_back(account).await);
        Ok(())
    }

    async fn client(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let client = self.person("client").await?;
        let account = client.signs_in().await?;
        self.server.enable_client(false).await?;
        let happened = client.is_refused(account, &CLIENT, false).await;
        self.server.enable_client(true).await?;
        rows.add(
            "client disabled",
            "the operator is told, the grant lives",
            happened,
        );
        let happened = client.is_served_again(account).await;
        rows.add("and its way back", "served again once enabled", happened);
        Ok(())
    }

    /// From here on a replaced token is good twice more: a request that the server
    /// answers to nobody does not end the grant.
    async fn reuse(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        self.server
            .change(json!({"refreshTokenMaxReuse": 2}))
            .await?;
        let reuse = self.person("reuse").await?;
        let account = reuse.signs_in().await?;
        reuse.lost_answer(account).await?;
        let happened = reuse.refreshes(account, 1).await;
        rows.add(
            "rotation with reuse, an answer was lost",
            "healed",
            happened,
        );
        Ok(())
    }

    async fn disconnect(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let leaving = self.person("leaving").await?;
        let account = leaving.signs_in().await?;
        leaving.comes_back(account).await?;
        leaving.comes_back(account).await?;
        let before = self.server.sessions("leaving").await?.len();
        let happened = leaving.disconnects(account).await;
        let left = self.server.sessions("leaving").await?.len();
        let happened = happened.and_then(|happened| {
            ensure!(left == 0, "{happened}; {left} of {before} sessions live");
            Ok(format!("{happened}; {before} sessions before, none after"))
        });
        rows.add(
            "disconnect after three sign-ins",
            "confirmed by the provider, and no session of the person lives there",
            happened,
        );
        Ok(())
    }
}
