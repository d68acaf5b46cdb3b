//! A provider as the pages show it, and the links that lead to it.

use std::sync::Arc;

use latchkey_domain::ProviderName;
use latchkey_providers::{Provider, Purpose, is_built_in};
use url::form_urlencoded;

use super::icon::{self, Icon};
use crate::login::authorize::Start;

/// A way to sign in.
#[derive(Debug)]
pub struct Button {
    /// Its sign.
    pub icon: Icon,
    /// Its name.
    pub label: String,
    /// Where the form that starts the sign-in is sent.
    pub sign_in: String,
    /// Says first what will be connected.
    pub review: String,
    /// The same for one more account.
    pub connect: String,
    /// True where mail or calendar are connected with the sign-in.
    pub connects: bool,
}

impl Button {
    /// Of a provider; `carried` stands behind the link to its review.
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

/// The deployment's providers, those that most people have first.
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

/// `/auth/google`, `/auth/oidc-apis/keycloak`
pub fn start_path(provider: &ProviderName, start: Start) -> String {
    let known = is_built_in(provider.as_str());
    match (start, known) {
        (Start::SignIn, true) => format!("/auth/{provider}"),
        (Start::SignIn, false) => format!("/auth/oidc/{provider}"),
        (Start::Connect, true) => format!("/auth/{provider}-apis"),
        (Start::Connect, false) => format!("/auth/oidc-apis/{provider}"),
    }
}

/// An address with a query.
pub fn link<K: AsRef<str>, V: AsRef<str>>(path: &str, query: &[(K, V)]) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let mut link = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
    link.extend_pairs(query);
    link.finish()
}
