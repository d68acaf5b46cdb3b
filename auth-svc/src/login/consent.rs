//! Whether a person has to consent once more at the provider, because a refresh
//! token is wanted and there is none.

use latchkey_domain::GrantBinding;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::login::event::Authentication;
use crate::login::flow::Flow;
use crate::login::outcome::{Outcome, SignInError};
use crate::login::used_flow;
use crate::store::grant;

/// Returns `true` if a refresh token is wanted, none came and none is stored, and
/// this flow has not asked for consent yet.
///
/// # Errors
/// The database's refusal.
pub async fn is_needed(
    connection: &mut PgConnection,
    flow: &Flow,
    authentication: &Authentication<'_>,
    binding: &GrantBinding,
) -> Result<bool, sqlx::Error> {
    if flow.consent_asked || !authentication.lacks_refresh_token(flow.purpose()) {
        return Ok(false);
    }
    Ok(!grant::is_stored(connection, binding, &authentication.granted()).await?)
}

/// Writes nothing of the transaction; only the flow counts as used.
///
/// # Errors
/// The flow was used, or the database refused.
pub async fn ask<T>(
    pool: &PgPool,
    transaction: Transaction<'_, Postgres>,
    flow: &Flow,
) -> Result<Outcome<T>, SignInError> {
    transaction.rollback().await?;
    used_flow::mark_used(&mut *pool.acquire().await?, flow).await?;
    Ok(Outcome::ConsentNeeded)
}
