//! Whether a person has to consent again at the provider, because a refresh token is
//! missing.

use latchkey_domain::GrantBinding;
use sqlx::PgConnection;

use crate::login::event::Authentication;
use crate::login::flow::Flow;
use crate::login::outcome::{Outcome, SignInError};
use crate::login::used_flow;
use crate::store::grant;

/// Returns `true` if the flow needs a refresh token, the provider did not return one, none
/// is stored, and the flow has not asked for consent yet.
///
/// # Errors
/// Returns the database's error.
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

/// Only marks the flow as used; the transaction of the sign-in was rolled back.
///
/// # Errors
/// Returns an error if the flow was used, or the database fails.
pub async fn ask<T>(connection: &mut PgConnection, flow: &Flow) -> Result<Outcome<T>, SignInError> {
    request_again(connection, flow, Outcome::ConsentNeeded).await
}

/// Returns `true` if the request left out offline access and the person who came has no
/// sufficient grant that a sign-in would keep: another person than the one who was expected, or
/// another workspace.
///
/// # Errors
/// Returns the database's error.
pub async fn lacks_grant(
    connection: &mut PgConnection,
    authentication: &Authentication<'_>,
    binding: &GrantBinding,
) -> Result<bool, sqlx::Error> {
    let provider = authentication.provider;
    if grant::is_sufficient(&mut *connection, binding, provider).await? {
        return Ok(false);
    }
    Ok(!grant::is_closed_to_sign_in(connection, binding).await?)
}

/// Only marks the flow as used; the transaction of the sign-in was rolled back.
///
/// # Errors
/// Returns an error if the flow was used, or the database fails.
pub async fn request_again<T>(
    connection: &mut PgConnection,
    flow: &Flow,
    outcome: Outcome<T>,
) -> Result<Outcome<T>, SignInError> {
    used_flow::mark_used(connection, flow).await?;
    Ok(outcome)
}
