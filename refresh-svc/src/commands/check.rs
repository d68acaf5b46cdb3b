//! `refresh-svc check`: opens every stored token with the configured keys and counts
//! tokens by key, so that an operator knows when an old key can be removed.

use std::collections::BTreeMap;
use std::io::Write;

use latchkey_config::Environment;
use latchkey_domain::AccountId;
use latchkey_service::StartError;
use latchkey_service::database::pool_of_command;
use uuid::Uuid;

use crate::config::opening_keys;
use crate::store::Store;

/// Rows per statement.
const PAGE: i64 = 500;

/// Checks the database of `DATABASE_URL` with `SEALING_PRIVATE_KEYS`. Tokens that a later
/// sign-in replaced are counted and not opened.
///
/// # Errors
/// Returned if a variable is invalid, the database does not answer, or a token cannot be
/// opened.
pub async fn check(environment: &Environment, out: &mut impl Write) -> Result<(), StartError> {
    let keys = opening_keys(environment)?;
    let pool = pool_of_command(environment, "refresh-svc-check").await?;
    let store = Store::new(&pool);
    let mut unreadable = 0_u64;
    let mut after = AccountId::from(Uuid::nil());
    let write = |error| StartError::io("cannot write the result", error);
    loop {
        let page = store.page(after, PAGE).await.map_err(StartError::other)?;
        let Some(last) = page.last() else { break };
        after = last.account;
        for credential in &page {
            let binding = &credential.binding;
            let access = credential.sealed_access_token.as_deref();
            let refresh = credential.sealed_refresh_token.as_deref();
            let opened = [
                access.map(|sealed| keys.open_access_token(sealed, binding).map(drop)),
                refresh.map(|sealed| keys.open_refresh_token(sealed, binding).map(drop)),
            ];
            for error in opened.into_iter().flatten().filter_map(Result::err) {
                unreadable += 1;
                writeln!(out, "account {}: {error}", credential.account).map_err(write)?;
            }
        }
    }
    let mut counts: BTreeMap<String, i64> = keys.ids().map(|id| (id.to_string(), 0)).collect();
    let held = store.count_by_key().await.map_err(StartError::other)?;
    counts.extend(held.into_iter().map(|it| (it.key, it.access + it.refresh)));
    for (key, tokens) in &counts {
        writeln!(out, "key {key}: {tokens} tokens").map_err(write)?;
    }
    if unreadable == 0 {
        return Ok(());
    }
    Err(StartError::Other(format!(
        "{unreadable} tokens cannot be opened"
    )))
}
