//! People who are signed in: rows as auth-svc writes them, and access tokens that it issued.

use std::sync::Arc;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use latchkey_demo_provider::Flavour;
use sqlx::PgPool;
use uuid::Uuid;

use super::replicas::Replicas;
use super::testbed::LogoutTestbed;

/// Sessions of each person, each in another session at the provider.
pub const SESSIONS: usize = 2;
/// Requests that are sent at the same time.
pub const AT_ONCE: usize = 32;
/// Name of the provider in the configuration.
const PROVIDER: &str = "demo";

/// A person with [`SESSIONS`] sessions.
pub struct Person {
    /// The provider's name for the person.
    pub subject: String,
    /// The sessions.
    pub sessions: Vec<Arc<Session>>,
}

/// A session.
pub struct Session {
    /// The session at the provider.
    pub sid: String,
    secret: String,
    access_token: String,
}

impl Session {
    /// Returns whether the other replica accepts the cookie and the access token.
    pub async fn accepted(&self, replicas: &Replicas) -> anyhow::Result<[bool; 2]> {
        Ok([
            replicas.accepts_cookie(&self.secret).await?,
            replicas.accepts_bearer(&self.access_token).await?,
        ])
    }
}

/// The columns of the new rows.
#[derive(Default)]
struct Rows {
    users: Vec<Uuid>,
    subjects: Vec<String>,
    of: Vec<Uuid>,
    secrets: Vec<String>,
    provider_sessions: Vec<String>,
}

/// Creates people with their sessions and an access token of each session. `run` makes their names
/// unique.
pub async fn create(
    testbed: &LogoutTestbed,
    run: &str,
    count: usize,
) -> anyhow::Result<Vec<Person>> {
    let mut rows = Rows::default();
    for number in 0..count {
        let user = Uuid::new_v4();
        rows.users.push(user);
        rows.subjects.push(format!("{run}-{number}"));
        for session in 0..SESSIONS {
            rows.of.push(user);
            rows.secrets.push(secret());
            rows.provider_sessions
                .push(format!("{run}-{number}-{session}"));
        }
    }
    let workspace = testbed.stack.database().workspace_id();
    let issuer = testbed.stack.demo().issuer(Flavour::Oidc);
    insert(testbed.stack.pool(), &rows, workspace, &issuer).await?;

    let replicas = &testbed.replicas;
    let sessions: Vec<Arc<Session>> =
        futures::stream::iter(rows.secrets.into_iter().zip(rows.provider_sessions))
            .map(|(secret, sid)| async move {
                let access_token = replicas.access_token(&secret).await?;
                anyhow::Ok(Arc::new(Session {
                    sid,
                    secret,
                    access_token,
                }))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
            .context("cannot get an access token")?;
    let people = rows.subjects.into_iter().zip(sessions.chunks(SESSIONS));
    Ok(people
        .map(|(subject, sessions)| Person {
            subject,
            sessions: sessions.to_vec(),
        })
        .collect())
}

/// A secret of the length of that of a session cookie.
fn secret() -> String {
    let mut text = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    text.truncate(43);
    text
}

async fn insert(
    pool: &PgPool,
    rows: &Rows,
    workspace: Uuid,
    issuer: &str,
) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query(
        "INSERT INTO auth.app_user (id, email, display_name)
         SELECT id, subject || '@acme.example', subject
         FROM unnest($1::uuid[], $2::text[]) AS new (id, subject)",
    )
    .bind(&rows.users)
    .bind(&rows.subjects)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "INSERT INTO auth.identity
             (id, user_id, provider, issuer, subject, email, email_verified)
         SELECT gen_random_uuid(), id, $3, $4, subject, subject || '@acme.example', true
         FROM unnest($1::uuid[], $2::text[]) AS new (id, subject)",
    )
    .bind(&rows.users)
    .bind(&rows.subjects)
    .bind(PROVIDER)
    .bind(issuer)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "INSERT INTO auth.workspace_member (workspace_id, user_id, joined_by)
         SELECT $2, id, 'APPROVED_DOMAIN' FROM unnest($1::uuid[]) AS new (id)",
    )
    .bind(&rows.users)
    .bind(workspace)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "INSERT INTO auth.session
             (id, secret_hash, user_id, workspace_id, expires_at, provider, issuer,
              provider_session)
         SELECT gen_random_uuid(), sha256(convert_to(secret, 'UTF8')), id, $4,
                now() + interval '90 days', $5, $6, provider_session
         FROM unnest($1::uuid[], $2::text[], $3::text[]) AS new (id, secret, provider_session)",
    )
    .bind(&rows.of)
    .bind(&rows.secrets)
    .bind(&rows.provider_sessions)
    .bind(workspace)
    .bind(PROVIDER)
    .bind(issuer)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    // In production the planner has statistics of these tables.
    sqlx::raw_sql("ANALYZE auth.session, auth.identity, auth.app_user, auth.workspace_member")
        .execute(pool)
        .await?;
    Ok(())
}
