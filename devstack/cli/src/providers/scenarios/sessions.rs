//! The ends of sessions, the same at every server.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use url::Url;

use super::{Scenarios, Server};
use crate::polling;
use crate::providers::credentials::Credentials;
use crate::providers::registration::signed_out_uri;
use crate::providers::visitor::Visitor;

/// Time within which every replica refuses, from the start of the administrator's request.
const LIMIT: Duration = Duration::from_secs(2);
/// Time after which the step stops looking.
const PATIENCE: Duration = Duration::from_secs(20);

impl<S: Server> Scenarios<'_, S> {
    /// Does what an administrator does and waits until every replica refuses the session. Returns the
    /// times.
    pub(super) async fn refused_after(
        &self,
        credentials: &Credentials,
        end: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<String> {
        credentials
            .require_accepted("the person", self.stack_client)
            .await?;
        let begun = Instant::now();
        end.await?;
        let answered = begun.elapsed();
        polling::eventually(PATIENCE, "every replica refuses the session", async || {
            let (accepted, _) = credentials.accepted(self.stack_client).await?;
            Ok((accepted == 0).then_some(()))
        })
        .await?;
        let refused = begun.elapsed();
        let replicas = self.stack_client.stack.auth_urls().len();
        let times = format!(
            "refused by {replicas} replicas after {} ms (the administrator was answered after {} ms)",
            refused.as_millis(),
            answered.as_millis()
        );
        ensure!(refused <= LIMIT, "{times}");
        Ok(times)
    }

    /// Signs out here and at the provider, and follows the browser back into the app.
    pub(super) async fn returns_from_sign_out(
        &self,
        person: &mut Visitor<'_, S>,
    ) -> anyhow::Result<()> {
        let credentials = person.credentials().await?;
        let end = person.signs_out().await?.refresh_target()?;
        let (accepted, _) = credentials.accepted(self.stack_client).await?;
        ensure!(accepted == 0, "{accepted} requests are still accepted");
        let app = self.stack_client.stack.public_url();
        let uri = signed_out_uri(app, self.stack_client.provider());
        let named = parameter(&end, "post_logout_redirect_uri")?;
        ensure!(named == uri, "the request names {named}");
        parameter(&end, "id_token_hint")?;
        let state = parameter(&end, "state")?;
        let forms = person.browser.submitted();
        let back = person
            .provider_redirects(&end, |url| url.as_str().starts_with(app))
            .await?;
        ensure!(
            person.browser.submitted() == forms,
            "the provider asked the person"
        );
        ensure!(
            back.as_str().starts_with(&uri),
            "the provider leads to {back}"
        );
        ensure!(
            parameter(&back, "state")? == state,
            "the provider sent another state"
        );
        let home = person.browser.get(back).await?;
        let home = home.redirect_target()?;
        ensure!(
            home.as_str().starts_with(app),
            "the way back leads to {home}"
        );
        let forged = person.browser.get(format!("{uri}?state=forged")).await?;
        ensure!(
            forged.status == 400,
            "a wrong state was answered {}",
            forged.status
        );
        Ok(())
    }
}

fn parameter(url: &Url, name: &str) -> anyhow::Result<String> {
    url.query_pairs()
        .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
        .with_context(|| format!("{} has no {name}", url.path()))
}
