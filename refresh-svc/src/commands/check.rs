//! `refresh-svc check`: opens every stored token with the configured keys and counts
//! tokens by key, so that an operator knows when an old key can be removed.

use std::collections::BTreeMap;
use std::io::Write;

use latchkey_config::Environment;
use latchkey_opening::{OpenError, key_id_of};
use latchkey_service::StartError;

use crate::config::opening_keys;
use crate::store::Store;

/// Rows per statement.
const PAGE: i64 = 500;

/// Checks the database of `DATABASE_URL` with `SEALING_PRIVATE_KEYS`.
///
/// # Errors
/// Returned if a variable is invalid, the database does not answer, or a token cannot be
/// opened.
pub async fn check(environment: &Environment, out: &mut impl Write) -> Result<(), StartError> {
    let keys = opening_keys(environment)?;
    let pool = latchkey_service::database::pool_of_command(environment, "refresh-svc-check")?;
    let store = Store::new(&pool);
    let mut counts: BTreeMap<String, u64> = keys.ids().map(|id| (id.to_string(), 0)).collect();
    let mut unreadable = 0_u64;
    let mut after = None;
    let write = |error| StartError::io("cannot write the result", error);
    loop {
        let page = store.page(after, PAGE).await.map_err(StartError::other)?;
        let Some(last) = page.last() else { break };
        after = Some(last.account);
        for credential in &page {
            let binding = &credential.binding;
            let access = credential.sealed_access_token.as_deref();
            let refresh = credential.sealed_refresh_token.as_deref();
            let opened = [
                access.map(|sealed| (sealed, keys.open_access_token(sealed, binding).map(drop))),
                refresh.map(|sealed| (sealed, keys.open_refresh_token(sealed, binding).map(drop))),
            ];
            for (sealed, outcome) in opened.into_iter().flatten() {
                count(&mut counts, sealed);
                if let Err(error) = outcome {
                    unreadable += 1;
                    writeln!(out, "account {}: {error}", credential.account).map_err(write)?;
                }
            }
        }
    }
    for (key, tokens) in &counts {
        writeln!(out, "key {key}: {tokens} tokens").map_err(write)?;
    }
    if unreadable == 0 {
        Ok(())
    } else {
        Err(StartError::Other(format!(
            "{unreadable} tokens cannot be opened"
        )))
    }
}

fn count(counts: &mut BTreeMap<String, u64>, sealed: &[u8]) {
    let key = key_id_of(sealed).map_or_else(
        |error: OpenError| format!("(none: {error})"),
        |id| id.to_string(),
    );
    *counts.entry(key).or_default() += 1;
}
