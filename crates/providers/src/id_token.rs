//! ID tokens (OpenID Connect Core section 3.1.3.7). Some checks are stricter than the
//! standard, where providers satisfy them anyway.

mod jws;

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use latchkey_domain::{AccessToken, Issuer, ProviderSessionId, Subject};
use serde_json::Value;
use time::OffsetDateTime;

pub(crate) use jws::{ID_TOKEN, Jws};

use crate::authentication::AuthenticationContext;
use crate::claims::{Claims, LEEWAY};
use crate::definition::Definition;
use crate::email::EmailSettings;
use crate::issuer::{IssuerRule, TENANT_PLACEHOLDER, is_tenant_id};
use crate::quirks::Quirks;
use crate::{IdTokenError, Mismatch, VerifiedIdentity, WrongTenant};

/// What the ID token must match.
#[derive(Clone, Copy)]
pub(crate) enum Expected<'a> {
    /// For a sign-in: the nonce that was sent.
    Nonce(&'a str),
    /// For a refresh: the same person as before.
    Same(&'a Issuer, &'a Subject),
}

/// Algorithms that are supported, by their names. Never `none`, never HMAC.
const SUPPORTED: [(&str, Algorithm); 10] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
    // RFC 9864.
    ("Ed25519", Algorithm::EdDSA),
];

/// Algorithms that may sign: those that the provider is known to use, else those that are
/// announced and supported. RS256 if none is announced.
pub(crate) fn algorithms(quirks: &dyn Quirks, announced: &[String]) -> Vec<Algorithm> {
    if let Some(known) = quirks.signing_algorithms() {
        return known.to_vec();
    }
    let may = |name: &str| {
        announced.iter().any(|one| one == name) || (announced.is_empty() && name == "RS256")
    };
    SUPPORTED
        .iter()
        .filter(|(name, _)| may(name))
        .map(|(_, algorithm)| *algorithm)
        .collect()
}

/// Checks issuer and audience of a signed userinfo response, which may lack both (OpenID
/// Connect Core section 5.3.2).
pub(crate) fn check_userinfo(claims: &Claims, definition: &Definition) -> Result<(), IdTokenError> {
    if claims.0.contains_key("iss") {
        check_issuer(&definition.issuer, claims)?;
    }
    if claims.0.contains_key("aud") {
        check_audience(claims, definition)?;
    }
    Ok(())
}

/// The tenant of the token, if the claim has the form of a tenant id.
fn tenant_id(claims: &Claims) -> Option<&str> {
    claims.text("tid").filter(|tid| is_tenant_id(tid))
}

/// Returns `true` if a key that names an issuer may verify a token with these claims.
pub(crate) fn key_is_for(definition: &Definition, claims: &Claims, issuer: &str) -> bool {
    let tenant = claims.text("tid").unwrap_or_default();
    let named = issuer.replace(TENANT_PLACEHOLDER, tenant);
    definition.issuer.of_tenant(tenant_id(claims)) == Some(named)
}

/// Checks and returns the issuer.
pub(crate) fn check_issuer(rule: &IssuerRule, claims: &Claims) -> Result<String, IdTokenError> {
    let tenant = tenant_id(claims);
    let issuer = rule.of_tenant(tenant).ok_or(IdTokenError::Subject)?;
    let given = claims.text("iss");
    if given != Some(issuer.as_str()) {
        return Err(match (rule, tenant) {
            // The token comes from another tenant and is otherwise correct.
            (
                IssuerRule::Exact {
                    issuer,
                    tenant: Some(own),
                },
                Some(tenant),
            ) if given == Some(&issuer.replace(own, tenant)) => wrong_tenant(own, tenant, claims),
            _ => IdTokenError::Issuer(Mismatch::new(&issuer, given)),
        });
    }
    match (rule, tenant) {
        (IssuerRule::PerTenant { allowed, .. }, Some(tenant))
            if !allowed.is_empty() && !allowed.contains(tenant) =>
        {
            let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
            Err(wrong_tenant(&allowed.join(" or "), tenant, claims))
        }
        _ => Ok(issuer),
    }
}

fn wrong_tenant(expected: &str, tenant: &str, claims: &Claims) -> IdTokenError {
    IdTokenError::Tenant(Box::new(WrongTenant {
        mismatch: Mismatch::new(expected, Some(tenant)),
        address: claims
            .handle("email")
            .or_else(|| claims.handle("preferred_username")),
    }))
}

/// Checks the claims of a token whose signature is valid.
pub(crate) fn check(
    claims: &Claims,
    algorithm: Algorithm,
    definition: &Definition,
    expected: Expected<'_>,
    access_token: &AccessToken,
    now: OffsetDateTime,
) -> Result<VerifiedIdentity, IdTokenError> {
    let issuer = check_issuer(&definition.issuer, claims)?;
    check_audience(claims, definition)?;
    check_times(claims, now)?;
    if let Expected::Nonce(nonce) = expected {
        let given = claims.text("nonce").ok_or(IdTokenError::Nonce)?;
        if nonce.is_empty() || !same(given, nonce) {
            return Err(IdTokenError::Nonce);
        }
    }
    if let Some(value) = claims.0.get("at_hash") {
        let given = value.as_str().ok_or(IdTokenError::AccessTokenHash)?;
        if !same(given, &access_token_hash(access_token, algorithm)) {
            return Err(IdTokenError::AccessTokenHash);
        }
    }
    let mut identity = identity(claims, definition, &issuer)?;
    if matches!(expected, Expected::Nonce(_)) {
        identity.authentication = definition.authentication.check(claims, now)?;
    }
    if let Expected::Same(issuer, subject) = expected
        && (identity.issuer != *issuer || identity.subject != *subject)
    {
        return Err(IdTokenError::OtherSubject);
    }
    Ok(identity)
}

fn same(one: &str, other: &str) -> bool {
    constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// `aud` must contain this client, and beside it only audiences that are configured. `azp`
/// must be this client; it may be absent if `aud` names no other (Core section 3.1.3.7).
pub(crate) fn check_audience(claims: &Claims, definition: &Definition) -> Result<(), IdTokenError> {
    let client = definition.client_id.as_str();
    let shown = |name: &str| claims.0.get(name).map(shown);
    let both = |name| Mismatch::new(client, shown(name).as_deref());
    let audiences: Vec<&Value> = match claims.0.get("aud") {
        Some(Value::Array(all)) => all.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    if !audiences.iter().any(|one| **one == client) {
        return Err(IdTokenError::Audience(both("aud")));
    }
    let mut others = audiences.iter().filter(|one| ***one != client).peekable();
    let has_others = others.peek().is_some();
    let known = |one: &str| definition.audiences.contains(one);
    if !others.all(|one| one.as_str().is_some_and(known)) {
        return Err(IdTokenError::OtherAudiences(both("aud")));
    }
    match claims.0.get("azp") {
        Some(party) if party != client => Err(IdTokenError::AuthorizedParty(both("azp"))),
        None if has_others => Err(IdTokenError::AuthorizedParty(both("azp"))),
        _ => Ok(()),
    }
}

/// A claim as text, for a log.
fn shown(claim: &Value) -> String {
    match claim {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(crate) fn check_times(claims: &Claims, now: OffsetDateTime) -> Result<(), IdTokenError> {
    let earliest = (now - LEEWAY).unix_timestamp();
    let latest = (now + LEEWAY).unix_timestamp();
    let both = |name: &str, bound: &str| {
        let got = claims.0.get(name).map(shown);
        Mismatch::new(&format!("{name} {bound}"), got.as_deref())
    };
    if claims.time("exp").is_none_or(|expires| expires <= earliest) {
        return Err(IdTokenError::Expired(both(
            "exp",
            &format!("after {earliest}"),
        )));
    }
    for (name, required) in [("iat", true), ("nbf", false)] {
        let absent = !claims.0.contains_key(name);
        let passes = match claims.time(name) {
            Some(time) => time <= latest,
            None => absent && !required,
        };
        if !passes {
            let both = both(name, &format!("at most {latest}"));
            return Err(IdTokenError::NotYetValid(both));
        }
    }
    Ok(())
}

/// Left half of the access token's hash (`at_hash`, Core section 3.1.3.6).
fn access_token_hash(token: &AccessToken, algorithm: Algorithm) -> String {
    let hash = match algorithm {
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => &digest::SHA384,
        // Ed25519 uses SHA-512.
        Algorithm::RS512 | Algorithm::PS512 | Algorithm::EdDSA => &digest::SHA512,
        _ => &digest::SHA256,
    };
    let hash = digest::digest(hash, token.expose().as_bytes());
    let half = hash.as_ref().len() / 2;
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..half).unwrap_or_default())
}

/// Name of the person without control characters, 200 characters at most.
pub(crate) fn name(claims: &Claims) -> Option<String> {
    let name = claims.text("name")?;
    Some(name.chars().filter(|c| !c.is_control()).take(200).collect())
}

/// The session at the provider (`sid`). One that is no text or too long is ignored: then a logout
/// token must name the subject.
pub(crate) fn provider_session(claims: &Claims) -> Option<ProviderSessionId> {
    claims.text("sid")?.parse().ok()
}

/// The identity of the person. The mail address is never part of the key.
fn identity(
    claims: &Claims,
    definition: &Definition,
    issuer: &str,
) -> Result<VerifiedIdentity, IdTokenError> {
    // Every ID token must have it, also if another claim is the subject.
    claims.text("sub").ok_or(IdTokenError::Subject)?;
    let quirks = definition.quirks;
    let subject = quirks.subject(claims, definition.subject_claim.as_deref())?;
    let settings = EmailSettings {
        claim: &definition.email_claim,
        rule: &definition.email,
        only_tenant: definition.issuer.only_tenant(),
    };
    let (email, email_status) = quirks.email(claims, &settings);
    Ok(VerifiedIdentity {
        issuer: issuer
            .parse()
            .map_err(|_| IdTokenError::Malformed("issuer"))?,
        subject: subject.parse().map_err(|_| IdTokenError::Subject)?,
        email,
        email_status,
        hosted_domain: quirks.hosted_domain(claims),
        tenant: quirks.tenant(claims),
        name: name(claims),
        session: provider_session(claims),
        authentication: AuthenticationContext::default(),
    })
}

#[cfg(test)]
mod tests;
