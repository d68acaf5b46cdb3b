//! A refresh that brought no token: the pause or the end that comes of it.

use latchkey_domain::{RefreshToken, SealedRefreshToken};
use latchkey_providers::{Delivery, FailureClass, Provider, Rotation, TokenError};
use tokio::time::Instant;

use super::flights::Outcome;
use super::pause::pause_in_outage;
use super::spend::{kept_until, until_stored};
use super::verdict::{self, Refusal, Verdict};
use super::{Engine, EngineError, Errand, pause, trouble};
use crate::lane::Lane;
use crate::store::{Credential, Death, FailureRecord, Lease};

/// What is known of a failure beside what the provider said.
#[derive(Debug, Clone, Copy)]
struct Failed {
    /// The grant was refused, and may serve again.
    refused: bool,
    /// The provider serves nobody.
    outage: bool,
}

/// Collects what is known of a refused grant. The lane learns of a final refusal, because
/// it knows whether other grants are refused as well.
fn refusal(lease: &Lease, provider: &Provider, lane: &Lane, error: &TokenError) -> Refusal {
    let credential = &lease.credential;
    let client = credential.client_id.as_deref();
    let mut refusal = Refusal {
        class: error.class,
        rotation: provider.rotation(),
        attempts: credential.attempts,
        refusals: credential.refusals,
        refused_for: credential.refused_for,
        client_changed: client.is_some_and(|client| client != provider.client_id()),
        burst: false,
    };
    let dies = matches!(
        verdict::judge(refusal),
        Verdict::Dead(
            FailureClass::InvalidRefreshToken | FailureClass::RotationLost | FailureClass::Refused
        )
    );
    refusal.burst = dies && lane.refused(credential.account);
    refusal
}

impl Engine {
    /// The provider gave no token.
    pub(super) async fn not_refreshed(
        &self,
        lease: &Lease,
        provider: &Provider,
        lane: &Lane,
        errand: &Errand,
        error: TokenError,
    ) -> Outcome {
        let credential = &lease.credential;
        tracing::warn!(
            account.id = %credential.account,
            provider = %credential.binding.provider,
            reason = error.class.reason(),
            code = error.code.as_deref(),
            description = error.description.as_deref(),
            "the provider gave no token"
        );
        if let Some(challenge) = &errand.claims
            && error.class == FailureClass::InteractionRequired
        {
            return self.challenged(lease, &error, challenge).await;
        }
        match verdict::judge(refusal(lease, provider, lane, &error)) {
            Verdict::Dead(class) => {
                let death = Death {
                    class,
                    claims: error.claims.as_deref(),
                };
                self.bury(credential, Some(lease), death).await
            }
            Verdict::Lives(class) => {
                let refused = class.heals() || error.class == FailureClass::Unknown;
                let error = TokenError { class, ..error };
                let of = Failed {
                    refused,
                    outage: !lane.serves(),
                };
                self.failed(lease, provider.rotation(), error, of).await
            }
        }
    }

    /// What one API asks for can be had from the person alone. The grant serves all others
    /// as before.
    async fn challenged(&self, lease: &Lease, error: &TokenError, challenge: &str) -> Outcome {
        let account = lease.credential.account;
        let give_up = lease
            .ends
            .min(Instant::now() + self.parts.timing.time_to_store());
        let release = || self.parts.store.release_unspent(lease);
        until_stored(account, give_up, release).await?;
        let claims = error.claims.as_deref().unwrap_or(challenge);
        Err(EngineError::no_token(error.class, None).with_claims(Some(claims.into())))
    }

    /// A failure that leaves the grant alive.
    async fn failed(
        &self,
        lease: &Lease,
        rotation: Rotation,
        error: TokenError,
        of: Failed,
    ) -> Outcome {
        if trouble::is_own(&error) {
            return self.not_able(lease, &error).await;
        }
        // The refresh token may have been spent with an answer that has none in
        // its place. A strict provider takes a second use for theft, so there is
        // one replay, in case it answered without spending anything.
        let unreadable = rotation == Rotation::Strict
            && error.delivery == Delivery::Unreadable
            && error.rotated.is_none();
        if unreadable && lease.credential.answered_unreadably {
            return self
                .bury(
                    &lease.credential,
                    Some(lease),
                    FailureClass::RotationLost.into(),
                )
                .await;
        }
        self.record_failure(lease, error, unreadable, of).await
    }

    /// Stores a failure that leaves the grant alive, with its pause.
    async fn record_failure(
        &self,
        lease: &Lease,
        error: TokenError,
        unreadable: bool,
        of: Failed,
    ) -> Outcome {
        let credential = &lease.credential;
        let failures = credential
            .failure
            .map_or(1, |failure| failure.count.saturating_add(1));
        let jitter = self.parts.jitter.next();
        let pause = if of.outage {
            pause_in_outage(error.class, failures, error.retry_after, jitter)
        } else {
            pause(error.class, failures, error.retry_after, jitter)
        };
        let record = FailureRecord {
            class: error.class,
            pause,
            outcome_unknown: unreadable || error.delivery == Delivery::Unanswered,
            unreadable,
            refused: of.refused,
            sealed_refresh_token: self.seal_rotated(credential, error.rotated.as_ref()),
        };
        let store = || self.parts.store.record_failure(lease, &record);
        // A rotated token that came with the failure is a token to keep.
        let give_up = match record.sealed_refresh_token {
            Some(_) => kept_until(lease),
            None => lease
                .ends
                .min(Instant::now() + self.parts.timing.time_to_store()),
        };
        match until_stored(credential.account, give_up, store).await {
            Ok(Some(credential)) => Ok(self.admit(&credential)),
            Ok(None) => {
                self.parts.store.release(lease).await?;
                self.read(credential.account).await
            }
            Err(store_error) => {
                tracing::warn!(account.id = %credential.account, error = %store_error, "a failure was not stored");
                let retry_after = (!error.class.is_operators()).then_some(pause);
                Err(EngineError::no_token(error.class, retry_after))
            }
        }
    }

    /// Gives the lease back where this replica could not spend it: another one
    /// may. The trouble is remembered in this replica alone.
    pub(super) async fn not_able(&self, lease: &Lease, error: &TokenError) -> Outcome {
        let credential = &lease.credential;
        let troubles = &self.troubles;
        let pause = pause(
            error.class,
            troubles.count(credential),
            error.retry_after,
            self.parts.jitter.next(),
        );
        troubles.remember(credential, error.class, pause);
        let release = || self.parts.store.release_unspent(lease);
        let give_up = lease
            .ends
            .min(Instant::now() + self.parts.timing.time_to_store());
        if let Err(store_error) = until_stored(credential.account, give_up, release).await {
            tracing::warn!(account.id = %credential.account, error = %store_error, "a lease was not given back: it ends by itself");
            let retry_after = (!error.class.is_operators()).then_some(pause);
            return Err(EngineError::no_token(error.class, retry_after));
        }
        self.read(credential.account).await
    }

    fn seal_rotated(
        &self,
        credential: &Credential,
        rotated: Option<&RefreshToken>,
    ) -> Option<Vec<u8>> {
        let sealed = self
            .parts
            .keys
            .sealing_key()
            .seal_refresh_token(rotated?, &credential.binding);
        sealed
            .inspect_err(|error| {
                tracing::error!(account.id = %credential.account, %error, "a rotated refresh token cannot be sealed and is lost");
            })
            .ok()
            .map(SealedRefreshToken::into_bytes)
    }

    /// Marks a grant as dead, unless it is not the grant that died.
    pub(super) async fn bury(
        &self,
        credential: &Credential,
        lease: Option<&Lease>,
        death: Death<'_>,
    ) -> Outcome {
        let store = &self.parts.store;
        let epoch = lease.map(|lease| lease.epoch);
        let mark = || store.mark_dead(credential, epoch, death);
        let marked = match lease {
            Some(lease) => until_stored(credential.account, lease.ends, mark).await,
            None => mark().await,
        };
        if let Some(dead) = marked? {
            tracing::warn!(
                account.id = %credential.account,
                provider = %credential.binding.provider,
                reason = death.class.reason(),
                "the grant is dead: the person must sign in again"
            );
            return Ok(self.admit(&dead));
        }
        // Another replica's refresh or a reconnect won: its token counts.
        if let Some(lease) = lease {
            store.release(lease).await?;
        }
        self.read(credential.account).await
    }
}

/// A provider may echo what it was sent; a log must not.
pub(super) fn without_token(mut error: TokenError, token: &RefreshToken) -> TokenError {
    for text in [&mut error.code, &mut error.description] {
        // The texts are cut off at a length: the start of the token tells.
        let start: String = token.expose().chars().take(8).collect();
        if text.as_ref().is_some_and(|text| text.contains(&start)) {
            *text = Some("[redacted: had the token in it]".to_owned());
        }
    }
    error
}
