//! Assertions of the client (RFC 7523 section 3).

use std::collections::HashMap;
use std::time::Duration;

use actix_web::HttpRequest;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::Flavour;
use crate::app::{App, Realm};

/// Fields of a form.
pub(super) type Form = HashMap<String, String>;

/// Limit of fetching the client's keys.
const FETCH_DEADLINE: Duration = Duration::from_secs(5);
/// Longest lifetime of an assertion in seconds, as at Keycloak.
const MAX_LIFETIME: i64 = 60;

fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap_or_default()
}

/// The header (`0`) or the claims (`1`) of the assertion.
fn part(form: &Form, index: usize) -> Value {
    form.get("client_assertion")
        .and_then(|assertion| assertion.split('.').nth(index))
        .and_then(|part| serde_json::from_slice(&decode(part)).ok())
        .unwrap_or_default()
}

/// Returns `true` if the algorithm of the assertion is a MAC.
pub(super) fn is_mac(form: &Form) -> bool {
    part(form, 0)["alg"]
        .as_str()
        .is_some_and(|algorithm| algorithm.starts_with("HS"))
}

/// Counts the key that signed the assertion: `client_key.<kid>`.
pub(super) fn count_key(app: &App, form: &Form) {
    if let Some(id) = part(form, 0)["kid"].as_str() {
        let name = format!("client_key.{id}");
        *app.state().counters.entry(name).or_default() += 1;
    }
}

/// Fetches the keys of the client from its address if the assertion names a key that is not
/// known.
pub(super) async fn fetch_keys(app: &App, form: &Form) {
    let header = part(form, 0);
    let address = {
        let state = app.state();
        let known = key(state.client_keys.as_ref(), &header).is_some();
        state.settings.client_jwks_uri.clone().filter(|_| !known)
    };
    let Some(address) = address.filter(|_| header["kid"].is_string()) else {
        return;
    };
    let Ok(client) = reqwest::Client::builder()
        .timeout(FETCH_DEADLINE)
        .no_proxy()
        .build()
    else {
        return;
    };
    if let Ok(answer) = client.get(address).send().await
        && let Ok(keys) = answer.json::<Value>().await
    {
        app.state().client_keys = Some(keys);
    }
}

/// The key that the header names.
fn key(keys: Option<&Value>, header: &Value) -> Option<Value> {
    let keys = keys?.get("keys")?.as_array()?;
    keys.iter()
        .find(|key| key["kid"] == header["kid"] && key["alg"] == header["alg"])
        .cloned()
}

/// Returns `true` if the assertion is signed with a key of the client.
pub(super) fn is_signed(app: &App, form: &Form) -> bool {
    let header = part(form, 0);
    let key = {
        let state = app.state();
        let registered = key(state.settings.client_jwks.as_ref(), &header);
        registered.or_else(|| key(state.client_keys.as_ref(), &header))
    };
    let assertion = form.get("client_assertion");
    let Some((key, (message, signature))) = key.zip(assertion.and_then(|all| all.rsplit_once('.')))
    else {
        return false;
    };
    let (message, signature) = (message.as_bytes(), decode(signature));
    let bytes = |name: &str| decode(key[name].as_str().unwrap_or_default());
    let rsa = |algorithm: &RsaParameters| {
        let key = RsaPublicKeyComponents {
            n: bytes("n"),
            e: bytes("e"),
        };
        key.verify(algorithm, message, &signature).is_ok()
    };
    match header["alg"].as_str() {
        Some("RS256") => rsa(&RSA_PKCS1_2048_8192_SHA256),
        Some("PS256") => rsa(&RSA_PSS_2048_8192_SHA256),
        Some("ES256") => {
            let point = [vec![4], bytes("x"), bytes("y")].concat();
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
            key.verify(message, &signature).is_ok()
        }
        _ => false,
    }
}

/// Returns `true` if the assertion has a MAC by this secret.
pub(super) fn has_mac(form: &Form, secret: &str) -> bool {
    let assertion = form.get("client_assertion");
    let Some((message, mac)) = assertion.and_then(|all| all.rsplit_once('.')) else {
        return false;
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    part(form, 0)["alg"] == "HS256" && hmac::verify(&key, message.as_bytes(), &decode(mac)).is_ok()
}

/// Returns `true` if the claims are for this provider, and the assertion is not expired and was
/// not used before.
pub(super) fn is_fresh(app: &App, request: &HttpRequest, form: &Form) -> bool {
    let Some(realm) = Realm::of(request) else {
        return false;
    };
    let claims = part(form, 1);
    let tenant = realm.tenant.as_deref().unwrap_or_default();
    let endpoint = match realm.flavour {
        Flavour::Microsoft => format!("{}/microsoft/{tenant}/oauth2/v2.0/token", app.base),
        flavour => format!("{}/{}/token", app.base, flavour.name()),
    };
    let only = app.state().settings.client_assertion_audience.clone();
    let audience = claims["aud"].as_str();
    let meant = match &only {
        Some(only) => audience == Some(only.as_str()),
        None => {
            audience == Some(endpoint.as_str())
                || audience == Some(app.issuer(realm.flavour, tenant).as_str())
        }
    };
    let now = app.now();
    let alive = claims["exp"]
        .as_i64()
        .is_some_and(|expires| expires > now && expires <= now + MAX_LIFETIME);
    let client = app.config.client_id.as_str();
    if !(meant && alive && claims["iss"] == client && claims["sub"] == client) {
        return false;
    }
    let id = claims["jti"].as_str().unwrap_or_default();
    !id.is_empty() && app.state().assertions.insert(id.to_owned())
}
