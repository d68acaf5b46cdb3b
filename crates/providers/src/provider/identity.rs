//! Who the person is.

use latchkey_domain::{AccessToken, Issuer, Subject};

use super::Provider;
use crate::definition::Definition;
use crate::id_token::{self, Expected, Jws};
use crate::jwks::KeySet;
use crate::{IdTokenError, VerifiedIdentity};

/// What the keys say of a signature.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Holds,
    NoKey,
    Broken,
}

fn verdict(definition: &Definition, keys: &KeySet, jws: &Jws<'_>) -> Verdict {
    let issuer = |issuer: &str| id_token::key_is_for(definition, &jws.claims, issuer);
    match keys.find(jws.key_id.as_deref(), jws.algorithm, &issuer) {
        None => Verdict::NoKey,
        Some(key) if key.verifies(jws.message, jws.signature, jws.algorithm) => Verdict::Holds,
        Some(_) => Verdict::Broken,
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
        let keys = self.keys(&metadata).await?;
        let mut found = verdict(&self.definition, &keys, &jws);
        // The issuer may have a new key: one more fetch, rate-limited. A token
        // without a key id says nothing of it, so a broken signature asks too.
        if found == Verdict::NoKey || (found == Verdict::Broken && jws.key_id.is_none()) {
            let keys = self
                .keys
                .force(self.clock.now(), || {
                    KeySet::fetch(&self.http, &metadata.jwks)
                })
                .await?;
            found = verdict(&self.definition, &keys, &jws);
        }
        match found {
            Verdict::Holds => {}
            Verdict::NoKey => return Err(IdTokenError::UnknownKey),
            Verdict::Broken => return Err(IdTokenError::Signature),
        }
        id_token::check(
            &jws.claims,
            jws.algorithm,
            &self.definition,
            expected,
            access_token,
            self.clock.now(),
        )
    }
}
