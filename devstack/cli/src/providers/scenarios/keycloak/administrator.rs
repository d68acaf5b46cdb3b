//! An administrator ends sessions at Keycloak, which sends logout tokens (OpenID Connect Back-Channel
//! Logout 1.0).

use anyhow::{Context as _, ensure};

use crate::providers::keycloak::{Keycloak, SessionKind};
use crate::providers::results::ServerResults;
use crate::providers::scenarios::Scenarios;

const REFUSED: &str = "within 2 s every replica refuses the session and its access token; another \
                       person's session and the account stay";
const ONLY_ONE: &str = "within 2 s every replica refuses the sessions that began in it; the person's \
                        other session, the account and its grant stay";
const WITH_THE_GRANT: &str = "within 2 s every replica refuses the session that began with it; \
                              Keycloak ends the grant";

impl Scenarios<'_, Keycloak> {
    /// The administrator signs a person out.
    pub(super) async fn person_signed_out(
        &self,
        results: &mut ServerResults<'_>,
    ) -> anyhow::Result<()> {
        let mut leaving = self.visitor("removed").await?;
        let mut staying = self.visitor("kept").await?;
        leaving.signs_in().await?;
        staying.signs_in().await?;
        let account = self.served_account("removed").await?;
        let ended = leaving.credentials().await?;
        let other = staying.credentials().await?;
        let happened = async {
            let times = self
                .refused_after(&ended, self.server.sign_out("removed"))
                .await?;
            other
                .require_accepted("the other person", self.stack_client)
                .await?;
            self.stack_client
                .token(account)
                .await?
                .context("the account is not served")?;
            let refresh = match self.stack_client.refresh(account).await? {
                Ok(_) => "succeeds".to_owned(),
                Err(refusal) => format!("is answered {refusal}"),
            };
            Ok(format!("{times}; a refresh at Keycloak then {refresh}"))
        };
        results.add(
            "person signed out by an administrator",
            REFUSED,
            happened.await,
        );
        Ok(())
    }

    /// The administrator ends one of two sessions.
    pub(super) async fn session_ended(
        &self,
        results: &mut ServerResults<'_>,
    ) -> anyhow::Result<()> {
        let mut first = self.visitor("two").await?;
        first.signs_in().await?;
        let account = self.served_account("two").await?;
        let mut sessions = self.server.sessions("two", SessionKind::Online).await?;
        let mut second = self.browser_of("two")?;
        second.signs_in().await?;
        let ended = first.credentials().await?;
        let other = second.credentials().await?;
        let happened = async {
            let session = sessions.pop().context("there is no session at Keycloak")?;
            ensure!(
                sessions.is_empty(),
                "one browser has {} sessions",
                sessions.len() + 1
            );
            let times = self
                .refused_after(
                    &ended,
                    self.server.end_session(&session, SessionKind::Online),
                )
                .await?;
            other
                .require_accepted("the person's other session", self.stack_client)
                .await?;
            let grant = self.known("two").refreshes(account, 1).await?;
            Ok(format!("{times}; {grant}"))
        };
        results.add(
            "one session ended by an administrator",
            ONLY_ONE,
            happened.await,
        );
        Ok(())
    }

    /// Keycloak has only the offline session of a sign-in that requested offline access, because it
    /// drops the other one.
    pub(super) async fn offline_session_ended(
        &self,
        results: &mut ServerResults<'_>,
    ) -> anyhow::Result<()> {
        let mut person = self.visitor("offline").await?;
        person.signs_in().await?;
        self.served_account("offline").await?;
        let credentials = person.credentials().await?;
        let happened = async {
            let online = self.server.sessions("offline", SessionKind::Online).await?;
            let mut offline = self
                .server
                .sessions("offline", SessionKind::Offline)
                .await?;
            ensure!(
                online.is_empty() && offline.len() == 1,
                "Keycloak has {} sessions and {} offline sessions",
                online.len(),
                offline.len()
            );
            self.server.sign_out("offline").await?;
            let (accepted, sent) = credentials.accepted(self.stack_client).await?;
            let session = offline.pop().context("there is no offline session")?;
            let times = self
                .refused_after(
                    &credentials,
                    self.server.end_session(&session, SessionKind::Offline),
                )
                .await?;
            Ok(format!(
                "after \"sign out\" of the person {accepted} of {sent} requests are accepted; after the \
                 end of the offline session: {times}"
            ))
        };
        results.add(
            "the offline session of a first sign-in ended by an administrator",
            WITH_THE_GRANT,
            happened.await,
        );
        Ok(())
    }
}
