//! Reseals stored grants to the current key in the background (R35).
//!
//! Grants are read and written back in small batches without a lock in between. A batch
//! replaces exactly the bytes that it was made from, or nothing: it never waits for and
//! never overwrites a refresh, a reconnect or another replica. Replicas start at
//! different positions and skip what another one has done.

use std::time::Duration;

use latchkey_opening::{OpeningKeys, key_id_of};
use latchkey_sealing::KeyId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::{Credential, Resealed, Store, StoreError};
use latchkey_service::jitter::Jitter;

/// Rows searched in one statement; only the envelope prefixes are read.
const RANGE: i64 = 1000;
/// Grants opened and sealed between two statements: about ten milliseconds of work.
const BATCH: usize = 25;
/// Tokens of earlier sign-ins per statement.
const REPLACED_BATCH: i64 = 25;
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

/// How much processor time a pass may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Unlimited: for a command.
    Full,
    /// A quarter of one core: callers have priority.
    Background,
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
    let mut progress = log_progress;
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = pass(&store, &keys, Pace::Background, jitter.next(), &mut progress) => outcome,
        };
        let pause = match outcome {
            Ok(Pass {
                moved: 0,
                skipped: 0,
                ..
            }) => every,
            // Repeats soon until a pass finds nothing.
            Ok(_) => every.min(RETRY),
            Err(error) => {
                tracing::warn!(%error, "resealing failed and is retried");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause.mul_f64(0.75 + 0.5 * jitter.next())) => {}
        }
    }
}

fn log_progress(key: &KeyId, pass: Pass, left: Option<u64>) {
    if let Some(rows_left) = left {
        tracing::info!(
            key = key.as_str(),
            moved = pass.moved,
            skipped = pass.skipped,
            unreadable = pass.unreadable,
            rows_left,
            "resealing grants to the current key"
        );
    } else if pass.moved > 0 {
        tracing::info!(
            key = key.as_str(),
            moved = pass.moved,
            skipped = pass.skipped,
            unreadable = pass.unreadable,
            "grants were resealed to the current key"
        );
    }
    if left.is_none() && pass.unreadable > 0 {
        tracing::error!(
            accounts = pass.unreadable,
            "no key opens some stored grants: see `refresh-svc keys status`"
        );
    }
}

/// Runs one pass over the whole table, beginning at the fraction `start` (0 to 1) of it.
/// Calls `progress` now and then with the approximate number of remaining rows, and with
/// `None` at the end.
///
/// # Errors
/// Returned if the database does not answer.
pub async fn pass(
    store: &Store,
    keys: &OpeningKeys,
    pace: Pace,
    start: f64,
    progress: &mut (impl FnMut(&KeyId, Pass, Option<u64>) + Send),
) -> Result<Pass, StoreError> {
    let current = keys.sealing_key().id();
    let mut ranges = store.ranges(RANGE).await?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "any starting position is valid"
    )]
    let begin = (ranges.len() as f64 * start.clamp(0.0, 1.0)) as usize;
    let length = ranges.len();
    ranges.rotate_left(begin.min(length));
    let mut logged_at = Instant::now();
    let mut pass = Pass::default();
    for (number, first) in ranges.into_iter().enumerate() {
        let stale = store.stale(first, RANGE, current).await?;
        for batch in stale.chunks(BATCH) {
            let begun = Instant::now();
            let credentials = store.read_all(batch).await?;
            let mut grants = Vec::with_capacity(credentials.len());
            for credential in credentials {
                match reseal_grant(credential, keys) {
                    Resealing::Sealed(grant) => grants.push(grant),
                    Resealing::PartlyUnreadable(grant) => {
                        pass.unreadable += 1;
                        grants.push(grant);
                    }
                    Resealing::Unreadable => pass.unreadable += 1,
                    Resealing::Current => {}
                }
                // Cryptography takes a while: other tasks may run.
                tokio::task::yield_now().await;
            }
            let moved = store.replace_envelopes(&grants).await?;
            pass.moved += moved;
            pass.skipped += (grants.len() as u64).saturating_sub(moved);
            if pace == Pace::Background {
                tokio::time::sleep(begun.elapsed() * 3).await;
            }
            if logged_at.elapsed() >= LOG_EVERY {
                logged_at = Instant::now();
                let left = (length - number) as u64 * RANGE.unsigned_abs();
                progress(current, pass, Some(left));
            }
        }
    }
    pass.moved += reseal_replaced_grants(store, keys, pace).await?;
    progress(current, pass, None);
    Ok(pass)
}

/// Reseals the refresh tokens of earlier sign-ins. A token that cannot be opened is
/// kept: its account works without it.
async fn reseal_replaced_grants(
    store: &Store,
    keys: &OpeningKeys,
    pace: Pace,
) -> Result<u64, StoreError> {
    let key = keys.sealing_key();
    let (mut after, mut moved) = (0, 0);
    loop {
        let begun = Instant::now();
        let stale = store
            .stale_replaced(after, REPLACED_BATCH, key.id())
            .await?;
        let Some((last, _)) = stale.last() else {
            return Ok(moved);
        };
        after = last.id;
        for (replaced, binding) in &stale {
            let token = keys.open_refresh_token(&replaced.sealed_refresh_token, binding);
            let sealed = token
                .ok()
                .and_then(|token| key.seal_refresh_token(&token, binding).ok());
            if let Some(sealed) = sealed
                && store
                    .replace_envelope_of_replaced(replaced, sealed.as_bytes())
                    .await?
            {
                moved += 1;
            }
            tokio::task::yield_now().await;
        }
        if pace == Pace::Background {
            tokio::time::sleep(begun.elapsed() * 3).await;
        }
    }
}

enum Resealing {
    /// All stored tokens of the grant are sealed to the current key.
    Sealed(Resealed),
    /// One token was resealed; the other one cannot be opened and stays as it is.
    PartlyUnreadable(Resealed),
    /// The tokens of earlier keys cannot be opened.
    Unreadable,
    /// Everything was sealed to the current key already.
    Current,
}

fn reseal_grant(before: Credential, keys: &OpeningKeys) -> Resealing {
    let key = keys.sealing_key();
    let binding = &before.binding;
    let is_stale = |sealed: &[u8]| key_id_of(sealed).ok().as_ref() != Some(key.id());
    let (mut moved, mut unreadable) = (false, false);
    let mut renew = |held: &Option<Vec<u8>>, again: &dyn Fn(&[u8]) -> Option<Vec<u8>>| {
        let sealed = held.as_deref()?;
        if !is_stale(sealed) {
            return held.clone();
        }
        let renewed = again(sealed);
        moved |= renewed.is_some();
        unreadable |= renewed.is_none();
        renewed.or_else(|| held.clone())
    };
    let sealed_access_token = renew(&before.sealed_access_token, &|sealed| {
        let token = keys.open_access_token(sealed, binding).ok()?;
        Some(key.seal_access_token(&token, binding).ok()?.into_bytes())
    });
    let sealed_refresh_token = renew(&before.sealed_refresh_token, &|sealed| {
        let token = keys.open_refresh_token(sealed, binding).ok()?;
        Some(key.seal_refresh_token(&token, binding).ok()?.into_bytes())
    });
    let grant = Resealed {
        before,
        sealed_access_token,
        sealed_refresh_token,
    };
    match (moved, unreadable) {
        (true, false) => Resealing::Sealed(grant),
        (true, true) => Resealing::PartlyUnreadable(grant),
        (false, true) => Resealing::Unreadable,
        (false, false) => Resealing::Current,
    }
}
