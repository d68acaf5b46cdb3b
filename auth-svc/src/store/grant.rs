//! Reads from schema `vault` whether grants are stored. This service cannot read the
//! tokens.

use latchkey_domain::{GrantBinding, Handle, Issuer, ScopeSet, Subject, WorkspaceId};
use latchkey_providers::Provider;
use sqlx::PgExecutor;

use crate::store::session::Session;

/// Returns `true` if a live refresh token with at least these scopes is stored.
///
/// # Errors
/// Returns the database's error.
pub async fn is_stored(
    executor: impl PgExecutor<'_>,
    binding: &GrantBinding,
    scopes: &ScopeSet,
) -> Result<bool, sqlx::Error> {
    let held = live(executor, binding).await?;
    Ok(held.iter().any(|granted| granted.covers(scopes)))
}

/// Returns `true` if a live refresh token is stored that gives access to everything that is
/// configured of the provider.
///
/// # Errors
/// Returns the database's error.
pub async fn is_sufficient(
    executor: impl PgExecutor<'_>,
    binding: &GrantBinding,
    provider: &Provider,
) -> Result<bool, sqlx::Error> {
    let held = live(executor, binding).await?;
    Ok(held.iter().any(|granted| provider.is_covered_by(granted)))
}

/// Returns the scopes of the live grants.
async fn live(
    executor: impl PgExecutor<'_>,
    binding: &GrantBinding,
) -> Result<Vec<ScopeSet>, sqlx::Error> {
    let held: Vec<(Vec<String>,)> = sqlx::query_as(
        "SELECT granted_scopes FROM vault.offline_grant
         WHERE workspace_id = $1 AND user_id = $2
           AND provider = $3 AND issuer = $4 AND subject = $5",
    )
    .bind(binding.workspace.as_uuid())
    .bind(binding.user.as_uuid())
    .bind(binding.provider.as_str())
    .bind(binding.issuer.as_str())
    .bind(binding.subject.as_str())
    .fetch_all(executor)
    .await?;
    Ok(held
        .into_iter()
        .map(|(granted,)| granted.into_iter().collect())
        .collect())
}

/// Returns `true` if a grant as of [`is_sufficient`] is stored for the person of an identity, in
/// this workspace, or in any if it is `None`.
///
/// # Errors
/// Returns the database's error.
pub async fn is_stored_for(
    executor: impl PgExecutor<'_>,
    provider: &Provider,
    (issuer, subject): (&Issuer, &Subject),
    workspace: Option<WorkspaceId>,
) -> Result<bool, sqlx::Error> {
    // Indexes: identity_provider_issuer_subject_key, credential_identity.
    let held: Vec<(Vec<String>,)> = sqlx::query_as(
        "SELECT g.granted_scopes
         FROM auth.identity i
         JOIN vault.offline_grant g
           ON g.provider = i.provider AND g.issuer = i.issuer AND g.subject = i.subject
              AND g.user_id = i.user_id
         WHERE i.provider = $1 AND i.issuer = $2 AND i.subject = $3
           AND ($4::uuid IS NULL OR g.workspace_id = $4)",
    )
    .bind(provider.name().as_str())
    .bind(issuer.as_str())
    .bind(subject.as_str())
    .bind(workspace.map(|workspace| workspace.as_uuid()))
    .fetch_all(executor)
    .await?;
    Ok(held
        .into_iter()
        .any(|(granted,)| provider.is_covered_by(&granted.into_iter().collect())))
}

/// Returns `true` if a plain sign-in must not change this account: the person disconnected
/// it, or connected it on the review page since then and the grant is alive. Then the
/// sign-in does not ask for consent either.
///
/// # Errors
/// Returns the database's error.
pub async fn is_closed_to_sign_in(
    executor: impl PgExecutor<'_>,
    binding: &GrantBinding,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM vault.closed_to_sign_in
                        WHERE workspace_id = $1 AND user_id = $2
                          AND provider = $3 AND issuer = $4 AND subject = $5)",
    )
    .bind(binding.workspace.as_uuid())
    .bind(binding.user.as_uuid())
    .bind(binding.provider.as_str())
    .bind(binding.issuer.as_str())
    .bind(binding.subject.as_str())
    .fetch_one(executor)
    .await
}

/// Returns `true` if the person of this session signs in with the provider and a new
/// sign-in would repair nothing: none of their sign-in identities has a dead grant that a
/// sign-in would connect again. A sign-in does not change accounts that the person
/// disconnected, or other mailboxes that they connected.
///
/// # Errors
/// Returns the database's error.
pub async fn needs_no_sign_in(
    executor: impl PgExecutor<'_>,
    session: &Session,
    provider: &Provider,
) -> Result<bool, sqlx::Error> {
    let identities: Vec<(String, bool)> = sqlx::query_as(
        "SELECT i.email,
                EXISTS (SELECT FROM vault.dead_grant d
                        WHERE d.user_id = i.user_id AND d.workspace_id = $2
                          AND d.provider = i.provider AND d.issuer = i.issuer
                          AND d.subject = i.subject)
                    AND EXISTS (SELECT FROM auth.workspace_member m
                                WHERE m.user_id = i.user_id AND m.workspace_id = $2
                                  AND m.connects_at_sign_in) AS dead
         FROM auth.identity i
         WHERE i.user_id = $1 AND i.provider = $3",
    )
    .bind(session.user.as_uuid())
    .bind(session.workspace.as_uuid())
    .bind(provider.name().as_str())
    .fetch_all(executor)
    .await?;
    let connects = |email: &str| {
        email
            .parse::<Handle>()
            .is_ok_and(|handle| provider.auto_connect(handle.domain()))
    };
    let repairable = identities
        .iter()
        .any(|(email, dead)| *dead && connects(email));
    Ok(!identities.is_empty() && !repairable)
}
