//! Reseals stored grants to the current key in the background (R35).
//!
//! Grants are read and written back in small batches without a lock in between. A batch
//! replaces exactly the bytes that it was made from, or nothing: it never waits for and
//! never overwrites a refresh, a reconnect or another replica. Replicas start at
//! different grants and do not find what another one has resealed.

use std::time::Duration;

use latchkey_domain::{AccountId, GrantBinding, SealedRefreshToken};
use latchkey_opening::{OpeningKeys, key_id_of};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::{Credential, Resealed, Store, StoreError};
use latchkey_service::jitter::Jitter;

/// Rest of a background pass after each batch, in multiples of the batch's duration. It
/// uses at most a quarter of one core: callers have priority.
const REST: u32 = 3;
/// Pause after a pass that found nothing, at least, in multiples of its duration: large tables are
/// searched less often.
const PAUSE: u32 = 20;
/// Interval of progress log lines.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Wait after a failure of the database.
const RETRY: Duration = Duration::from_secs(10);

/// Result of a pass over the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Grants that were resealed to the current key.
    pub moved: u64,
    /// Grants that changed meanwhile or were locked; the next pass tries them again.
    pub skipped: u64,
    /// Grants with a token that no key opens.
    pub unreadable: u64,
}

impl Pass {
    /// Returns `true` if there was nothing that could be resealed.
    pub fn found_nothing(self) -> bool {
        self.moved == 0 && self.skipped == 0
    }
}

/// Runs a pass at the start and then `every` so often, because messages that were sealed
/// to an earlier key may still arrive.
pub(crate) async fn run(
    store: Store,
    keys: OpeningKeys,
    jitter: Jitter,
    every: Duration,
    stop: CancellationToken,
) {
    let key = keys.sealing_key().id().as_str();
    let log_progress = |pass: Pass| {
        tracing::info!(
            key,
            moved = pass.moved,
            skipped = pass.skipped,
            unreadable = pass.unreadable,
            "resealing grants to the current key"
        );
    };
    loop {
        let begun = Instant::now();
        let running = Box::pin(pass(&store, &keys, REST, jitter.next(), log_progress));
        let Some(outcome) = stop.run_until_cancelled(running).await else {
            return;
        };
        let pause = match outcome {
            Ok(pass) => {
                log_result(key, pass);
                // Repeats soon until a pass finds nothing.
                if pass.found_nothing() {
                    every.max(begun.elapsed() * PAUSE)
                } else {
                    every.min(RETRY)
                }
            }
            Err(error) => {
                tracing::warn!(%error, "resealing failed and is retried");
                RETRY
            }
        };
        let pause = tokio::time::sleep(pause.mul_f64(0.75 + 0.5 * jitter.next()));
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

fn log_result(key: &str, pass: Pass) {
    if pass.moved > 0 {
        tracing::info!(
            key,
            moved = pass.moved,
            skipped = pass.skipped,
            unreadable = pass.unreadable,
            "grants were resealed to the current key"
        );
    }
    if pass.unreadable > 0 {
        tracing::error!(
            accounts = pass.unreadable,
            "no key opens some stored grants: see `refresh-svc keys status`"
        );
    }
}

/// Runs one pass over the grants that are sealed to another key, beginning at the fraction
/// `start` (0 to 1) of the account ids. Rests after each batch for `rest` times its duration. Calls
/// `progress` now and then.
///
/// # Errors
/// Returned if the database does not answer.
pub async fn pass(
    store: &Store,
    keys: &OpeningKeys,
    rest: u32,
    start: f64,
    mut progress: impl FnMut(Pass) + Send,
) -> Result<Pass, StoreError> {
    let mut pass = Pass::default();
    let mut logged_at = Instant::now();
    if let Some(start) = store.account_id_at(start).await? {
        let (first, last) = (Uuid::nil().into(), Uuid::max().into());
        for (mut after, until) in [(start, last), (first, start)] {
            while let Some(end) = store.end_of_window(after, until).await? {
                reseal_between(store, keys, rest, (after, end), &mut pass).await?;
                after = end;
                if logged_at.elapsed() >= LOG_EVERY && !pass.found_nothing() {
                    logged_at = Instant::now();
                    progress(pass);
                }
            }
        }
    }
    pass.moved += reseal_replaced_grants(store, keys, rest).await?;
    Ok(pass)
}

/// Reseals the grants of the accounts after the first one up to the second.
async fn reseal_between(
    store: &Store,
    keys: &OpeningKeys,
    rest: u32,
    (mut after, until): (AccountId, AccountId),
    pass: &mut Pass,
) -> Result<(), StoreError> {
    let current = keys.sealing_key().id();
    loop {
        let begun = Instant::now();
        let grants = store.stale_page(after, until, current).await?;
        let last = grants.last().map(|grant| grant.account);
        reseal_batch(store, keys, grants, pass).await?;
        tokio::time::sleep(begun.elapsed() * rest).await;
        match last {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

async fn reseal_batch(
    store: &Store,
    keys: &OpeningKeys,
    grants: Vec<Credential>,
    pass: &mut Pass,
) -> Result<(), StoreError> {
    if grants.is_empty() {
        return Ok(());
    }
    let mut resealed = Vec::with_capacity(grants.len());
    for before in grants {
        let (grant, unreadable) = reseal_grant(before, keys);
        resealed.extend(grant);
        pass.unreadable += u64::from(unreadable);
        // Cryptography takes a while: other tasks may run.
        tokio::task::yield_now().await;
    }
    let moved = store.replace_envelopes(&resealed).await?;
    pass.moved += moved;
    pass.skipped += (resealed.len() as u64).saturating_sub(moved);
    Ok(())
}

/// Reseals the tokens of a grant that are sealed to another key. Returns `None` if none of
/// them opens, and whether one does not open: it stays as it is.
fn reseal_grant(before: Credential, keys: &OpeningKeys) -> (Option<Resealed>, bool) {
    let key = keys.sealing_key();
    let binding = &before.binding;
    let is_stale = |sealed: &&[u8]| key_id_of(sealed).ok().as_ref() != Some(key.id());
    let stale_access = before.sealed_access_token.as_deref().filter(is_stale);
    let stale_refresh = before.sealed_refresh_token.as_deref().filter(is_stale);
    let access_token = stale_access.and_then(|sealed| {
        let token = keys.open_access_token(sealed, binding).ok()?;
        key.seal_access_token(&token, binding).ok()
    });
    let refresh_token =
        stale_refresh.and_then(|sealed| reseal_refresh_token(sealed, binding, keys));
    let unreadable = stale_access.is_some() != access_token.is_some()
        || stale_refresh.is_some() != refresh_token.is_some();
    let moved = access_token.is_some() || refresh_token.is_some();
    let resealed = moved.then_some(Resealed {
        before,
        access_token,
        refresh_token,
    });
    (resealed, unreadable)
}

fn reseal_refresh_token(
    sealed: &[u8],
    binding: &GrantBinding,
    keys: &OpeningKeys,
) -> Option<SealedRefreshToken> {
    let token = keys.open_refresh_token(sealed, binding).ok()?;
    keys.sealing_key().seal_refresh_token(&token, binding).ok()
}

/// Reseals the refresh tokens of earlier sign-ins. A token that cannot be opened is
/// kept: its account works without it.
async fn reseal_replaced_grants(
    store: &Store,
    keys: &OpeningKeys,
    rest: u32,
) -> Result<u64, StoreError> {
    let current = keys.sealing_key().id();
    let (mut after, mut moved) = (0, 0);
    loop {
        let begun = Instant::now();
        let stale = store.stale_replaced(after, current).await?;
        let Some((last, _)) = stale.last() else {
            return Ok(moved);
        };
        after = last.id;
        for (replaced, binding) in &stale {
            let sealed = &replaced.sealed_refresh_token;
            if let Some(resealed) = reseal_refresh_token(sealed, binding, keys)
                && store
                    .replace_envelope_of_replaced(replaced, &resealed)
                    .await?
            {
                moved += 1;
            }
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(begun.elapsed() * rest).await;
    }
}
