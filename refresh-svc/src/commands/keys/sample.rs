//! Whether the configured keys are the ones that sealed the stored tokens: an id alone does not
//! prove it, so some tokens of each key are opened.

use std::fmt;

use latchkey_opening::OpeningKeys;
use latchkey_sealing::{KeyId, SealingKey, TokenKind};

use crate::store::{SampleToken, Store, StoreError};

/// Tokens of each kind that are opened for each key. If another key under the same id sealed a
/// tenth of them, 96 of 100 runs see it.
const MOST: i64 = 32;

/// How many tokens of a sample were opened with the configured key of their id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    id: KeyId,
    /// The id that is derived from the configured key.
    derived: KeyId,
    tokens: usize,
    unreadable: usize,
}

impl Sample {
    /// Returns `true` if a token did not open.
    pub(super) fn has_unreadable(&self) -> bool {
        self.unreadable > 0
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            derived,
            tokens,
            unreadable,
        } = self;
        match *unreadable {
            0 => write!(f, "key {id}: all {tokens} tokens of a sample open"),
            all if all == *tokens => write!(
                f,
                "key {id}: none of {tokens} tokens of a sample opens: SEALING_PRIVATE_KEYS has \
                 another key under this id, the one whose derived id is {derived}"
            ),
            some => write!(
                f,
                "key {id}: {some} of {tokens} tokens of a sample do not open: they were sealed to \
                 another key under this id than the one whose derived id is {derived}, or were \
                 changed; `refresh-svc check` names the accounts"
            ),
        }
    }
}

/// Opens a sample of the tokens of each key. A key that seals nothing has none.
///
/// # Errors
/// Returned if the database does not answer.
pub(super) async fn samples(store: &Store, keys: &OpeningKeys) -> Result<Vec<Sample>, StoreError> {
    let mut samples = Vec::new();
    for key in keys.sealing_keys() {
        let tokens = store.sample_of_key(key.id(), MOST).await?;
        if !tokens.is_empty() {
            samples.push(opened(key, keys, &tokens));
        }
    }
    Ok(samples)
}

fn opened(key: &SealingKey, keys: &OpeningKeys, tokens: &[SampleToken]) -> Sample {
    let opens = |token: &&SampleToken| match token.kind {
        TokenKind::Access => keys
            .open_access_token(&token.sealed, &token.binding)
            .is_ok(),
        TokenKind::Refresh => keys
            .open_refresh_token(&token.sealed, &token.binding)
            .is_ok(),
    };
    Sample {
        id: key.id().clone(),
        derived: key.derived_id(),
        tokens: tokens.len(),
        unreadable: tokens.len() - tokens.iter().filter(opens).count(),
    }
}
