//! The identity of the person: ID token and userinfo.

use latchkey_domain::{AccessToken, Issuer, Subject};
use latchkey_jwks::{Key, KeySet};
use serde_json::Value;
use url::Url;

use super::Provider;
use crate::claims::Claims;
use crate::definition::Definition;
use crate::discovery::Metadata;
use crate::email::EmailClaims;
use crate::id_token::{self, Expected, ID_TOKEN, Jws};
use crate::{EmailStatus, IdTokenError, ProviderError, Unverified, VerifiedIdentity, fields};

/// The result of a signature check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SignatureCheck {
    Valid,
    NoKey,
    Invalid,
}

fn check_with(definition: &Definition, keys: &KeySet, jws: &Jws<'_>) -> SignatureCheck {
    let issuer = |issuer: &str| id_token::key_is_for(definition, &jws.claims, issuer);
    let keys = keys.candidates(jws.key_id.as_deref(), jws.algorithm, &issuer);
    let verifies = |key: &&Key| key.verifies(jws.message, jws.signature, jws.algorithm);
    if keys.is_empty() {
        SignatureCheck::NoKey
    } else if keys.iter().any(verifies) {
        SignatureCheck::Valid
    } else {
        SignatureCheck::Invalid
    }
}

impl Provider {
    /// Verifies the ID token of a sign-in (OpenID Connect Core section 3.1.3.7).
    ///
    /// # Errors
    /// The ID token is not valid.
    pub async fn verify_id_token(
        &self,
        id_token: &str,
        expected_nonce: &str,
        access_token: &AccessToken,
    ) -> Result<VerifiedIdentity, IdTokenError> {
        self.verify(id_token, Expected::Nonce(expected_nonce), access_token)
            .await
    }

    /// Verifies the ID token of a refresh: it must be about the same person (OpenID
    /// Connect Core section 12.2), and may lack the nonce. The tokens of the response must
    /// be stored before.
    ///
    /// # Errors
    /// The ID token is not valid, or about another person.
    pub async fn verify_refreshed_id_token(
        &self,
        id_token: &str,
        access_token: &AccessToken,
        issuer: &Issuer,
        subject: &Subject,
    ) -> Result<VerifiedIdentity, IdTokenError> {
        self.verify(id_token, Expected::Same(issuer, subject), access_token)
            .await
    }

    async fn verify(
        &self,
        id_token: &str,
        expected: Expected<'_>,
        access_token: &AccessToken,
    ) -> Result<VerifiedIdentity, IdTokenError> {
        let metadata = self.metadata().await?;
        let accepted = id_token::algorithms(self.definition.quirks, &metadata.algorithms);
        let jws = Jws::parse(id_token, &accepted, ID_TOKEN)?;
        // Checked before the signature, so that a foreign token causes no fetch of keys.
        id_token::check_issuer(&self.definition.issuer, &jws.claims)?;
        self.check_signature(&metadata, &jws).await?;
        let mut identity = id_token::check(
            &jws.claims,
            jws.algorithm,
            &self.definition,
            expected,
            access_token,
            self.clock.now(),
        )?;
        let signs_in = matches!(expected, Expected::Nonce(_));
        let uses_userinfo = signs_in && self.definition.quirks.uses_userinfo();
        if uses_userinfo && self.lacks_a_claim(&jws.claims) {
            self.ask_userinfo(&metadata, access_token, &jws.claims, &mut identity)
                .await?;
        }
        Ok(identity)
    }

    pub(super) async fn check_signature(
        &self,
        metadata: &Metadata,
        jws: &Jws<'_>,
    ) -> Result<(), IdTokenError> {
        let keys = self.keys(metadata).await?;
        let mut found = check_with(&self.definition, &keys, jws);
        // The issuer may have a new key, perhaps with the id of an old one. This fetch is
        // rate-limited.
        if found != SignatureCheck::Valid {
            let keys = self
                .keys
                .force(self.clock.now(), || self.fetch_keys(metadata))
                .await?;
            found = check_with(&self.definition, &keys, jws);
        }
        match found {
            SignatureCheck::Valid => Ok(()),
            SignatureCheck::NoKey => Err(IdTokenError::UnknownKey),
            SignatureCheck::Invalid => Err(IdTokenError::Signature),
        }
    }

    fn email_claims(&self, claims: &Claims) -> EmailClaims {
        EmailClaims::of(claims, &self.definition.email_claim)
    }

    /// Returns `true` if the ID token lacks the address, whether it is verified, or the
    /// name although the scope `profile` was requested.
    fn lacks_a_claim(&self, claims: &Claims) -> bool {
        let definition = &self.definition;
        let email = self.email_claims(claims);
        email.address.is_none()
            || (email.verified.is_none() && !definition.email.trusted)
            || (definition.identity.contains("profile") && claims.text("name").is_none())
    }

    /// Adds the claims of the userinfo endpoint (OpenID Connect Core section 5.3) to those
    /// of the ID token: some providers send address and name only there, and Okta by
    /// default sends only there whether the address is verified. The claims must be about
    /// the same person. If the endpoint does not respond, the ID token alone is used.
    async fn ask_userinfo(
        &self,
        metadata: &Metadata,
        access_token: &AccessToken,
        signed: &Claims,
        identity: &mut VerifiedIdentity,
    ) -> Result<(), IdTokenError> {
        let Some(endpoint) = &metadata.userinfo else {
            return Ok(());
        };
        let userinfo = match self.userinfo(metadata, endpoint, access_token).await {
            Ok(claims) => claims,
            Err(IdTokenError::Provider(error)) if identity.email.is_some() => {
                tracing::warn!(provider = %self.name(), %error, "the userinfo endpoint failed, so only the ID token is used");
                let not_said = self.email_claims(signed).verified.is_none();
                if not_said && identity.email_status == EmailStatus::Unverified(Unverified::NotSaid)
                {
                    identity.email_status = EmailStatus::Unverified(Unverified::Unanswered(error));
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if userinfo.text("sub") != signed.text("sub") {
            return Err(IdTokenError::OtherSubject);
        }
        let email = self.email_claims(signed);
        let email = email.joined_with(self.email_claims(&userinfo));
        identity.email_status = self.definition.email.status(&email);
        identity.email = email.address;
        if identity.name.is_none() {
            identity.name = id_token::name(&userinfo);
        }
        Ok(())
    }

    /// Fetches the claims: JSON, or a signed JWT if the client is registered for it
    /// (OpenID Connect Core section 5.3.2).
    async fn userinfo(
        &self,
        metadata: &Metadata,
        endpoint: &Url,
        access_token: &AccessToken,
    ) -> Result<Claims, IdTokenError> {
        let unavailable = ProviderError::UserinfoUnavailable;
        let answer = self
            .http
            .document_with(endpoint, access_token)
            .await
            .map_err(|failure| failure.into_provider_error(unavailable))?;
        if !answer.status.is_success() {
            let status = answer.status.as_u16();
            return Err(unavailable(format!("status {status}")).into());
        }
        if !answer.is_of_type("application/jwt") {
            return match fields::json(&answer.body) {
                Some(Value::Object(claims)) => Ok(Claims(claims)),
                _ => Err(unavailable("the response is not a JSON object".to_owned()).into()),
            };
        }
        let text = std::str::from_utf8(&answer.body)
            .map_err(|_| IdTokenError::Malformed("userinfo"))?
            .trim();
        let announced = match metadata.userinfo_algorithms.as_slice() {
            [] => &metadata.algorithms,
            own => own,
        };
        let jws = Jws::parse(
            text,
            &id_token::algorithms(self.definition.quirks, announced),
            ID_TOKEN,
        )?;
        id_token::check_userinfo(&jws.claims, &self.definition)?;
        self.check_signature(metadata, &jws).await?;
        Ok(jws.claims)
    }
}
