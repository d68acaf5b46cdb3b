//! `refresh-svc keys status`: reports what each key seals, whether a sample of it opens, how
//! many tokens are left to reseal, and which grants are lost with their key.

use std::io::Write;

use latchkey_config::Environment;
use latchkey_domain::AccountId;
use latchkey_opening::{OpeningKeys, key_id_of};
use latchkey_providers::FailureClass;
use latchkey_sealing::SealingKey;
use latchkey_service::StartError;
use latchkey_service::database::pool_of_command;
use uuid::Uuid;

use super::sample::{Sample, samples};
use crate::config::opening_keys;
use crate::store::{SealedTokens, Store};

/// Lost accounts per statement.
const PAGE: i64 = 500;

/// What to do with accounts whose key is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// List them.
    List,
    /// List them, mark their grants as dead and publish events, so that their owners are
    /// asked to sign in.
    Mark,
}

/// Reports on the database of `DATABASE_URL` and on `SEALING_PRIVATE_KEYS`. Reads the key ids
/// of all envelopes and opens a sample of them; `refresh-svc check` opens every token.
///
/// # Errors
/// Returned if a variable is invalid, the database does not answer, a token of the sample does
/// not open, or accounts are lost and not marked.
pub async fn status(
    environment: &Environment,
    lost: Lost,
    out: &mut impl Write,
) -> Result<(), StartError> {
    let keys = opening_keys(environment)?;
    let pool = pool_of_command(environment, "refresh-svc-keys").await?;
    let store = Store::new(&pool);
    let write = |error| StartError::io("cannot write the result", error);
    let counts = store.count_by_key().await.map_err(StartError::other)?;
    for line in by_key(&keys, &counts) {
        writeln!(out, "{line}").map_err(write)?;
    }
    for underived in keys.sealing_keys().filter_map(SealingKey::underived_id) {
        writeln!(out, "warning: {underived}").map_err(write)?;
    }
    let samples = samples(&store, &keys).await.map_err(StartError::other)?;
    for sample in &samples {
        writeln!(out, "{sample}").map_err(write)?;
    }

    let known: Vec<String> = keys.ids().map(ToString::to_string).collect();
    let (mut accounts, mut unmarked) = (0_u64, 0_u64);
    let mut after = Uuid::nil();
    loop {
        let page = store
            .lost_grants(&known, after.into(), PAGE)
            .await
            .map_err(StartError::other)?;
        let Some(last) = page.last() else { break };
        after = last.account_id;
        for grant in page {
            accounts += 1;
            let outcome = match lost {
                Lost::List => "must sign in again",
                Lost::Mark if mark(&store, &keys, grant.account_id.into()).await? => {
                    "is asked to sign in"
                }
                Lost::Mark => "changed meanwhile: look again",
            };
            unmarked += u64::from(outcome != "is asked to sign in");
            writeln!(out, "{grant}: {outcome}").map_err(write)?;
        }
    }
    let mut problems = Vec::new();
    if unmarked > 0 {
        problems.push(format!(
            "{accounts} accounts are sealed to keys that are not in SEALING_PRIVATE_KEYS: \
             add the key, or run `refresh-svc keys status --mark-lost` so that their owners are asked to sign in"
        ));
    }
    if samples.iter().any(Sample::has_unreadable) {
        problems.push(
            "tokens do not open although a key with their id is configured: put the key that \
             sealed them under this id (docs/runbook.md, `A sealing key is lost`)"
                .to_owned(),
        );
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(StartError::Other(problems.join("; ")))
}

fn by_key(keys: &OpeningKeys, counts: &[SealedTokens]) -> Vec<String> {
    let line = |key: &str, what: &str, access: i64, refresh: i64| {
        format!("key {key:<12} {what:<8} {refresh:>9} refresh tokens {access:>9} access tokens")
    };
    let (mut lines, mut left) = (Vec::new(), 0);
    for (position, id) in keys.ids().enumerate() {
        let held = counts.iter().find(|held| held.key == id.as_str());
        let (access, refresh) = held.map_or((0, 0), |held| (held.access, held.refresh));
        let what = match (position, access + refresh) {
            (0, _) => "current",
            (_, 0) => "unused",
            (_, tokens) => {
                left += tokens;
                "earlier"
            }
        };
        lines.push(line(id.as_str(), what, access, refresh));
    }
    for held in counts {
        if !keys.ids().any(|id| id.as_str() == held.key) {
            lines.push(line(&held.key, "missing", held.access, held.refresh));
        }
    }
    lines.push(format!("{left} tokens left to move to the current key"));
    lines
}

/// Marks a grant as dead like a refresh that the provider refused. Returns `false` if it
/// changed since it was listed: a replica that has the key may have resealed it.
async fn mark(store: &Store, keys: &OpeningKeys, account: AccountId) -> Result<bool, StartError> {
    let Some(credential) = store.read(account).await.map_err(StartError::other)? else {
        return Ok(false);
    };
    let refresh = credential.sealed_refresh_token.as_deref();
    let sealed = refresh.or(credential.sealed_access_token.as_deref());
    let key = sealed.and_then(|sealed| key_id_of(sealed).ok());
    if key.is_some_and(|key| keys.ids().any(|known| *known == key)) {
        return Ok(false);
    }
    let dead = store
        .mark_dead(&credential, None, FailureClass::NoRefreshToken.into())
        .await
        .map_err(StartError::other)?;
    Ok(dead.is_some())
}
