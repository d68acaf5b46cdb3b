//! The client requires pushed authorization requests (RFC 9126).

use std::collections::BTreeSet;

use anyhow::ensure;

use crate::providers::keycloak::Keycloak;
use crate::providers::results::ServerResults;
use crate::providers::scenarios::Scenarios;

const PUSHED: &str = "the browser carries client_id and request_uri only; the account is served";

impl Scenarios<'_, Keycloak> {
    /// Signs a new person in with a pushed authorization request.
    pub(super) async fn pushes_requests(
        &self,
        login: &'static str,
        step: &'static str,
        results: &mut ServerResults<'_>,
    ) -> anyhow::Result<()> {
        let mut person = self.visitor(login).await?;
        let happened = async {
            let authorize = person.starts().await?;
            let names: BTreeSet<String> = authorize
                .query_pairs()
                .map(|(name, _)| name.into_owned())
                .collect();
            let expected = ["client_id", "request_uri"].map(str::to_owned);
            ensure!(names == BTreeSet::from(expected), "the URL has {names:?}");
            person.completes(authorize).await?;
            let account = self.served_account(login).await?;
            let grant = self.known(login).refreshes(account, 1).await?;
            Ok(format!("client_id and request_uri; {grant}"))
        };
        results.add(step, PUSHED, happened.await);
        Ok(())
    }
}
