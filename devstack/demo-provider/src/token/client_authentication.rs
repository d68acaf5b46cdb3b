//! Authentication of the client at the token endpoint.

use std::collections::HashMap;

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::app::App;

/// Fields of a form.
pub(super) type Form = HashMap<String, String>;

/// Returns the client's authentication method (OpenID Connect Core section 9).
pub(super) fn client_auth_method(request: &HttpRequest, form: &Form) -> &'static str {
    if request.headers().contains_key(AUTHORIZATION) {
        "client_secret_basic"
    } else if form.contains_key("client_assertion") {
        "private_key_jwt"
    } else if form.contains_key("client_secret") {
        "client_secret_post"
    } else {
        "none"
    }
}

/// Returns `true` if the client's assertion (RFC 7523 section 3) is signed with its key, issued
/// for this provider, not expired, and not used before.
fn assertion_is_valid(app: &App, form: &Form, key: &[u8]) -> bool {
    let Some((message, signature)) = form
        .get("client_assertion")
        .and_then(|assertion| assertion.rsplit_once('.'))
    else {
        return false;
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
    if key.verify(message.as_bytes(), &signature).is_err() {
        return false;
    }
    let claims = message
        .split_once('.')
        .and_then(|(_, payload)| URL_SAFE_NO_PAD.decode(payload).ok())
        .and_then(|payload| serde_json::from_slice::<Value>(&payload).ok())
        .unwrap_or_default();
    let client = app.config.client_id.as_str();
    let audience = format!("{}/oidc/token", app.base);
    let now = app.now();
    let alive = claims["exp"]
        .as_i64()
        .is_some_and(|expires| expires > now && expires <= now + 600);
    let fresh = claims["jti"]
        .as_str()
        .is_some_and(|id| app.state().assertions.insert(id.to_owned()));
    claims["iss"] == client
        && claims["sub"] == client
        && claims["aud"] == audience.as_str()
        && alive
        && fresh
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
    let (public, key) = {
        let settings = &app.state().settings;
        (settings.public_client, settings.client_key.clone())
    };
    if let Some(key) = key {
        return assertion_is_valid(app, form, &key);
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
