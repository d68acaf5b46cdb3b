use latchkey_domain::UserId;
use sqlx::PgConnection;

use super::{Row, Workspace};
use crate::login::flow::Context;
use crate::random::sha256;
use crate::store::{StoreError, WorkspaceError};

/// The workspace that the request names, by id, host or invitation; otherwise
/// the only one; otherwise the one that the person belongs to; otherwise the
/// only one that lets their domain in.
///
/// # Errors
/// There is none, or nothing says which.
pub async fn resolve(
    connection: &mut PgConnection,
    context: &Context,
    user: Option<UserId>,
    vouched_domain: Option<&str>,
) -> Result<Workspace, StoreError> {
    if let Some(named) = named(connection, context).await? {
        return named.ok_or(WorkspaceError::Unknown.into());
    }
    let mut some: Vec<Row> = sqlx::query_as(
        "SELECT id, name, subdomain, custom_domain, public_invite_hash, public_invite_enabled
         FROM auth.workspace LIMIT 2",
    )
    .fetch_all(&mut *connection)
    .await?;
    match (some.pop(), some.pop()) {
        (None, _) => return Err(WorkspaceError::None.into()),
        (Some(only), None) => return Ok(only.into()),
        (Some(_), Some(_)) => {}
    }
    if let Some(user) = user {
        let own: Option<Row> = sqlx::query_as(
            "SELECT w.id, w.name, w.subdomain, w.custom_domain, w.public_invite_hash, w.public_invite_enabled
             FROM auth.workspace_member m
             JOIN auth.workspace w ON w.id = m.workspace_id
             WHERE m.user_id = $1
             ORDER BY m.joined_at, w.id LIMIT 1",
        )
        .bind(user.as_uuid())
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(own) = own {
            return Ok(own.into());
        }
    }
    let mut open: Vec<Row> = sqlx::query_as(
        "SELECT w.id, w.name, w.subdomain, w.custom_domain, w.public_invite_hash, w.public_invite_enabled
         FROM auth.approved_access_domain d
         JOIN auth.workspace w ON w.id = d.workspace_id
         WHERE d.domain = $1 LIMIT 2",
    )
    .bind(vouched_domain)
    .fetch_all(connection)
    .await?;
    match (open.pop(), open.pop()) {
        (Some(only), None) => Ok(only.into()),
        _ => Err(WorkspaceError::NotNamed.into()),
    }
}

/// `None` where the request names no workspace, `Some(None)` where it names
/// one that does not exist.
pub(super) async fn named(
    connection: &mut PgConnection,
    context: &Context,
) -> Result<Option<Option<Workspace>>, sqlx::Error> {
    let query = if let Some(id) = context.workspace {
        sqlx::query_as(
            "SELECT id, name, subdomain, custom_domain, public_invite_hash, public_invite_enabled
             FROM auth.workspace WHERE id = $1",
        )
        .bind(id.as_uuid())
    } else if let Some(subdomain) = &context.subdomain {
        sqlx::query_as(
            "SELECT id, name, subdomain, custom_domain, public_invite_hash, public_invite_enabled
             FROM auth.workspace WHERE subdomain = $1",
        )
        .bind(subdomain)
    } else if let Some(token) = &context.personal_invite {
        sqlx::query_as(
            "SELECT w.id, w.name, w.subdomain, w.custom_domain, w.public_invite_hash, w.public_invite_enabled
             FROM auth.personal_invite i
             JOIN auth.workspace w ON w.id = i.workspace_id
             WHERE i.token_hash = $1",
        )
        .bind(sha256(token))
    } else if let Some(token) = &context.public_invite {
        sqlx::query_as(
            "SELECT id, name, subdomain, custom_domain, public_invite_hash, public_invite_enabled
             FROM auth.workspace WHERE public_invite_hash = $1",
        )
        .bind(sha256(token))
    } else {
        return Ok(None);
    };
    let row: Option<Row> = query.fetch_optional(connection).await?;
    Ok(Some(row.map(Workspace::from)))
}
