//! The transaction of a sign-in. It writes the used flow, the user, the identity, the
//! membership, the session, and the event with the sealed grant.

use latchkey_domain::{GrantBinding, Handle, SessionId, UserId, WorkspaceId};
use latchkey_messaging::outbox::{self, Schema};
use latchkey_providers::{Provider, Purpose, VerifiedIdentity, needs_hosted_domain};
use latchkey_sealing::SealingKey;
use latchkey_service::database::BoundedConnection;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

use crate::flow_keys::FlowKeys;
use crate::login::admission::admit;
use crate::login::agreement::Agreement;
use crate::login::context::Context;
use crate::login::domain_policy::{Admission, Claims, DeploymentPolicy};
use crate::login::event::{Authentication, user_authenticated};
use crate::login::flow::Flow;
use crate::login::outcome::{Arrival, NextPage, Outcome, SignInError, SignedIn, WorkspaceError};
use crate::login::workspace_choice::resolve;
use crate::login::{consent, used_flow};
use crate::random::Randomness;
use crate::secret::SessionSecret;
use crate::session::config::SessionConfig;
use crate::session::id_token_hint;
use crate::store::session::{self, NewSession};
use crate::store::workspace::{invite, member};
use crate::store::{grant, identity};

/// What the deployment configures for sign-ins.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Who may sign in.
    pub policy: DeploymentPolicy<'a>,
    /// Public key of refresh-svc.
    pub sealing_key: &'a SealingKey,
    /// Lifetimes of sessions.
    pub sessions: &'a SessionConfig,
    /// Keys that seal the hint of a sign-out at the provider.
    pub flow_keys: &'a FlowKeys,
    /// Browser and system of the person.
    pub user_agent: Option<&'a str>,
    /// Source of the session's secret.
    pub randomness: &'a Randomness,
}

/// Signs a person in. Everything is written, or nothing.
///
/// # Errors
/// Returns an error if the person is not admitted, the flow was used, or the database
/// fails.
#[tracing::instrument(name = "store.sign_in", skip_all)]
pub async fn sign_in(
    pool: &PgPool,
    settings: Settings<'_>,
    flow: &Flow,
    authentication: &Authentication<'_>,
    old_session: Option<&SessionSecret>,
) -> Result<Outcome<SignedIn>, SignInError> {
    let identity = authentication.identity;
    let handle = identity.email.as_ref().ok_or(SignInError::NoAddress)?;
    let claims = claims_of(authentication.provider, identity);

    let mut connection = BoundedConnection::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    used_flow::mark_used(&mut transaction, flow).await?;
    let known = identity::lock(
        &mut transaction,
        authentication.provider.name().as_str(),
        identity.issuer.as_str(),
        identity.subject.as_str(),
    )
    .await?;
    let workspace = resolve(
        &mut transaction,
        &flow.context,
        known,
        claims.vouched_domain(),
    )
    .await
    .map_err(|error| match error {
        SignInError::Workspace(WorkspaceError::NotNamed) => {
            SignInError::NoWorkspaceFor(handle.clone())
        }
        error => error,
    })?;
    // An agreement counts only for the workspace that the page named.
    let agreed = flow.agreement_for(workspace.id);
    let context = match agreed {
        Some(_) => flow.context.clone(),
        None => flow.context.clone().without_choices(),
    };
    let admission = admit(
        &mut transaction,
        settings.policy,
        &context,
        &workspace,
        known,
        claims,
    )
    .await?;
    let next = next(flow, agreed, admission);

    let user = known.unwrap_or_else(UserId::generate);
    let binding = authentication.binding(workspace.id, user);
    let connecting = next == NextPage::Destination
        && authentication.provider.auto_connect(handle.domain())
        && authentication
            .provider
            .asks_beyond_identity(Purpose::SignIn)
        && (agreed.is_some()
            || member::connects_at_sign_in(&mut transaction, workspace.id, binding.user).await?);
    // The stored grant stays. A refresh token that comes anyway would end with the person's
    // session at the provider (Keycloak).
    let keeps_grant = connecting && flow.reuses_grant;
    if keeps_grant && consent::lacks_grant(&mut transaction, authentication, &binding).await? {
        transaction.rollback().await?;
        return consent::request_again(&mut connection, flow, Outcome::GrantNeeded).await;
    }
    if connecting
        && !keeps_grant
        && consent::is_needed(&mut transaction, flow, authentication, &binding).await?
        && (agreed.is_some_and(Agreement::chose_to_connect)
            || !grant::is_closed_to_sign_in(&mut *transaction, &binding).await?)
    {
        transaction.rollback().await?;
        return consent::ask(&mut connection, flow).await;
    }

    let authenticated_at = write_person(
        &mut transaction,
        &binding,
        identity,
        handle,
        known.is_none(),
    )
    .await?;
    join(
        &mut transaction,
        &context,
        workspace.id,
        binding.user,
        admission,
        agreed.is_some(),
    )
    .await?;
    if connecting && agreed.is_some() {
        member::connect_at_sign_in(&mut *transaction, &binding).await?;
    }
    if let Some(secret) = old_session {
        session::replace(&mut *transaction, secret).await?;
    }
    if let Some(session) = &identity.session {
        session::logout::lock(&mut transaction, authentication.provider.name(), session).await?;
    }
    let begun = session::begin(
        &mut transaction,
        &NewSession {
            user: binding.user,
            workspace: workspace.id,
            lifetime: settings.sessions.lifetime,
            idle: settings.sessions.idle,
            user_agent: settings.user_agent,
            provider: authentication.provider.name(),
            issuer: &identity.issuer,
            provider_session: identity.session.as_ref(),
            authentication: &identity.authentication,
        },
        settings.randomness,
    )
    .await?
    .ok_or(SignInError::SignedOutAtProvider)?;
    keep_id_token(&mut transaction, &settings, authentication, begun.id).await?;
    let message = user_authenticated(
        flow,
        authentication,
        &binding,
        handle,
        authenticated_at,
        (connecting && !keeps_grant).then_some(settings.sealing_key),
    )?;
    outbox::enqueue(&mut transaction, Schema::Auth, message).await?;
    transaction.commit().await?;
    connection.return_untested();
    Ok(Outcome::Done(SignedIn {
        user: binding.user,
        session: begun.id,
        secret: begun.secret,
        expires_at: begun.expires_at,
        workspace: workspace.id,
        subdomain: workspace.subdomain,
        custom_domain: workspace.custom_domain,
        connecting: connecting && !keeps_grant,
        next,
    }))
}

/// Keeps the ID token as the hint of the sign-out at the provider, if it is needed there.
async fn keep_id_token(
    connection: &mut PgConnection,
    settings: &Settings<'_>,
    authentication: &Authentication<'_>,
    session: SessionId,
) -> Result<(), sqlx::Error> {
    let Some(id_token) = &authentication.tokens.id_token else {
        return Ok(());
    };
    let (keys, randomness) = (settings.flow_keys, settings.randomness);
    match id_token_hint::seal(keys, randomness, authentication.provider, id_token, session) {
        Some(sealed) => session::id_token_hint::keep(connection, session, &sealed).await,
        None => Ok(()),
    }
}

/// Returns the next page. People who joined without an agreement are asked on the welcome
/// page, and so are people whose agreement was for another workspace.
fn next(flow: &Flow, agreed: Option<&Agreement>, admission: Admission) -> NextPage {
    let agreed_elsewhere = flow
        .agreement
        .as_ref()
        .is_some_and(Agreement::chose_to_connect);
    match (agreed, admission) {
        (Some(_), _) => NextPage::Destination,
        (None, Admission::Member) if !agreed_elsewhere => NextPage::Destination,
        (None, Admission::Member) => NextPage::Welcome(Arrival::Belonged),
        (None, _) => NextPage::Welcome(Arrival::Joined),
    }
}

fn claims_of<'a>(provider: &Provider, identity: &'a VerifiedIdentity) -> Claims<'a> {
    Claims {
        email: identity.email.as_ref(),
        email_status: &identity.email_status,
        hosted_domain: identity.hosted_domain.as_deref(),
        needs_hosted_domain: identity
            .email
            .as_ref()
            .is_some_and(|email| needs_hosted_domain(provider.name(), email.domain())),
    }
}

/// Writes the user and the identity, and returns the time of the sign-in by the database's
/// clock.
async fn write_person(
    connection: &mut PgConnection,
    binding: &GrantBinding,
    identity: &VerifiedIdentity,
    handle: &Handle,
    is_new: bool,
) -> Result<OffsetDateTime, sqlx::Error> {
    if is_new {
        let name = identity.name.as_deref().unwrap_or_default();
        identity::add_user(&mut *connection, binding.user, handle, name).await?;
    }
    identity::note_sign_in(connection, binding, handle, identity.email_verified()).await
}

async fn join(
    connection: &mut PgConnection,
    context: &Context,
    workspace: WorkspaceId,
    user: UserId,
    admission: Admission,
    agreed: bool,
) -> Result<(), sqlx::Error> {
    let Some(joined_by) = admission.joined_by() else {
        return Ok(());
    };
    if admission == Admission::PersonalInvite {
        invite::use_personal(connection, context.personal_invite.as_deref()).await?;
    }
    member::join(connection, workspace, user, joined_by, agreed).await
}
