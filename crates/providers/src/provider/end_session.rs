//! The end session endpoint (OpenID Connect RP-Initiated Logout 1.0).

use std::fmt;
use std::sync::Arc;

use url::Url;

use super::Provider;
use crate::sign_out::SignOut;
use crate::{IdToken, Purpose};

/// End of the path to which a provider sends the browser after its own sign-out, beside the redirect
/// URI of sign-ins.
pub const SIGNED_OUT: &str = "/signed-out";

/// Longest ID token in bytes that is sent as a hint. The hint is a part of a URL, and servers accept
/// URLs of 4 to 8 kB.
pub const MAX_ID_TOKEN_HINT: usize = 3 * 1024;

/// Longest URL in bytes with a hint: some servers accept lines of 4 kB.
const MAX_URL_WITH_HINT: usize = 4_000;

/// A request to the end session endpoint (section 2).
#[derive(Clone)]
pub struct EndSessionRequest<'a> {
    /// `state`, which the provider sends back.
    pub state: &'a str,
    /// `id_token_hint`: the ID token of the session that ends. It is left out if the URL becomes too
    /// long.
    pub id_token_hint: Option<&'a IdToken>,
}

impl fmt::Debug for EndSessionRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndSessionRequest")
            .field("id_token_hint", &self.id_token_hint)
            .finish_non_exhaustive()
    }
}

impl Provider {
    /// Returns `true` if a sign-out here is to end the session at this provider too
    /// (`AUTH_<P>_SIGN_OUT=provider`).
    pub fn signs_out_at_provider(&self) -> bool {
        self.definition.sign_out == SignOut::Provider
    }

    /// Where the provider sends the browser after its sign-out (`post_logout_redirect_uris` of its
    /// registration). `None` in a process without `PUBLIC_URL`, and if a sign-out here ends nothing at
    /// the provider.
    pub fn post_logout_redirect_uri(&self) -> Option<Url> {
        if !self.signs_out_at_provider() {
            return None;
        }
        let callback = self.redirect_uri(Purpose::SignIn)?;
        let own = if self.is_built_in() {
            format!("/auth/{}{SIGNED_OUT}", self.name())
        } else {
            format!("/auth/oidc/{}{SIGNED_OUT}", self.name())
        };
        // A proxy may add a prefix to the path of the callback.
        let path = callback
            .path()
            .strip_suffix("/redirect")
            .map_or(own, |path| format!("{path}{SIGNED_OUT}"));
        callback.join(&path).ok()
    }

    /// Returns `true` if the ID token of a sign-in is needed as the hint of its sign-out: the provider
    /// is asked to end its session, and the last known discovery document has an endpoint for it.
    pub fn uses_id_token_hint(&self) -> bool {
        self.end_session_endpoint().is_some()
    }

    /// The URL that ends the session at the provider, or `None` if a sign-out here ends nothing there:
    /// it is not configured, the provider announces no endpoint, or no discovery document has been
    /// fetched yet. Makes no request.
    pub fn end_session_url(&self, request: &EndSessionRequest<'_>) -> Option<Url> {
        let mut url = self.end_session_endpoint()?;
        let back = self.post_logout_redirect_uri()?;
        let mut query = url.query_pairs_mut();
        query.append_pair("client_id", self.client_id());
        query.append_pair("post_logout_redirect_uri", back.as_str());
        query.append_pair("state", request.state);
        drop(query);
        let Some(hint) = request.id_token_hint else {
            return Some(url);
        };
        let mut with_hint = url.clone();
        with_hint
            .query_pairs_mut()
            .append_pair("id_token_hint", hint.as_str());
        Some(if with_hint.as_str().len() <= MAX_URL_WITH_HINT {
            with_hint
        } else {
            url
        })
    }

    fn end_session_endpoint(&self) -> Option<Url> {
        if !self.signs_out_at_provider() {
            return None;
        }
        self.metadata.last()?.end_session.clone()
    }

    /// Fetches the discovery document in the background if there is none, so that the next sign-out
    /// knows the endpoint.
    pub fn learn_end_session_endpoint(self: &Arc<Self>) {
        if !self.signs_out_at_provider() || self.metadata.last().is_some() {
            return;
        }
        let provider = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = provider.check(false).await {
                tracing::warn!(provider = %provider.name(), %error, "the discovery document is not available, so sign-outs do not reach the provider");
            }
        });
    }

    /// Returns `true` if a sign-out here is to end the session at this provider, and its discovery
    /// document, which is known, has no endpoint for that.
    pub(crate) fn lacks_end_session_endpoint(&self) -> bool {
        let known = self.metadata.last();
        self.signs_out_at_provider() && known.is_some_and(|known| known.end_session.is_none())
    }
}
