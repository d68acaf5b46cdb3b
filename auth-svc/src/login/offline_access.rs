//! Whether an authorization request asks for offline access (OpenID Connect Core section 11).
//! Some providers, such as Keycloak, end the person's session there when it is granted, so
//! that the next sign-in needs the password again.

use actix_web::HttpRequest;
use latchkey_domain::SessionId;
use latchkey_providers::{Provider, ProviderError};
use latchkey_service::database::{ANSWER, within};

use crate::login::agreement::Agreement;
use crate::login::context::Context;
use crate::login::known_identity;
use crate::state::State;
use crate::store::grant;

/// When an authorization request asks for offline access, if the provider is configured for
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfflineAccess {
    /// Unless a live grant is stored for the person who last signed in in this browser.
    UnlessGranted,
    /// Always.
    Requested,
    /// Always, and the person is asked for consent again.
    WithConsent,
}

impl OfflineAccess {
    /// Returns what the parameter `prompt` of a start means.
    pub(crate) fn of_prompt(prompt: Option<&str>) -> Self {
        if prompt == Some("consent") {
            Self::WithConsent
        } else {
            Self::UnlessGranted
        }
    }

    /// Returns `true` if the person is asked for consent again.
    pub(crate) fn asks_for_consent(self) -> bool {
        self == Self::WithConsent
    }

    /// Returns `true` if offline access is left out of the request, because the grant that is
    /// stored is sufficient, or because the provider is configured to be asked for it afterwards.
    /// Never if the person chose to connect an account.
    ///
    /// # Errors
    /// The provider's discovery document is not available.
    pub(crate) async fn is_left_out(
        self,
        state: &State,
        request: &HttpRequest,
        provider: &Provider,
        connects_for: Option<SessionId>,
        agreement: Option<&Agreement>,
        context: &Context,
    ) -> Result<bool, ProviderError> {
        let chose = connects_for.is_some() || agreement.is_some_and(Agreement::chose_to_connect);
        if self != Self::UnlessGranted || chose {
            return Ok(false);
        }
        if provider.requests_offline_access_afterwards() {
            return provider.can_leave_out_offline_access().await;
        }
        let keys = &state.config.flow_keys;
        let Some(known) = known_identity::of(keys, provider.name(), request) else {
            return Ok(false);
        };
        if !provider.can_leave_out_offline_access().await? {
            return Ok(false);
        }
        let identity = (&known.issuer, &known.subject);
        let stored = grant::is_stored_for(&state.pool, provider, identity, context.workspace);
        match within(ANSWER, stored).await {
            Ok(stored) => Ok(stored),
            Err(error) => {
                tracing::warn!(%error, "the grant was not looked up");
                Ok(false)
            }
        }
    }
}
