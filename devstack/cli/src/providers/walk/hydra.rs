//! The steps at Ory Hydra.

use std::time::Duration;

use anyhow::ensure;

use super::{ASKED, BACK, CLIENT, DEAD, GONE, ONE_REFRESH, SHORT, Walk, keep};
use crate::providers::desk::{Desk, eventually};
use crate::providers::hydra::Hydra;
use crate::providers::table::Rows;

/// Lives of what the client is given.
const ACCESS: Duration = Duration::from_hours(1);
const REFRESH: Duration = Duration::from_hours(720);

/// Every step, with a row each.
pub(in crate::providers) async fn walk(desk: &Desk<'_>, server: &Hydra, rows: &mut Rows<'_>) {
    let walk = Walk { desk, server };
    keep(server.set_lives(ACCESS, REFRESH).await, rows);
    keep(walk.rotation(rows).await, rows);
    keep(walk.callers(rows).await, rows);
    keep(walk.expiry(rows).await, rows);
    keep(walk.session_and_consent(rows).await, rows);
    keep(walk.keys(rows).await, rows);
    keep(walk.restart(rows).await, rows);
    keep(walk.grace(rows).await, rows);
    keep(walk.silence(rows).await, rows);
    keep(walk.disconnect(rows).await, rows);
    // Last: every grant goes with the client.
    keep(walk.client(rows).await, rows);
}

impl Walk<'_, Hydra> {
    async fn callers(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let busy = self.person("busy").await?;
        self.server.set_lives(SHORT, REFRESH).await?;
        let account = busy.signs_in().await;
        self.server.set_lives(ACCESS, REFRESH).await?;
        let account = account?;
        let before = self.server.token_requests()?;
        let happened = busy.asked_at_once(account).await;
        let requests = self.server.token_requests()? - before;
        let happened = happened.and_then(|happened| {
            ensure!(requests == 1, "{happened}; {requests} requests at Hydra");
            Ok(format!("{happened}; Hydra counts 1 request"))
        });
        rows.add(
            "50 callers at once on an expired token",
            ONE_REFRESH,
            happened,
        );
        Ok(())
    }

    async fn expiry(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let expired = self.person("expired").await?;
        self.server.set_lives(ACCESS, SHORT).await?;
        let account = expired.signs_in().await;
        self.server.set_lives(ACCESS, REFRESH).await?;
        let account = account?;
        tokio::time::sleep(SHORT + Duration::from_secs(1)).await;
        let happened = expired.is_refused(account, &ASKED, true).await;
        rows.add("refresh token expired", DEAD, happened);
        rows.add("and its way back", BACK, expired.comes_back(account).await);
        Ok(())
    }

    async fn session_and_consent(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let ended = self.person("ended").await?;
        let account = ended.signs_in().await?;
        self.server.log_out("ended").await?;
        rows.add(
            "session logged out by an administrator",
            "the grant lives: Hydra's sessions are not its grants",
            ended.refreshes(account, 1).await,
        );

        let consent = self.person("consent").await?;
        let account = consent.signs_in().await?;
        self.server.revoke_consent("consent").await?;
        rows.add(
            "consent revoked (also: user disabled or deleted)",
            DEAD,
            consent.is_refused(account, &ASKED, true).await,
        );
        rows.add("and its way back", BACK, consent.comes_back(account).await);
        Ok(())
    }

    async fn grace(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let grace = self.person("grace").await?;
        let account = grace.signs_in().await?;
        grace.lost_answer(account).await?;
        let happened = grace.refreshes(account, 1).await;
        rows.add(
            "rotation with grace, an answer was lost",
            "healed",
            happened,
        );
        Ok(())
    }

    async fn disconnect(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let leaving = self.person("leaving").await?;
        let account = leaving.signs_in().await?;
        rows.add("disconnect", GONE, leaving.disconnects(account).await);
        Ok(())
    }

    async fn client(&self, rows: &mut Rows<'_>) -> anyhow::Result<()> {
        let client = self.person("client").await?;
        let account = client.signs_in().await?;
        self.server.delete_client().await?;
        let happened = client.is_refused(account, &CLIENT, false).await;
        self.server.prepare().await?;
        rows.add(
            "client deleted",
            "the operator is told, the grant lives",
            happened,
        );
        let happened = async {
            let told = eventually("the client is accepted again", async || {
                Ok(match self.desk.refresh(account).await? {
                    Err(refusal) if CLIENT.contains(&refusal.reason.as_str()) => None,
                    Err(refusal) => Some(refusal.reason),
                    Ok(_) => Some("a token".to_owned()),
                })
            })
            .await?;
            let back = client.comes_back(account).await?;
            Ok(format!("{told} of the former grant, then {back}"))
        };
        rows.add(
            "and its way back",
            "made again it serves new sign-ins; the former grant went with it",
            happened.await,
        );
        Ok(())
    }
}
