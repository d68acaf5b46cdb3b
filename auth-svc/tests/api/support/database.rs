use latchkey_domain::{AccountId, WorkspaceId};
use latchkey_proto::events::UserAuthenticated;
use prost::Message as _;
use sqlx::PgPool;
use uuid::Uuid;

/// Numbers of rows in the tables that a sign-in writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowCounts {
    pub users: i64,
    pub identities: i64,
    pub members: i64,
    pub sessions: i64,
    pub events: i64,
}

impl RowCounts {
    /// No rows.
    pub const NOTHING: Self = Self {
        users: 0,
        identities: 0,
        members: 0,
        sessions: 0,
        events: 0,
    };

    /// The rows of one first sign-in.
    pub const ONE_SIGN_IN: Self = Self {
        users: 1,
        identities: 1,
        members: 1,
        sessions: 1,
        events: 1,
    };
}

pub async fn row_counts(pool: &PgPool) -> RowCounts {
    let (users, identities, members, sessions, events) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM auth.app_user), (SELECT count(*) FROM auth.identity),
                (SELECT count(*) FROM auth.workspace_member),
                (SELECT count(*) FROM auth.session WHERE revoked_at IS NULL),
                (SELECT count(*) FROM auth.outbox)",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    RowCounts {
        users,
        identities,
        members,
        sessions,
        events,
    }
}

pub async fn events(pool: &PgPool) -> Vec<UserAuthenticated> {
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as(
        "SELECT payload FROM auth.outbox WHERE routing_key = 'user.authenticated.v1' ORDER BY seq",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.iter()
        .map(|(payload,)| UserAuthenticated::decode(payload.as_slice()).unwrap())
        .collect()
}

pub async fn workspace(
    pool: &PgPool,
    name: &str,
    subdomain: Option<&str>,
    domains: &[&str],
) -> WorkspaceId {
    let id = auth_svc::store::workspace::create(pool, name, subdomain)
        .await
        .unwrap();
    for domain in domains {
        auth_svc::store::workspace::domain::approve_domain(pool, id, domain, true)
            .await
            .unwrap();
    }
    id
}

pub async fn store_grant(pool: &PgPool, event: &UserAuthenticated, scopes: &[&str], dead: bool) {
    let identity = event.identity.as_ref().unwrap();
    sqlx::query(
        "INSERT INTO vault.credential
             (account_id, workspace_id, user_id, provider, issuer, subject, handle,
              sealed_refresh_token, granted_scopes, authenticated_at, auth_failed_at)
         VALUES ($1, $2::uuid, $3::uuid, $4, $5, $6, $7, 'sealed', $8, now(),
                 CASE WHEN $9 THEN now() END)
         ON CONFLICT (account_id) DO NOTHING",
    )
    .bind(AccountId::generate().as_uuid())
    .bind(event.workspace_id.parse::<Uuid>().unwrap())
    .bind(event.user_id.parse::<Uuid>().unwrap())
    .bind(&identity.provider)
    .bind(&identity.issuer)
    .bind(&identity.subject)
    .bind(&identity.handle)
    .bind(scopes.iter().map(|&s| s.to_owned()).collect::<Vec<_>>())
    .bind(dead)
    .execute(pool)
    .await
    .unwrap();
}
