//! The sign-in: ONE transaction { flow spent, user, identity, membership,
//! session, outbox row with the sealed grant }.

use latchkey_domain::{GrantBinding, Handle, UserId, WorkspaceId};
use latchkey_messaging::outbox::{self, Schema};
use latchkey_providers::{Provider, Purpose, VerifiedIdentity, needs_hosted_domain};
use latchkey_sealing::SealingKey;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::config::DomainList;
use crate::event::{Authentication, user_authenticated};
use crate::login::deliberate::Deliberate;
use crate::login::domain_policy::{Admission, Claims, Facts, decide};
use crate::login::flow::{Context, Flow};
use crate::random::Randomness;
use crate::session::config::SessionConfig;
use crate::store::session::NewSession;
use crate::store::workspace::{Workspace, member};
use crate::store::{
    Arrival, Next, Outcome, SignedIn, StoreError, WorkspaceError, facts, grant, session,
    spent_flow, workspace,
};

/// What the deployment adds to a sign-in.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Deployment-wide list of domains.
    pub allowed_domains: &'a DomainList,
    /// True where workspaces belong to different organisations.
    pub multi_workspace: bool,
    /// refresh-svc's public key.
    pub sealing_key: &'a SealingKey,
    /// How long sessions live.
    pub sessions: &'a SessionConfig,
    /// Browser and system of the person.
    pub user_agent: Option<&'a str>,
    /// Where the session's secret comes from.
    pub randomness: &'a Randomness,
}

/// Signs a person in. Nothing is written unless everything is.
///
/// # Errors
/// The person may not come in, the flow was used, or the database refused.
#[tracing::instrument(name = "store.sign_in", skip_all)]
pub async fn sign_in(
    pool: &PgPool,
    terms: Terms<'_>,
    flow: &Flow,
    authentication: &Authentication<'_>,
    old_session: Option<&str>,
) -> Result<Outcome<SignedIn>, StoreError> {
    let identity = authentication.identity;
    let handle = identity.email.as_ref().ok_or(StoreError::NoAddress)?;
    let claims = claims_of(authentication.provider, identity);

    let mut transaction = pool.begin().await?;
    spent_flow::spend(&mut transaction, flow).await?;
    let known = lock_identity(&mut transaction, authentication).await?;
    let workspace = workspace::resolve(
        &mut transaction,
        &flow.context,
        known,
        claims.vouched_domain(),
    )
    .await
    .map_err(|error| match error {
        StoreError::Workspace(WorkspaceError::NotNamed) => {
            StoreError::NoWorkspaceFor(handle.clone())
        }
        error => error,
    })?;
    // What was agreed to for another workspace was not agreed to for this one.
    let agreed = flow.agreed_in(workspace.id);
    let context = match agreed {
        Some(_) => flow.context.clone(),
        None => flow.context.clone().without_choices(),
    };
    let admission = admit(&mut transaction, terms, &context, &workspace, known, claims).await?;
    let next = next(flow, agreed, admission);

    let binding = GrantBinding {
        workspace: workspace.id,
        user: known.unwrap_or_else(UserId::generate),
        provider: authentication.provider.name().clone(),
        issuer: identity.issuer.clone(),
        subject: identity.subject.clone(),
    };
    let connecting = next == Next::Onwards
        && authentication.provider.auto_connect(handle.domain())
        && authentication
            .provider
            .asks_beyond_identity(Purpose::SignIn)
        && (agreed.is_some()
            || member::connects_at_sign_in(&mut transaction, workspace.id, binding.user).await?);
    if connecting
        && !flow.consent_asked
        && authentication.lacks_refresh_token(Purpose::SignIn)
        && !grant::is_held(&mut *transaction, &binding, &authentication.granted()).await?
        && (agreed.is_some_and(Deliberate::chose_to_connect)
            || !grant::is_closed_to_sign_in(&mut *transaction, &binding).await?)
    {
        transaction.rollback().await?;
        spent_flow::spend(&mut *pool.acquire().await?, flow).await?;
        return Ok(Outcome::ConsentNeeded);
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
    let begun = session::begin(
        &mut transaction,
        &NewSession {
            user: binding.user,
            workspace: workspace.id,
            lifetime: terms.sessions.lifetime,
            idle: terms.sessions.idle,
            user_agent: terms.user_agent,
        },
        terms.randomness,
    )
    .await?;
    let message = user_authenticated(
        flow,
        authentication,
        &binding,
        handle,
        authenticated_at,
        connecting.then_some(terms.sealing_key),
    )?;
    outbox::enqueue(&mut transaction, Schema::Auth, message).await?;
    transaction.commit().await?;
    Ok(Outcome::Done(SignedIn {
        user: binding.user,
        session: begun.id,
        secret: begun.secret,
        expires_at: begun.expires_at,
        workspace: workspace.id,
        subdomain: workspace.subdomain,
        custom_domain: workspace.custom_domain,
        connecting,
        next,
    }))
}

/// Who joins without having agreed to it on a page is asked there, and so is who
/// agreed for another workspace than the one that they came into.
fn next(flow: &Flow, agreed: Option<&Deliberate>, admission: Admission) -> Next {
    let astray = flow
        .deliberate
        .as_ref()
        .is_some_and(Deliberate::chose_to_connect);
    match (agreed, admission) {
        (Some(_), _) => Next::Onwards,
        (None, Admission::Member) if !astray => Next::Onwards,
        (None, Admission::Member) => Next::Asked(Arrival::Belonged),
        (None, _) => Next::Asked(Arrival::Joined),
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

/// The user of this identity. Two first sign-ins of one person at once wait for
/// one another here, so that they make one user.
async fn lock_identity(
    connection: &mut PgConnection,
    authentication: &Authentication<'_>,
) -> Result<Option<UserId>, sqlx::Error> {
    let provider = authentication.provider.name();
    let identity = authentication.identity;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!(
            "{provider}\n{}\n{}",
            identity.issuer, identity.subject
        ))
        .execute(&mut *connection)
        .await?;
    // Index: identity_provider_issuer_subject_key. Never by e-mail.
    let found: Option<(Uuid,)> = sqlx::query_as(
        "SELECT user_id FROM auth.identity
         WHERE provider = $1 AND issuer = $2 AND subject = $3",
    )
    .bind(provider.as_str())
    .bind(identity.issuer.as_str())
    .bind(identity.subject.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|(user,)| user.into()))
}

async fn admit(
    connection: &mut PgConnection,
    terms: Terms<'_>,
    context: &Context,
    workspace: &Workspace,
    user: Option<UserId>,
    claims: Claims<'_>,
) -> Result<Admission, StoreError> {
    let domains = facts::approved_domains(connection, workspace.id).await?;
    let admission = decide(&Facts {
        deployment: terms.allowed_domains,
        workspace: &domains,
        multi_workspace: terms.multi_workspace,
        claims,
        is_member: facts::is_member(connection, workspace.id, user).await?,
        public_invite: facts::public_invite(context, workspace),
        personal_invite: facts::personal_invite(connection, context, workspace.id, claims).await?,
    })?;
    Ok(admission)
}

/// Writes user and identity; answers the time by the database's clock, which
/// all replicas share: it decides which of two grants is newer.
async fn write_person(
    connection: &mut PgConnection,
    binding: &GrantBinding,
    identity: &VerifiedIdentity,
    handle: &Handle,
    is_new: bool,
) -> Result<OffsetDateTime, sqlx::Error> {
    let name = identity.name.as_deref().unwrap_or_default();
    if is_new {
        sqlx::query("INSERT INTO auth.app_user (id, email, display_name) VALUES ($1, $2, $3)")
            .bind(binding.user.as_uuid())
            .bind(handle.as_str())
            .bind(name)
            .execute(&mut *connection)
            .await?;
    }
    let (authenticated_at,) = sqlx::query_as(
        "INSERT INTO auth.identity
             (id, user_id, provider, issuer, subject, email, email_verified, last_sign_in_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp())
         ON CONFLICT (provider, issuer, subject) DO UPDATE
         SET email = excluded.email, email_verified = excluded.email_verified,
             last_sign_in_at = excluded.last_sign_in_at
         RETURNING last_sign_in_at",
    )
    .bind(Uuid::now_v7())
    .bind(binding.user.as_uuid())
    .bind(binding.provider.as_str())
    .bind(binding.issuer.as_str())
    .bind(binding.subject.as_str())
    .bind(handle.as_str())
    .bind(identity.email_verified())
    .fetch_one(connection)
    .await?;
    Ok(authenticated_at)
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
        facts::spend_personal_invite(connection, context).await?;
    }
    member::join(connection, workspace, user, joined_by, agreed).await
}
