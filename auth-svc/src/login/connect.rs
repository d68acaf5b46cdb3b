//! The transaction of a connection of an account to the person of a session (R16). It
//! writes the used flow and the event with the sealed grant.

use latchkey_domain::SessionId;
use latchkey_messaging::outbox::{self, Schema};
use latchkey_sealing::SealingKey;
use latchkey_service::database::BoundedConnection;
use sqlx::PgPool;

use crate::login::event::{Authentication, user_authenticated};
use crate::login::flow::Flow;
use crate::login::outcome::{Outcome, SignInError};
use crate::login::{consent, used_flow};
use crate::secret::SessionSecret;
use crate::store::clock;
use crate::store::session::{self, Session};
use crate::store::workspace::member;

/// Connects the account to the person and workspace of the session `started`, which must
/// still be the session of this browser.
///
/// # Errors
/// Returns an error if the browser has another session, the flow was used, or the database
/// fails.
#[tracing::instrument(name = "store.connect", skip_all)]
pub async fn connect(
    pool: &PgPool,
    sealing_key: &SealingKey,
    flow: &Flow,
    started: SessionId,
    secret: Option<&SessionSecret>,
    authentication: &Authentication<'_>,
) -> Result<Outcome<Session>, SignInError> {
    let handle = authentication
        .identity
        .email
        .as_ref()
        .ok_or(SignInError::NoAddress)?;
    let secret = secret.ok_or(SignInError::SessionChanged)?;

    let mut connection = BoundedConnection::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    used_flow::mark_used(&mut transaction, flow).await?;
    let session = session::find(&mut *transaction, secret)
        .await?
        .filter(|session| session.id == started)
        .ok_or(SignInError::SessionChanged)?;
    // A person who is being removed from the workspace must not connect an account.
    if !member::is_member(&mut transaction, session.workspace, Some(session.user)).await? {
        return Err(SignInError::SessionChanged);
    }
    let binding = authentication.binding(session.workspace, session.user);
    if consent::is_needed(&mut transaction, flow, authentication, &binding).await? {
        transaction.rollback().await?;
        return consent::ask(&mut connection, flow).await;
    }
    // An agreement counts only for the workspace that the page named.
    flow.agreement_for(session.workspace)
        .ok_or(SignInError::SessionChanged)?;
    member::connect_at_sign_in(&mut *transaction, &binding).await?;
    let authenticated_at = clock::now(&mut transaction).await?;
    // No identity is written: a person who connects a mailbox must not be able to sign in
    // as its owner.
    let message = user_authenticated(
        flow,
        authentication,
        &binding,
        handle,
        authenticated_at,
        Some(sealing_key),
    )?;
    outbox::enqueue(&mut transaction, Schema::Auth, message).await?;
    transaction.commit().await?;
    connection.return_untested();
    Ok(Outcome::Done(session))
}
