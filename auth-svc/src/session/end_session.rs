//! The end of a session at the provider, after it has ended here (OpenID Connect RP-Initiated Logout
//! 1.0). Nothing here waits for a provider, and no failure keeps a person signed in.
//!
//! `state` is a sealed text with the way back. If the sign-out carried the session cookie, `state` is
//! bound to this browser by a second cookie. A front end on another site, and a program with an access
//! token, cannot set a cookie that the provider's redirect would carry; their `state` is not bound.

use std::time::Duration;

use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use latchkey_domain::{ProviderName, SessionId};
use latchkey_providers::{EndSessionRequest, SIGNED_OUT, built_in_names};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::http::cookies::{host_cookie, removal};
use crate::http::links::found;
use crate::http::problem::{NextStep, Problem, ProblemDetails};
use crate::http::query::Query;
use crate::http::router::Routes;
use crate::login::next_steps::problem;
use crate::secret::SignOutBinding;
use crate::session::{cookie, id_token_hint};
use crate::state::State;
use crate::store::session::id_token_hint::SignedInWith;

/// Name of the cookie that binds `state` to the browser.
const COOKIE: &str = "__Host-latchkey-sign-out";

/// Purpose for which `state` is sealed.
const STATE: &str = "state of a sign-out";

/// How long a person may take at the provider.
const LIFETIME: Duration = Duration::from_mins(10);

/// What `state` contains.
#[derive(Serialize, Deserialize)]
struct SignOutState {
    #[serde(rename = "p")]
    provider: ProviderName,
    /// Where the browser goes afterwards. It was checked.
    #[serde(rename = "r")]
    back: Url,
    /// Seconds since 1970.
    #[serde(rename = "e")]
    expires_at: i64,
    /// The value of [`COOKIE`].
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    binding: Option<SignOutBinding>,
}

/// Where a sign-out goes on.
#[derive(Debug)]
pub struct AtProvider {
    /// The request to the end session endpoint. It contains the ID token and is not logged.
    pub url: Url,
    /// Name of the provider on pages.
    pub label: String,
    /// The cookie that binds the request to this browser.
    pub cookie: Option<Cookie<'static>>,
}

/// Returns where the sign-out of an ended session goes on, or `None` if it ends here. `back` is where the
/// browser goes afterwards.
pub fn at_provider(
    state: &State,
    request: &HttpRequest,
    session: SessionId,
    with: &SignedInWith,
    back: Url,
) -> Option<AtProvider> {
    let provider = state.providers.get(&with.provider)?;
    // The variables may name another issuer since the sign-in.
    if !provider.signs_out_at_provider() || !provider.is_own_issuer(&with.issuer) {
        return None;
    }
    provider.learn_end_session_endpoint();
    let keys = &state.config.flow_keys;
    let hint = with
        .sealed_id_token
        .as_ref()
        .and_then(|sealed| id_token_hint::open(keys, sealed, session));
    let binding = match cookie::secret_of(request) {
        Some(_) => Some(SignOutBinding::generate(&state.randomness).ok()?),
        None => None,
    };
    let lifetime = i64::try_from(LIFETIME.as_secs()).unwrap_or(600);
    let cookie = binding
        .as_ref()
        .map(|binding| host_cookie(COOKIE.to_owned(), binding.expose().to_owned(), lifetime));
    let content = SignOutState {
        provider: with.provider.clone(),
        back,
        expires_at: state.clock.now().unix_timestamp() + lifetime,
        binding,
    };
    let plain = serde_json::to_vec(&content).ok()?;
    let sealed = keys.seal_for(STATE, plain, &state.randomness).ok()?;
    let url = provider.end_session_url(&EndSessionRequest {
        state: &sealed,
        id_token_hint: hint.as_ref(),
    });
    if url.is_none() {
        tracing::warn!(provider = %provider.name(), "the session at the provider goes on: no end_session_endpoint is known");
    }
    Some(AtProvider {
        url: url?,
        label: provider.label().to_owned(),
        cookie,
    })
}

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    let names: Vec<&str> = built_in_names().collect();
    let known = format!("/auth/{{provider:{}}}{SIGNED_OUT}", names.join("|"));
    routes.add_at(__path_signed_out_built_in, &known, signed_out_built_in);
    routes.add(__path_signed_out_oidc, signed_out_oidc);
}

macro_rules! signed_out {
    ($name:ident, $path:literal, $summary:literal) => {
        #[doc = $summary]
        #[utoipa::path(get, path = $path, tag = "session", params(
            ("provider" = String, Path, description = "Name of the provider"),
            ("state" = Option<String>, Query, description = "`state` of the sign-out")), responses(
            (status = 302, description = "Back into the application"),
            (status = 400, description = "`state` is missing, wrong or expired. Nothing was changed", body = Problem)))]
        async fn $name(
            state: web::Data<State>,
            provider: web::Path<String>,
            request: HttpRequest,
        ) -> HttpResponse {
            signed_out(&state, &request, &provider)
        }
    };
}

signed_out!(
    signed_out_built_in,
    "/auth/{provider}/signed-out",
    "Ends a sign-out that went on at Google or Microsoft."
);
signed_out!(
    signed_out_oidc,
    "/auth/oidc/{provider}/signed-out",
    "Ends a sign-out that went on at another OpenID provider."
);

/// Why the provider's redirect is not the answer to a sign-out.
#[derive(Debug, thiserror::Error)]
enum StateError {
    #[error("the redirect has no state")]
    Missing,
    #[error("the state was not sealed here, or altered")]
    Forged,
    #[error("the state belongs to another provider")]
    OtherProvider,
    #[error("the state has expired")]
    Expired,
    #[error("the sign-out began in another browser")]
    OtherBrowser,
}

fn signed_out(state: &State, request: &HttpRequest, provider: &str) -> HttpResponse {
    match check_state(state, request, provider) {
        Ok(back) => found(&back).cookie(removal(COOKIE.to_owned())).finish(),
        Err(error) => {
            tracing::warn!(provider, %error, outcome = "refused", "not the answer to a sign-out");
            let explanation = ProblemDetails {
                status: StatusCode::BAD_REQUEST,
                code: "sign_out_unknown",
                title: "This does not belong to a sign-out",
                text:
                    "The sign-out began more than ten minutes ago or in another browser, or it is \
                       finished already. Nothing was changed by opening this page. If you signed \
                       out, you are signed out."
                        .to_owned(),
                next: NextStep::Home,
            };
            problem(request, &explanation, None)
        }
    }
}

/// Returns where the browser goes.
fn check_state(state: &State, request: &HttpRequest, provider: &str) -> Result<Url, StateError> {
    let query = Query::parse(request.query_string()).map_err(|_| StateError::Forged)?;
    let sealed = query.get("state").ok_or(StateError::Missing)?;
    let content: SignOutState = state
        .config
        .flow_keys
        .open_for(STATE, sealed)
        .and_then(|plain| serde_json::from_slice(&plain).ok())
        .ok_or(StateError::Forged)?;
    if content.provider.as_str() != provider {
        return Err(StateError::OtherProvider);
    }
    if content.expires_at <= state.clock.now().unix_timestamp() {
        return Err(StateError::Expired);
    }
    if let Some(binding) = content.binding {
        let here = request
            .cookie(COOKIE)
            .map(|cookie| SignOutBinding::new(cookie.value()));
        if here != Some(binding) {
            return Err(StateError::OtherBrowser);
        }
    }
    let returns = &state.config.returns;
    // The host of a workspace may have been removed meanwhile.
    if returns.trusts(&content.back) {
        Ok(content.back)
    } else {
        Ok(returns.app().clone())
    }
}
