//! Logout tokens (OpenID Connect Back-Channel Logout 1.0).

use url::Url;

use super::Provider;
use crate::id_token::{self, Jws};
use crate::logout_token::{self, TYPES};
use crate::{LogoutToken, LogoutTokenError, Purpose};

/// End of the path to which providers send logout tokens, beside the redirect URI of sign-ins.
pub const BACKCHANNEL_LOGOUT: &str = "/backchannel-logout";

impl Provider {
    /// Where the provider sends logout tokens (`backchannel_logout_uri` of its registration). `None`
    /// in a process without `PUBLIC_URL`, and for built-in providers, which send none.
    pub fn backchannel_logout_uri(&self) -> Option<Url> {
        if self.is_built_in() {
            return None;
        }
        let callback = self.redirect_uri(Purpose::SignIn)?;
        let path = callback.path().strip_suffix("/redirect")?;
        callback.join(&format!("{path}{BACKCHANNEL_LOGOUT}")).ok()
    }

    /// Verifies a logout token (section 2.6), with the keys and clocks of ID tokens. The caller
    /// checks that the token is used once.
    ///
    /// # Errors
    /// The logout token is not valid, or the provider's keys are not available.
    pub async fn verify_logout_token(&self, token: &str) -> Result<LogoutToken, LogoutTokenError> {
        let metadata = self.metadata().await.map_err(LogoutTokenError::provider)?;
        let accepted = id_token::algorithms(self.definition.quirks, &metadata.algorithms);
        let jws = Jws::parse(token, &accepted, TYPES)?;
        // Checked before the signature, so that a foreign token causes no fetch of keys.
        id_token::check_issuer(&self.definition.issuer, &jws.claims)?;
        self.check_signature(&metadata, &jws).await?;
        logout_token::check(&jws.claims, &self.definition, self.clock.now())
    }
}
