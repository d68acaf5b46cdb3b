//! A sign-out here, and the session at Keycloak (OpenID Connect RP-Initiated Logout 1.0).

use anyhow::ensure;

use crate::providers::keycloak::{Keycloak, SessionKind};
use crate::providers::results::ServerResults;
use crate::providers::scenarios::{SIGNED_OUT, Scenarios};

const LIVES: &str = "the session at Keycloak lives";
const BACK: &str = "the browser is back in the app with the state of the sign-out; the grant lives";

impl Scenarios<'_, Keycloak> {
    /// `SIGN_OUT=local`, the default.
    pub(super) async fn signs_out_here(
        &self,
        results: &mut ServerResults<'_>,
    ) -> anyhow::Result<()> {
        let mut person = self.visitor("local").await?;
        person.signs_in().await?;
        let credentials = person.credentials().await?;
        let happened = async {
            let page = person.signs_out().await?;
            let target = page.redirect_target()?;
            let app = self.stack_client.stack.public_url();
            ensure!(
                target.as_str().starts_with(app),
                "the sign-out leads to {target}"
            );
            let (accepted, _) = credentials.accepted(self.stack_client).await?;
            ensure!(accepted == 0, "{accepted} requests are still accepted");
            let live = self.server.sessions("local", SessionKind::Online).await?;
            ensure!(live.len() == 1, "Keycloak has {} sessions", live.len());
            Ok("refused here, 1 session at Keycloak".to_owned())
        };
        results.add("sign-out, local", LIVES, happened.await);
        Ok(())
    }

    /// `SIGN_OUT=provider`, in a session that began without offline access.
    pub(super) async fn signs_out_there(
        &self,
        results: &mut ServerResults<'_>,
    ) -> anyhow::Result<()> {
        let mut person = self.visitor("there").await?;
        person.signs_in().await?;
        let account = self.served_account("there").await?;
        // Keycloak dropped the session of the first sign-in.
        person.signs_out().await?;
        person.signs_in().await?;
        let happened = async {
            let before = self.server.sessions("there", SessionKind::Online).await?;
            ensure!(before.len() == 1, "{} sessions before", before.len());
            self.returns_from_sign_out(&mut person).await?;
            let after = self.server.sessions("there", SessionKind::Online).await?;
            ensure!(after.is_empty(), "{} sessions are left", after.len());
            let grant = self.known("there").refreshes(account, 1).await?;
            Ok(format!("1 session before, none after; {grant}"))
        };
        results.add("sign-out, provider", SIGNED_OUT, happened.await);
        Ok(())
    }

    /// `SIGN_OUT=provider`, in a session of which Keycloak has only the offline session.
    pub(super) async fn signs_out_of_first_session(
        &self,
        results: &mut ServerResults<'_>,
    ) -> anyhow::Result<()> {
        let mut person = self.visitor("early").await?;
        person.signs_in().await?;
        let account = self.served_account("early").await?;
        let happened = async {
            self.returns_from_sign_out(&mut person).await?;
            self.known("early").refreshes(account, 1).await
        };
        results.add(
            "sign-out, provider, after the first sign-in",
            BACK,
            happened.await,
        );
        Ok(())
    }
}
