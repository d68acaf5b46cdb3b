//! The buttons of providers on the pages, and the paths that start a flow.

use std::sync::Arc;

use latchkey_domain::ProviderName;
use latchkey_providers::{Provider, Purpose, is_built_in};

use crate::http::icon::{self, Icon};
use crate::http::links::link;

/// The button of a provider.
#[derive(Debug)]
pub struct Button {
    /// Logo of the provider.
    pub icon: Icon,
    /// Display name of the provider.
    pub label: String,
    /// Path to which the form that starts a sign-in is sent.
    pub sign_in: String,
    /// Path of the review page.
    pub review: String,
    /// Path of the review page that connects another account.
    pub connect: String,
    /// Whether a sign-in also connects mail or calendar.
    pub connects: bool,
}

impl Button {
    /// Builds the button of a provider. `carried` is the query of the review link.
    pub fn of(provider: &Provider, carried: &[(String, String)]) -> Self {
        let name = provider.name();
        Self {
            icon: icon::of_provider(name.as_str()),
            label: provider.label().to_owned(),
            sign_in: format!("/auth/sign-in/{name}"),
            review: link(&format!("/auth/review/{name}"), carried),
            connect: format!("/auth/review/{name}?purpose=connect"),
            connects: provider.asks_for_data(Purpose::SignIn),
        }
    }
}

/// Returns the buttons of the configured providers, Google and Microsoft first.
pub fn buttons<'a>(
    providers: impl Iterator<Item = &'a Arc<Provider>>,
    carried: &[(String, String)],
) -> Vec<Button> {
    let mut buttons: Vec<(bool, Button)> = providers
        .map(|provider| (!provider.is_built_in(), Button::of(provider, carried)))
        .collect();
    buttons.sort_by_key(|(other, _)| *other);
    buttons.into_iter().map(|(_, button)| button).collect()
}

/// Returns the path that starts a flow: `/auth/google`, `/auth/oidc-apis/keycloak`.
pub fn start_path(provider: &ProviderName, purpose: Purpose) -> String {
    let known = is_built_in(provider.as_str());
    match (purpose, known) {
        (Purpose::SignIn, true) => format!("/auth/{provider}"),
        (Purpose::SignIn, false) => format!("/auth/oidc/{provider}"),
        (Purpose::Connect, true) => format!("/auth/{provider}-apis"),
        (Purpose::Connect, false) => format!("/auth/oidc-apis/{provider}"),
    }
}
