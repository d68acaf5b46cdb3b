//! How often a person fills in Keycloak's forms.

use anyhow::ensure;

use crate::providers::keycloak::Keycloak;
use crate::providers::results::ServerResults;
use crate::providers::scenarios::Scenarios;
use crate::providers::stack_client::Journey;

const ONE_PROMPT: &str = "one form at the first sign-in, none at the second and third";
const SECOND_PROMPT: &str = "a form at the second sign-in too, because Keycloak drops the session of the \
                             first; none at the third";
const ONE_TRIP: &str = "one authorization request; the account is served again";

impl Scenarios<'_, Keycloak> {
    /// Offline access is requested after the sign-in.
    pub(super) async fn one_password_prompt(
        &self,
        results: &mut ServerResults<'_>,
    ) -> anyhow::Result<()> {
        let happened = self.three_sign_ins("prompt", [1, 0, 0]).await;
        results.add(
            "three sign-ins in one browser, _OFFLINE=afterwards",
            ONE_PROMPT,
            happened,
        );
        Ok(())
    }

    /// Offline access is requested with the first sign-in.
    pub(super) async fn prompt_of_a_dropped_session(
        &self,
        results: &mut ServerResults<'_>,
    ) -> anyhow::Result<()> {
        let happened = self.three_sign_ins("dropped", [1, 1, 0]).await;
        results.add(
            "three sign-ins in one browser, _OFFLINE not set",
            SECOND_PROMPT,
            happened,
        );
        Ok(())
    }

    /// Signs a new person in three times in one browser, with a sign-out here after each.
    async fn three_sign_ins(
        &self,
        login: &'static str,
        forms: [usize; 3],
    ) -> anyhow::Result<String> {
        let mut person = self.visitor(login).await?;
        let mut journeys = Vec::new();
        let mut account = None;
        for _ in forms {
            journeys.push(person.signs_in().await?);
            let served = self.served_account(login).await?;
            ensure!(
                account.is_none_or(|account| account == served),
                "there is another account"
            );
            account = Some(served);
            person.signs_out().await?;
        }
        let seen: Vec<usize> = journeys.iter().map(|journey| journey.forms).collect();
        let requests: Vec<usize> = journeys.iter().map(|journey| journey.requests).collect();
        let text = format!("{seen:?} forms, {requests:?} authorization requests");
        ensure!(seen == forms, "{text}");
        Ok(text)
    }

    /// A person whose grant was disconnected connects the account again.
    pub(super) async fn connects_again(
        &self,
        results: &mut ServerResults<'_>,
    ) -> anyhow::Result<()> {
        let mut person = self.visitor("again").await?;
        person.signs_in().await?;
        let account = self.served_account("again").await?;
        let happened = async {
            self.known("again").disconnects(account).await?;
            let Journey { forms, requests } = person.connects().await?;
            ensure!(requests == 1, "{requests} authorization requests");
            let served = self.served_account("again").await?;
            let grant = self.known("again").refreshes(served, 1).await?;
            Ok(format!("1 authorization request, {forms} forms; {grant}"))
        };
        results.add(
            "connecting again after a disconnect",
            ONE_TRIP,
            happened.await,
        );
        Ok(())
    }
}
