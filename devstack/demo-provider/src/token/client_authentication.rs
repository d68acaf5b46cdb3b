//! Authentication of the client at the token endpoint.

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::client_assertion;
pub(super) use super::client_assertion::Form;
use crate::app::App;

/// Returns the client's authentication method (OpenID Connect Core section 9).
pub(super) fn client_auth_method(request: &HttpRequest, form: &Form) -> &'static str {
    if request.headers().contains_key(AUTHORIZATION) {
        "client_secret_basic"
    } else if form.contains_key("client_assertion") && client_assertion::is_mac(form) {
        "client_secret_jwt"
    } else if form.contains_key("client_assertion") {
        "private_key_jwt"
    } else if form.contains_key("client_secret") {
        "client_secret_post"
    } else {
        "none"
    }
}

/// Returns `true` if the secret is one of the client's.
fn is_secret(app: &App, secret: &str) -> bool {
    let secrets = &app.state().settings.client_secrets;
    if secrets.is_empty() {
        return secret == app.config.client_secret;
    }
    secrets.iter().any(|valid| valid == secret)
}

pub(super) fn client_is_authenticated(app: &App, request: &HttpRequest, form: &Form) -> bool {
    let settings = app.state().settings.clone();
    let public = settings.public_client;
    if !settings.client_assertions.is_empty() {
        // Another issuer's, for which freshness is that issuer's matter.
        return form
            .get("client_assertion")
            .is_some_and(|assertion| settings.client_assertions.contains(assertion));
    }
    if settings.client_jwks.is_some() || settings.client_jwks_uri.is_some() {
        return client_assertion::is_signed(app, form)
            && client_assertion::is_fresh(app, request, form);
    }
    if settings.client_secret_jwt {
        let mut secrets = settings.client_secrets;
        if secrets.is_empty() {
            secrets.push(app.config.client_secret.clone());
        }
        return secrets
            .iter()
            .any(|secret| client_assertion::has_mac(form, secret))
            && client_assertion::is_fresh(app, request, form);
    }
    if public {
        return client_auth_method(request, form) == "none"
            && form.get("client_id") == Some(&app.config.client_id);
    }
    let is_valid = |id: &str, secret: &str| id == app.config.client_id && is_secret(app, secret);
    let basic = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|value| STANDARD.decode(value).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(basic) = basic else {
        return form
            .get("client_id")
            .zip(form.get("client_secret"))
            .is_some_and(|(id, secret)| is_valid(id, secret));
    };
    let decode = |part: &str| {
        url::form_urlencoded::parse(format!("v={part}").as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    basic
        .split_once(':')
        .is_some_and(|(id, secret)| is_valid(&decode(id), &decode(secret)))
}
