//! Valid and invalid ID tokens.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::keys::{KeyError, SigningKey};
use crate::people::{Person, STRANGER_TENANT};
use crate::state::{Requested, State};
use crate::{Flavour, Misbehaviour};

/// The content of an ID token.
pub(crate) struct Subject<'a> {
    pub flavour: Flavour,
    pub person: &'a Person,
    pub scopes: &'a std::collections::BTreeSet<String>,
    pub requested: &'a Requested,
    pub access_token: &'a str,
}

fn claims(app: &App, subject: &Subject<'_>, how: Option<Misbehaviour>) -> Map<String, Value> {
    use Misbehaviour as M;
    let person = subject.person;
    let mut claims = match subject.flavour {
        Flavour::Google => person.google_claims(),
        Flavour::Microsoft => person.microsoft_claims(),
        Flavour::Oidc => person.oidc_claims(),
    };
    if !subject.scopes.contains("email") {
        for claim in ["email", "email_verified", "xms_edov"] {
            claims.remove(claim);
        }
    }
    if !subject.scopes.contains("profile") {
        claims.remove("name");
    }
    if let Some(acr) = &subject.requested.acr {
        claims.insert("acr".to_owned(), json!(acr));
    }
    if let Some(time) = subject.requested.auth_time {
        claims.insert("auth_time".to_owned(), json!(time));
    }
    for (name, value) in &person.claims {
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.clone(), value.clone());
        }
    }
    let client = &app.config.client_id;
    let now = app.now();
    let tenant = claims
        .get("tid")
        .and_then(Value::as_str)
        .unwrap_or(&person.tenant)
        .to_owned();
    let mut set = |name: &str, value: Value| {
        claims.insert(name.to_owned(), value);
    };
    set("iss", json!(app.issuer(subject.flavour, &tenant)));
    set("aud", json!(client));
    if subject.flavour == Flavour::Google {
        set("azp", json!(client));
    }
    set("iat", json!(now));
    set("exp", json!(now + 3600));
    if let Some(nonce) = &subject.requested.nonce {
        set("nonce", json!(nonce));
    }
    let hash = digest::digest(&digest::SHA256, subject.access_token.as_bytes());
    let half = hash.as_ref().get(..16).unwrap_or_default();
    set("at_hash", json!(URL_SAFE_NO_PAD.encode(half)));
    match how {
        Some(M::WrongAudience) => set("aud", json!("another-client")),
        Some(M::ExtraAudience) => {
            set("aud", json!([client, "another-client"]));
            set("azp", json!(client));
        }
        Some(M::WrongAuthorizedParty) => set("azp", json!("another-client")),
        Some(M::WrongNonce) => set("nonce", json!("another-nonce")),
        Some(M::WrongIssuer) => set("iss", json!("https://evil.example")),
        Some(M::Expired) => {
            set("iat", json!(now - 7200));
            set("exp", json!(now - 3600));
        }
        Some(M::IssuedInFuture) => set("iat", json!(now + 3600)),
        Some(M::WrongAccessTokenHash) => set("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")),
        Some(M::OtherSubject) => {
            set("sub", json!("another-subject"));
            set("oid", json!("eeeeeeee-0000-4000-8000-000000000000"));
        }
        Some(M::OtherTenant) => {
            set("tid", json!(STRANGER_TENANT));
            set("iss", json!(app.issuer(subject.flavour, STRANGER_TENANT)));
        }
        Some(M::TenantAndIssuerDiffer) => {
            set("iss", json!(app.issuer(subject.flavour, STRANGER_TENANT)));
        }
        Some(M::UnverifiedEmail) => set("email_verified", json!(false)),
        Some(M::LargeIdToken) => set("groups", json!("g".repeat(75 * 1024))),
        _ => {}
    }
    let absent: &[&str] = match how {
        Some(M::NoAudience) => &["aud"],
        Some(M::NoNonce) => &["nonce"],
        Some(M::NoExpiry) => &["exp"],
        Some(M::NoIssuedAt) => &["iat"],
        Some(M::NoSubject) => &["sub", "oid"],
        Some(M::UnverifiedEmail) => &["xms_edov"],
        Some(M::NoAccessTokenHash) => &["at_hash"],
        Some(
            M::ClaimsAtUserinfo
            | M::OtherUserinfoSubject
            | M::SignedUserinfo
            | M::ForgedUserinfo
            | M::UserinfoOfAnotherClient,
        ) => &["email", "email_verified", "name"],
        _ => &[],
    };
    for name in absent {
        claims.remove(*name);
    }
    claims
}

/// Issues a signed ID token with the current misbehaviour of the flavour.
pub(crate) fn issue(app: &App, state: &State, subject: &Subject<'_>) -> Result<String, KeyError> {
    use Misbehaviour as M;
    let how = state.misbehaviours.get(&subject.flavour).copied();
    let published = state.keys(subject.flavour).first().ok_or(KeyError)?;
    let fresh = || match subject.flavour {
        Flavour::Oidc => SigningKey::ec(),
        // This key is not in any key set.
        Flavour::Google | Flavour::Microsoft => SigningKey::shared_rsa(2),
    };
    let mut key = published.clone();
    match how {
        Some(M::UnknownKey | M::JwkInHeader | M::JkuInHeader | M::X5uInHeader) => key = fresh()?,
        Some(M::OtherKeySameKid) => {
            key = fresh()?;
            key.id.clone_from(&published.id);
        }
        _ => {}
    }
    let mut header = json!({"alg": key.algorithm(), "typ": "JWT", "kid": key.id});
    match how {
        Some(M::AlgNone) => header = json!({"alg": "none", "typ": "JWT"}),
        Some(M::Hs256) => header = json!({"alg": "HS256", "typ": "JWT", "kid": key.id}),
        Some(M::OtherAlgorithm) => header["alg"] = json!(key.other_algorithm()),
        Some(M::NoKid) => header = json!({"alg": key.algorithm(), "typ": "JWT"}),
        Some(M::JwkInHeader) => {
            header = json!({"alg": key.algorithm(), "typ": "JWT", "jwk": key.jwk()});
        }
        Some(how @ (M::JkuInHeader | M::X5uInHeader)) => {
            let name = if how == M::JkuInHeader { "jku" } else { "x5u" };
            header[name] = json!(format!("{}/evil/keys", app.base));
        }
        Some(M::CriticalExtension) => {
            header = json!({
                "alg": key.algorithm(), "kid": key.id, "crit": ["demo"], "demo": true,
            });
        }
        _ => {}
    }
    let claims = Value::Object(claims(app, subject, how));
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(&header), encode(&claims));
    let signature = match how {
        Some(M::AlgNone) => Vec::new(),
        Some(M::OtherAlgorithm) => key.sign_with_other_algorithm(message.as_bytes())?,
        Some(M::Hs256) => {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, &published.public_bytes());
            hmac::sign(&secret, message.as_bytes()).as_ref().to_vec()
        }
        _ => {
            let mut signature = key.sign(message.as_bytes())?;
            if how == Some(M::BadSignature)
                && let Some(byte) = signature.get_mut(10)
            {
                *byte ^= 1;
            }
            signature
        }
    };
    if how == Some(M::EncryptedIdToken) {
        let header = encode(&json!({"alg": "RSA-OAEP", "enc": "A256GCM", "cty": "JWT"}));
        return Ok(format!("{header}.a2V5.aXY.Y2lwaGVydGV4dA.dGFn"));
    }
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Signs a logout token (OpenID Connect Back-Channel Logout 1.0) with these claims, which replace
/// or, with `null`, remove the usual ones.
pub(crate) fn sign_logout_token(
    app: &App,
    state: &State,
    flavour: Flavour,
    change: &Map<String, Value>,
) -> Result<String, KeyError> {
    let key = state.keys(flavour).first().ok_or(KeyError)?;
    let now = app.now();
    let mut claims = Map::new();
    let usual = json!({
        "iss": app.issuer(flavour, ""), "aud": app.config.client_id,
        "iat": now, "exp": now + 120, "jti": crate::random_token::new(""),
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    for (name, value) in usual.as_object().into_iter().flatten().chain(change) {
        claims.insert(name.clone(), value.clone());
    }
    claims.retain(|_, value| !value.is_null());
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let header = json!({"alg": key.algorithm(), "typ": "logout+jwt", "kid": key.id});
    let message = format!("{}.{}", encode(&header), encode(&Value::Object(claims)));
    let signature = key.sign(message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Signs a userinfo response (OpenID Connect Core section 5.3.2) with the current misbehaviour
/// of the flavour.
pub(crate) fn sign_userinfo(
    app: &App,
    state: &State,
    flavour: Flavour,
    mut claims: Map<String, Value>,
) -> Result<String, KeyError> {
    use Misbehaviour as M;
    let published = state.keys(flavour).first().ok_or(KeyError)?;
    let mut key = published.clone();
    if state.misbehaves(flavour, M::ForgedUserinfo) {
        key = match flavour {
            Flavour::Oidc => SigningKey::ec()?,
            Flavour::Google | Flavour::Microsoft => SigningKey::shared_rsa(2)?,
        };
        key.id.clone_from(&published.id);
    }
    let audience = if state.misbehaves(flavour, M::UserinfoOfAnotherClient) {
        "another-client"
    } else {
        &app.config.client_id
    };
    claims.insert("iss".to_owned(), json!(app.issuer(flavour, "")));
    claims.insert("aud".to_owned(), json!(audience));
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let header = json!({"alg": key.algorithm(), "typ": "JWT", "kid": key.id});
    let message = format!("{}.{}", encode(&header), encode(&Value::Object(claims)));
    let signature = key.sign(message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
