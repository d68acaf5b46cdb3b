//! Who the person is.

use latchkey_domain::{AccessToken, Issuer, Subject};
use serde_json::Value;
use url::Url;

use super::Provider;
use crate::claims::Claims;
use crate::definition::Definition;
use crate::discovery::Metadata;
use crate::email::EmailClaims;
use crate::id_token::{self, Expected, Jws};
use crate::jwks::{Key, KeySet};
use crate::{
    EmailStatus, IdTokenError, ProviderError, ProviderKind, Unverified, VerifiedIdentity, fields,
};

/// What the keys say of a signature.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SignatureCheck {
    Valid,
    NoKey,
    Invalid,
}

fn check_with(definition: &Definition, keys: &KeySet, jws: &Jws<'_>) -> SignatureCheck {
    let issuer = |issuer: &str| id_token::key_is_for(definition, &jws.claims, issuer);
    let keys = keys.find(jws.key_id.as_deref(), jws.algorithm, &issuer);
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
    /// Verifies the ID token of a sign-in.
    ///
    /// # Errors
    /// It proves nothing.
    pub async fn verify_id_token(
        &self,
        id_token: &str,
        expected_nonce: &str,
        access_token: &AccessToken,
    ) -> Result<VerifiedIdentity, IdTokenError> {
        self.verify(id_token, Expected::Nonce(expected_nonce), access_token)
            .await
    }

    /// Verifies the ID token of a refresh, after what came with it was stored:
    /// the same person (OpenID Connect Core section 12.2); a nonce may be absent.
    ///
    /// # Errors
    /// It proves nothing, or another person.
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
        let accepted = id_token::algorithms(self.kind(), &metadata.algorithms);
        let jws = Jws::parse(id_token, &accepted)?;
        // Before any key: another's token is no reason to fetch keys anew.
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
        if signs_in && self.kind() == ProviderKind::Oidc && self.lacks_a_claim(&jws.claims) {
            self.ask_userinfo(&metadata, access_token, &jws.claims, &mut identity)
                .await?;
        }
        Ok(identity)
    }

    async fn check_signature(
        &self,
        metadata: &Metadata,
        jws: &Jws<'_>,
    ) -> Result<(), IdTokenError> {
        let keys = self.keys(metadata).await?;
        let mut found = check_with(&self.definition, &keys, jws);
        // The issuer may have a new key, also under an id that was another's: one more
        // fetch, rate-limited.
        if found != SignatureCheck::Valid {
            let keys = self
                .keys
                .force(self.clock.now(), || {
                    KeySet::fetch(&self.http, &metadata.jwks)
                })
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

    /// Returns `true` if the ID token does not say all that is wanted: address,
    /// whether it is verified, and the name if it was asked for.
    fn lacks_a_claim(&self, claims: &Claims) -> bool {
        let definition = &self.definition;
        let said = self.email_claims(claims);
        said.address.is_none()
            || (said.verified.is_none() && !definition.email.trusted)
            || (definition.identity.contains("profile") && claims.text("name").is_none())
    }

    /// Joins what the userinfo endpoint says (OpenID Connect Core section 5.3)
    /// to the ID token: a strict provider tells address and name there only, a
    /// stock Okta whether the address is verified. It is believed about the same
    /// person alone. If it does not answer, the ID token has to suffice.
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
        let told = match self.userinfo(metadata, endpoint, access_token).await {
            Ok(told) => told,
            Err(IdTokenError::Provider(error)) if identity.email.is_some() => {
                tracing::warn!(provider = %self.name(), %error, "only the ID token is used");
                let silent = self.email_claims(signed).verified.is_none();
                if silent && identity.email_status == EmailStatus::Unverified(Unverified::NotSaid) {
                    identity.email_status = EmailStatus::Unverified(Unverified::Unanswered(error));
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if told.text("sub") != signed.text("sub") {
            return Err(IdTokenError::OtherSubject);
        }
        let said = self.email_claims(signed);
        let said = said.joined_with(self.email_claims(&told));
        identity.email_status = self.definition.email.status(&said);
        identity.email = said.address;
        if identity.name.is_none() {
            identity.name = id_token::name(&told);
        }
        Ok(())
    }

    /// What the endpoint says: JSON, or a signed JWT where the client is registered
    /// so (OpenID Connect Core section 5.3.2).
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
                _ => Err(unavailable("no JSON object".to_owned()).into()),
            };
        }
        let text = std::str::from_utf8(&answer.body)
            .map_err(|_| IdTokenError::Malformed("userinfo"))?
            .trim();
        let announced = match metadata.userinfo_algorithms.as_slice() {
            [] => &metadata.algorithms,
            own => own,
        };
        let jws = Jws::parse(text, &id_token::algorithms(self.kind(), announced))?;
        id_token::check_userinfo(&jws.claims, &self.definition)?;
        self.check_signature(metadata, &jws).await?;
        Ok(jws.claims)
    }
}
