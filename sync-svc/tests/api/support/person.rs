//! A person with a mailbox, the person's sign-ins, and what the database stores of them.

use latchkey_domain::EventId;
use latchkey_proto::events::{
    Access, Connection, Identity, Intent, SealedGrant, UserAuthenticated,
};
use latchkey_testkit::eventually;
use prost_types::Timestamp;
use sqlx::Row as _;
use uuid::Uuid;

use crate::support::service::TestService;

pub const MAIL: &str = "https://www.googleapis.com/auth/gmail.readonly";
pub const CALENDAR: &str = "https://www.googleapis.com/auth/calendar.events";

pub struct Person {
    pub workspace: Uuid,
    pub user: Uuid,
}

impl Person {
    pub fn new() -> Self {
        Self {
            workspace: Uuid::new_v4(),
            user: Uuid::new_v4(),
        }
    }

    /// A sign-in with both kinds granted, this many seconds after a fixed time.
    pub fn sign_in(&self, second: i64) -> UserAuthenticated {
        UserAuthenticated {
            workspace_id: self.workspace.to_string(),
            user_id: self.user.to_string(),
            identity: Some(Identity {
                provider: "google".to_owned(),
                issuer: "https://accounts.google.com".to_owned(),
                subject: "1234".to_owned(),
                handle: "tim@apple.dev".to_owned(),
                display_name: "Tim".to_owned(),
                handle_verified: Some(true),
            }),
            authenticated_at: Some(at(second)),
            intent: Intent::SignIn.into(),
            connection: Some(Connection {
                grant: Some(SealedGrant {
                    sealed_access_token: format!("access-{second}").into_bytes(),
                    access_token_expires_at: Some(at(3_000_000_000)),
                    sealed_refresh_token: format!("refresh-{second}").into_bytes(),
                    granted_scopes: vec![
                        "openid".to_owned(),
                        "email".to_owned(),
                        MAIL.to_owned(),
                        CALENDAR.to_owned(),
                    ],
                    client_id: "client".to_owned(),
                    refresh_token_expires_at: None,
                }),
                messages: Access::Granted.into(),
                calendar: Access::Granted.into(),
                message_visibility: 0,
                calendar_visibility: 0,
            }),
        }
    }

    /// The same, as a connection that the person asked for.
    pub fn connects(&self, second: i64) -> UserAuthenticated {
        UserAuthenticated {
            intent: Intent::Connect.into(),
            ..self.sign_in(second)
        }
    }

    /// A sign-in without the calendar scope.
    pub fn partial(&self, second: i64) -> UserAuthenticated {
        let mut event = self.sign_in(second);
        let connection = event.connection.as_mut().unwrap();
        connection.calendar = Access::Denied.into();
        let grant = connection.grant.as_mut().unwrap();
        grant.granted_scopes.retain(|scope| scope != CALENDAR);
        event
    }

    /// A sign-in with identity scopes only.
    pub fn plain(&self, second: i64) -> UserAuthenticated {
        let mut event = self.sign_in(second);
        let connection = event.connection.as_mut().unwrap();
        connection.messages = Access::Denied.into();
        connection.calendar = Access::Denied.into();
        let grant = connection.grant.as_mut().unwrap();
        grant.granted_scopes = vec!["openid".to_owned(), "email".to_owned()];
        event
    }

    /// A sign-in for which the provider returned no refresh token.
    pub fn without_refresh_token(&self, second: i64) -> UserAuthenticated {
        let mut event = self.sign_in(second);
        let grant = event.connection.as_mut().unwrap().grant.as_mut().unwrap();
        grant.sealed_refresh_token.clear();
        event
    }

    /// Publishes a sign-in and waits until it was applied.
    pub async fn applies(&self, service: &TestService, event: UserAuthenticated) {
        let id = EventId::generate();
        service.publish(id, &event).await;
        applied(service, id).await;
    }

    /// The stored account.
    pub async fn account(&self, service: &TestService) -> Account {
        let rows = sqlx::query(
            "SELECT a.id, a.disconnected_at IS NOT NULL AS disconnected,
                    convert_from(c.sealed_access_token, 'UTF8') AS access,
                    convert_from(c.sealed_refresh_token, 'UTF8') AS refresh,
                    c.version, c.granted_scopes, c.auth_failed_at IS NOT NULL AS dead
             FROM sync.connected_account a JOIN vault.credential c ON c.account_id = a.id
             WHERE a.workspace_id = $1",
        )
        .bind(self.workspace)
        .fetch_all(service.database.pool())
        .await
        .unwrap();
        assert_eq!(rows.len(), 1, "one account");
        let row = &rows[0];
        Account {
            id: row.get("id"),
            disconnected: row.get("disconnected"),
            access: row.get("access"),
            refresh: row.get("refresh"),
            version: row.get("version"),
            scopes: row.get("granted_scopes"),
            dead: row.get("dead"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: Uuid,
    pub disconnected: bool,
    pub access: Option<String>,
    pub refresh: Option<String>,
    pub version: i64,
    pub scopes: Vec<String>,
    pub dead: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelState {
    pub id: Uuid,
    pub status: String,
    pub stage: String,
    pub cursor: String,
    pub generation: i32,
    pub jobs: i64,
}

impl ChannelState {
    pub fn shows(&self) -> (&str, &str) {
        (&self.status, &self.stage)
    }
}

/// The message and the calendar channel of an account.
pub async fn channels(service: &TestService, account: Uuid) -> Vec<ChannelState> {
    let rows = sqlx::query(
        "SELECT id, sync_status::text, sync_stage, sync_cursor, generation,
                (SELECT count(*) FROM sync.sync_job j WHERE j.channel_id = c.id) AS jobs
         FROM sync.channel c
         WHERE account_id = $1
         ORDER BY kind DESC",
    )
    .bind(account)
    .fetch_all(service.database.pool())
    .await
    .unwrap();
    rows.iter()
        .map(|row| ChannelState {
            id: row.get("id"),
            status: row.get("sync_status"),
            stage: row.get("sync_stage"),
            cursor: row.get("sync_cursor"),
            generation: row.get("generation"),
            jobs: row.get("jobs"),
        })
        .collect()
}

pub async fn count(service: &TestService, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement)
        .fetch_one(service.database.pool())
        .await
        .unwrap()
}

pub async fn execute(service: &TestService, statement: &'static str) {
    sqlx::raw_sql(statement)
        .execute(service.database.pool())
        .await
        .unwrap();
}

/// Waits until an event is in the inbox, that is, was applied.
pub async fn applied(service: &TestService, id: EventId) {
    eventually("the event is applied", async || {
        sqlx::query_scalar::<_, bool>("SELECT EXISTS (SELECT FROM sync.inbox WHERE event_id = $1)")
            .bind(id.as_uuid())
            .fetch_one(service.database.pool())
            .await
            .unwrap()
    })
    .await;
}

/// Waits until the outbox is empty.
pub async fn published(service: &TestService) {
    eventually("everything is published", async || {
        count(service, "SELECT count(*) FROM sync.outbox").await == 0
    })
    .await;
}

/// A time in seconds after a fixed one; 3,000,000,000 is far in the future.
pub fn at(second: i64) -> Timestamp {
    const NOVEMBER_23_2026: i64 = 1_795_392_000;
    Timestamp {
        seconds: NOVEMBER_23_2026 + second,
        nanos: 123_456_789,
    }
}
