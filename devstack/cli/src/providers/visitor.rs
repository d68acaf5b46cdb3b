//! A person with one browser, which keeps its cookies from one sign-in to the next.

use url::Url;

use super::credentials::Credentials;
use super::stack_client::{Journey, SignInPages, StackClient};
use crate::browser::{Browser, Page};
use crate::walkthrough::authorize_address;

/// A person with a browser.
pub(super) struct Visitor<'a, P> {
    stack_client: &'a StackClient<'a>,
    pages: &'a P,
    login: &'static str,
    /// The browser.
    pub browser: Browser,
}

impl<'a, P: SignInPages> Visitor<'a, P> {
    pub(super) fn new(
        stack_client: &'a StackClient<'a>,
        pages: &'a P,
        login: &'static str,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            stack_client,
            pages,
            login,
            browser: Browser::new()?,
        })
    }

    fn app(&self) -> &'a str {
        self.stack_client.stack.public_url()
    }

    /// Chooses the provider on the sign-in page and returns the authorization URL.
    pub(super) async fn starts(&mut self) -> anyhow::Result<Url> {
        let path = format!("/auth/oidc/{}", self.stack_client.provider());
        authorize_address(&mut self.browser, self.stack_client.stack, &path).await
    }

    /// Goes on from the authorization URL until the browser is back in the app.
    pub(super) async fn completes(&mut self, authorize: Url) -> anyhow::Result<Journey> {
        self.stack_client
            .complete(&mut self.browser, self.pages, self.login, authorize)
            .await
    }

    /// Signs in.
    pub(super) async fn signs_in(&mut self) -> anyhow::Result<Journey> {
        let authorize = self.starts().await?;
        self.completes(authorize).await
    }

    /// Connects an account, as a person does who is signed in.
    pub(super) async fn connects(&mut self) -> anyhow::Result<Journey> {
        let (app, provider) = (self.app(), self.stack_client.provider());
        let link = format!("{app}/auth/oidc-apis/{provider}");
        let page = self.browser.follow(link, |_| false).await?;
        let action = format!("/auth/review/{provider}/continue");
        let leaving = self.browser.submit(&page, &action).await?;
        self.completes(leaving.refresh_target()?).await
    }

    /// Signs out here. The browser stays on the page of the answer.
    pub(super) async fn signs_out(&mut self) -> anyhow::Result<Page> {
        let address = format!("{}/auth/sign-out", self.app());
        let page = self.browser.post(address, &[]).await?;
        anyhow::ensure!(
            page.status < 400,
            "the sign-out was answered {}",
            page.status
        );
        Ok(page)
    }

    /// Follows the provider from `url` on and returns where it leads.
    pub(super) async fn provider_redirects(
        &mut self,
        url: &Url,
        arrived: impl Fn(&Url) -> bool,
    ) -> anyhow::Result<Url> {
        let page = self
            .pages
            .complete(&mut self.browser, url, self.login, arrived)
            .await?;
        Ok(page.redirect_target()?.clone())
    }

    /// Returns the credentials of the session.
    pub(super) async fn credentials(&self) -> anyhow::Result<Credentials> {
        Credentials::of(self.stack_client, &self.browser).await
    }
}
