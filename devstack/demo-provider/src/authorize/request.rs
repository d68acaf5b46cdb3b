//! Parses and checks an authorization request.

use std::collections::BTreeSet;

use url::Url;

use crate::app::{App, Realm};
use crate::people::{PERSONAL_TENANT, Person};
use crate::{Flavour, Misbehaviour};

/// Scopes of the person's identity. The page does not offer to deselect them.
pub(super) const IDENTITY_SCOPES: [&str; 4] = ["openid", "email", "profile", "offline_access"];

pub(super) type Pairs = Vec<(String, String)>;

pub(super) fn first<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

/// An authorization request with a registered client and redirect URI.
pub(super) struct AuthorizationRequest {
    pub redirect_uri: Url,
    /// The unchanged text, which the token request must repeat.
    pub redirect_text: String,
    /// Whether the request has `response_mode=form_post`.
    pub form_post_mode: bool,
    pub state: Option<String>,
    pub challenge: String,
    pub nonce: Option<String>,
    /// The first one of `acr_values`.
    pub acr: Option<String>,
    pub max_age: Option<String>,
    pub scopes: BTreeSet<String>,
    pub prompt: BTreeSet<String>,
    pub offline: bool,
    pub include_granted: bool,
    pub login_hint: Option<String>,
    pub hosted_domain: Option<String>,
}

/// The reason why no consent page is shown.
pub(super) enum AuthorizationError {
    /// The browser cannot be redirected, so the error is shown here.
    Page(String),
    /// The client is redirected to with the error.
    Redirect(Box<Url>),
}

/// Returns the callback URL with these parameters, and with `iss` if that is switched on (RFC
/// 9207).
pub(super) fn callback(
    app: &App,
    realm: &Realm,
    redirect_uri: &Url,
    parameters: &[(&str, &str)],
) -> Url {
    let state = app.state();
    let mut url = redirect_uri.clone();
    {
        let mut query = url.query_pairs_mut();
        for (name, value) in parameters {
            query.append_pair(name, value);
        }
        let flavour = realm.flavour;
        if state.misbehaves(flavour, Misbehaviour::WrongResponseIssuer) {
            query.append_pair("iss", "https://evil.example");
        } else if state.settings.response_iss
            && flavour != Flavour::Microsoft
            && !state.misbehaves(flavour, Misbehaviour::NoResponseIssuer)
        {
            query.append_pair("iss", &app.issuer(flavour, ""));
        }
    }
    url
}

/// Returns the parameters of a request: those that were pushed (RFC 9126), else those of the
/// query.
pub(super) fn pushed(app: &App, realm: &Realm, query: &Pairs) -> Result<Pairs, AuthorizationError> {
    let state = app.state();
    let Some(uri) = first(query, "request_uri") else {
        if realm.flavour == Flavour::Oidc && state.settings.require_pushed_authorization {
            return Err(AuthorizationError::Page(
                "invalid_request: authorization requests must be pushed.".to_owned(),
            ));
        }
        return Ok(query.clone());
    };
    state
        .pushed_requests
        .get(uri)
        .filter(|pushed| pushed.flavour == realm.flavour && pushed.expires_at > app.now())
        .map(|pushed| &pushed.parameters)
        .filter(|parameters| first(parameters, "client_id") == first(query, "client_id"))
        .cloned()
        .ok_or_else(|| {
            AuthorizationError::Page(
                "invalid_request_uri: this request_uri is unknown, used or expired.".to_owned(),
            )
        })
}

pub(super) fn read(
    app: &App,
    realm: &Realm,
    query: &Pairs,
) -> Result<AuthorizationRequest, AuthorizationError> {
    let page_error = |text: &str| AuthorizationError::Page(text.to_owned());
    if first(query, "client_id") != Some(&app.config.client_id) {
        return Err(page_error(
            "invalid_client: this client_id is not registered here.",
        ));
    }
    let redirect_uri = first(query, "redirect_uri")
        .filter(|uri| {
            let known = &app.config.redirect_uris;
            known.is_empty() || known.iter().any(|registered| registered == uri)
        })
        .and_then(|uri| Url::parse(uri).ok())
        .ok_or_else(|| {
            page_error("redirect_uri_mismatch: this redirect_uri is not registered for the client.")
        })?;
    if let (Some(only), Some(tenant)) = (
        app.state().settings.microsoft_single_tenant.as_deref(),
        realm.tenant.as_deref(),
    ) && tenant != only
    {
        return Err(page_error(
            "AADSTS50194: the application is not configured as a multi-tenant application. \
             Usage of the /common endpoint is not supported for such applications.",
        ));
    }
    let state = first(query, "state").map(str::to_owned);
    let refuse = |error: &str, description: &str| {
        let mut parameters = vec![("error", error), ("error_description", description)];
        if let Some(state) = &state {
            parameters.push(("state", state));
        }
        AuthorizationError::Redirect(Box::new(callback(app, realm, &redirect_uri, &parameters)))
    };
    if first(query, "response_type") != Some("code") {
        return Err(refuse(
            "unsupported_response_type",
            "Only the response type code is supported.",
        ));
    }
    let without_pkce = app
        .state()
        .misbehaves(realm.flavour, Misbehaviour::IgnoresPkce);
    if !without_pkce && first(query, "code_challenge_method") != Some("S256") {
        return Err(refuse("invalid_request", "PKCE with S256 is required."));
    }
    let challenge = first(query, "code_challenge").filter(|text| without_pkce || text.len() == 43);
    let challenge = challenge.or(without_pkce.then_some(""));
    let Some(challenge) = challenge.map(str::to_owned) else {
        return Err(refuse("invalid_request", "code_challenge is missing."));
    };
    let words = |name: &str| -> BTreeSet<String> {
        first(query, name)
            .unwrap_or_default()
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect()
    };
    let scopes = words("scope");
    if scopes.is_empty() {
        return Err(refuse("invalid_scope", "The request has no scope."));
    }
    let prompt = words("prompt");
    if prompt.contains("none") {
        return Err(refuse("login_required", "No person is signed in."));
    }
    Ok(AuthorizationRequest {
        redirect_text: first(query, "redirect_uri").unwrap_or_default().to_owned(),
        form_post_mode: first(query, "response_mode") == Some("form_post"),
        challenge,
        nonce: first(query, "nonce").map(str::to_owned),
        acr: first(query, "acr_values")
            .and_then(|values| values.split_ascii_whitespace().next())
            .map(str::to_owned),
        max_age: first(query, "max_age").map(str::to_owned),
        offline: first(query, "access_type") == Some("offline"),
        include_granted: first(query, "include_granted_scopes") == Some("true"),
        login_hint: first(query, "login_hint").map(str::to_owned),
        hosted_domain: first(query, "hd").map(str::to_owned),
        redirect_uri,
        state,
        scopes,
        prompt,
    })
}

/// Returns `true` if the person belongs to the requested tenant and domain.
pub(super) fn is_eligible(
    realm: &Realm,
    authorization: &AuthorizationRequest,
    person: &Person,
) -> bool {
    let in_domain = authorization
        .hosted_domain
        .as_deref()
        .is_none_or(|wanted| person.hosted_domain.as_deref() == Some(wanted));
    let in_tenant = match realm.tenant.as_deref() {
        None | Some("common") => true,
        Some("organizations") => person.tenant != PERSONAL_TENANT,
        Some("consumers") => person.tenant == PERSONAL_TENANT,
        Some(tenant) => person.tenant == tenant,
    };
    in_domain && in_tenant
}
