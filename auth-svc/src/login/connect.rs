//! Connecting an account to the person of a running session (R16): ONE
//! transaction { flow spent, session still the one that started, outbox row }.

use latchkey_domain::{GrantBinding, SessionId};
use latchkey_messaging::outbox::{self, Schema};
use latchkey_providers::Purpose;
use latchkey_sealing::SealingKey;
use sqlx::PgPool;

use crate::login::event::{Authentication, user_authenticated};
use crate::login::flow::Flow;
use crate::login::outcome::{Outcome, StoreError};
use crate::login::used_flow;
use crate::store::session::{self, Session};
use crate::store::workspace::member;
use crate::store::{grant, identity};

/// Connects the account to the person and workspace of the session `started`,
/// which has to be this browser's still.
///
/// # Errors
/// Another session is here now, the flow was used, or the database refused.
#[tracing::instrument(name = "store.connect", skip_all)]
pub async fn connect(
    pool: &PgPool,
    sealing_key: &SealingKey,
    flow: &Flow,
    started: SessionId,
    secret: Option<&str>,
    authentication: &Authentication<'_>,
) -> Result<Outcome<Session>, StoreError> {
    let identity = authentication.identity;
    let handle = identity.email.as_ref().ok_or(StoreError::NoAddress)?;
    let secret = secret.ok_or(StoreError::SessionChanged)?;

    let mut transaction = pool.begin().await?;
    used_flow::spend(&mut transaction, flow).await?;
    let session = session::find(&mut *transaction, secret)
        .await?
        .filter(|session| session.id == started)
        .ok_or(StoreError::SessionChanged)?;
    // Who is being taken out of the workspace connects nothing there any more.
    if !member::is_member(&mut transaction, session.workspace, Some(session.user)).await? {
        return Err(StoreError::SessionChanged);
    }
    let binding = GrantBinding {
        workspace: session.workspace,
        user: session.user,
        provider: authentication.provider.name().clone(),
        issuer: identity.issuer.clone(),
        subject: identity.subject.clone(),
    };
    if !flow.consent_asked
        && authentication.lacks_refresh_token(Purpose::Connect)
        && !grant::is_held(&mut *transaction, &binding, &authentication.granted()).await?
    {
        transaction.rollback().await?;
        used_flow::spend(&mut *pool.acquire().await?, flow).await?;
        return Ok(Outcome::ConsentNeeded);
    }
    // Nobody agreed to this for another workspace than the page named.
    flow.agreed_in(session.workspace)
        .ok_or(StoreError::SessionChanged)?;
    member::connect_at_sign_in(&mut *transaction, &binding).await?;
    let authenticated_at = identity::now(&mut transaction).await?;
    // No identity is written: who holds a connected mailbox does not become
    // able to sign in as its owner.
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
    Ok(Outcome::Done(session))
}
