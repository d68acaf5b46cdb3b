//! The steps at Ory Hydra.

use std::time::Duration;

use anyhow::ensure;

use super::{
    ASKED, BACK, CLIENT, DEAD, GONE, IN, ONE_REFRESH, REFRESHED, SHORT, SIGNED_OUT, Scenarios,
    require,
};
use crate::providers::hydra::Hydra;
use crate::providers::results::ServerResults;
use crate::providers::stack_client::{StackClient, eventually};

/// Usual lifetimes of the client's tokens.
const ACCESS: Duration = Duration::from_hours(1);
const REFRESH: Duration = Duration::from_hours(720);

/// Runs every step and adds its result.
pub(crate) async fn run(
    stack_client: &StackClient<'_>,
    server: &Hydra,
    results: &mut ServerResults<'_>,
) {
    let scenarios = Scenarios {
        stack_client,
        server,
    };
    require(server.set_token_lifetimes(ACCESS, REFRESH).await, results);
    require(scenarios.rotation(results).await, results);
    require(scenarios.callers(results).await, results);
    require(scenarios.expiry(results).await, results);
    require(scenarios.session_and_consent(results).await, results);
    require(scenarios.keys(results).await, results);
    require(scenarios.restart(results).await, results);
    require(scenarios.grace(results).await, results);
    require(scenarios.pause(results).await, results);
    require(scenarios.disconnect(results).await, results);
    // This is the last step, because it deletes every grant.
    require(scenarios.client(results).await, results);
}

/// Runs the steps of the client with a key, and adds their results.
pub(crate) async fn run_with_key(
    stack_client: &StackClient<'_>,
    server: &Hydra,
    results: &mut ServerResults<'_>,
) {
    let scenarios = Scenarios {
        stack_client,
        server,
    };
    require(scenarios.client_key(results).await, results);
    require(scenarios.session_ended(results).await, results);
    require(scenarios.signs_out_there(results).await, results);
}

impl Scenarios<'_, Hydra> {
    async fn client_key(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let keyed = self.person("keyed").await?;
        results.add("private_key_jwt: sign-in", IN, keyed.connects().await);
        let account = keyed.signs_in().await?;
        let happened = keyed.refreshes(account, 3).await;
        results.add("private_key_jwt: refresh", REFRESHED, happened);
        let happened = keyed.disconnects(account).await;
        results.add("private_key_jwt: disconnect", GONE, happened);
        Ok(())
    }

    async fn session_ended(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let mut removed = self.visitor("removed").await?;
        let mut kept = self.visitor("kept").await?;
        removed.signs_in().await?;
        kept.signs_in().await?;
        let account = self.served_account("removed").await?;
        let ended = removed.credentials().await?;
        let other = kept.credentials().await?;
        let happened = async {
            let session = self.stack_client.provider_session("removed").await?;
            let times = self
                .refused_after(&ended, self.server.end_session(&session))
                .await?;
            other
                .require_accepted("the other person", self.stack_client)
                .await?;
            let grant = self.known("removed").refreshes(account, 1).await?;
            Ok(format!("{times}; {grant}"))
        };
        results.add(
            "session ended by an administrator, back-channel",
            "within 2 s every replica refuses the session and its access token; another person's \
             session, the account and its grant stay",
            happened.await,
        );
        Ok(())
    }

    async fn signs_out_there(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let mut person = self.visitor("there").await?;
        person.signs_in().await?;
        let account = self.served_account("there").await?;
        let happened = async {
            self.returns_from_sign_out(&mut person).await?;
            self.known("there").refreshes(account, 1).await
        };
        results.add("sign-out, provider", SIGNED_OUT, happened.await);
        Ok(())
    }

    async fn callers(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let busy = self.person("busy").await?;
        self.server.set_token_lifetimes(SHORT, REFRESH).await?;
        let account = busy.signs_in().await;
        self.server.set_token_lifetimes(ACCESS, REFRESH).await?;
        let account = account?;
        let before = self.server.token_requests()?;
        let happened = busy.requests_at_once(account).await;
        let requests = self.server.token_requests()? - before;
        let happened = happened.and_then(|happened| {
            ensure!(requests == 1, "{happened}; {requests} requests at Hydra");
            Ok(format!("{happened}; Hydra counts 1 request"))
        });
        results.add(
            "50 callers at once on an expired token",
            ONE_REFRESH,
            happened,
        );
        Ok(())
    }

    async fn expiry(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let expired = self.person("expired").await?;
        self.server.set_token_lifetimes(ACCESS, SHORT).await?;
        let account = expired.signs_in().await;
        self.server.set_token_lifetimes(ACCESS, REFRESH).await?;
        let account = account?;
        tokio::time::sleep(SHORT + Duration::from_secs(1)).await;
        let happened = expired.is_refused(account, &ASKED, true).await;
        results.add("refresh token expired", DEAD, happened);
        results.add("recovery", BACK, expired.signs_in_again(account).await);
        Ok(())
    }

    async fn session_and_consent(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let ended = self.person("ended").await?;
        let account = ended.signs_in().await?;
        self.server.log_out("ended").await?;
        results.add(
            "session logged out by an administrator",
            "the grant lives: Hydra's sessions and grants are separate",
            ended.refreshes(account, 1).await,
        );

        let consent = self.person("consent").await?;
        let account = consent.signs_in().await?;
        self.server.revoke_consent("consent").await?;
        results.add(
            "consent revoked (also: user disabled or deleted)",
            DEAD,
            consent.is_refused(account, &ASKED, true).await,
        );
        results.add("recovery", BACK, consent.signs_in_again(account).await);
        Ok(())
    }

    async fn grace(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let step = "rotation with grace period, a response was lost";
        self.lost_response_is_survived("grace", step, results).await
    }

    async fn disconnect(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let leaving = self.person("leaving").await?;
        let account = leaving.signs_in().await?;
        results.add("disconnect", GONE, leaving.disconnects(account).await);
        Ok(())
    }

    async fn client(&self, results: &mut ServerResults<'_>) -> anyhow::Result<()> {
        let client = self.person("client").await?;
        let account = client.signs_in().await?;
        self.server.delete_client().await?;
        let happened = client.is_refused(account, &CLIENT, false).await;
        self.server.prepare().await?;
        results.add(
            "client deleted",
            "the operator is informed; the grant lives",
            happened,
        );
        let happened = async {
            let first = eventually("the client is accepted again", async || {
                Ok(match self.stack_client.refresh(account).await? {
                    Err(refusal) if CLIENT.contains(&refusal.reason.as_str()) => None,
                    Err(refusal) => Some(refusal.reason),
                    Ok(_) => Some("a token".to_owned()),
                })
            })
            .await?;
            let back = client.signs_in_again(account).await?;
            Ok(format!("{first} of the former grant, then {back}"))
        };
        results.add(
            "recovery",
            "once recreated it serves new sign-ins; the former grant is lost",
            happened.await,
        );
        Ok(())
    }
}
