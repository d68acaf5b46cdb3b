//! The history of an account: its events, applied on one connection by the functions of
//! the service, and the state that is stored in the end.

use latchkey_domain::EventId;
use latchkey_proto::events::{
    Access, AccountDisconnected, AccountReauthRequired, CalendarVisibility, Intent,
    MessageVisibility, UserAuthenticated,
};
use latchkey_testkit::{Role, TestDatabase};
use sqlx::{Connection as _, PgConnection, Row as _};
use sync_svc::connect::{self, ConnectMode, SignIn};
use sync_svc::grant_events;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::support::person::{CALENDAR, MAIL, Person, at};

/// A connection in the role of sync-svc.
pub async fn connection(database: &TestDatabase) -> PgConnection {
    PgConnection::connect(&database.url(Role::Sync))
        .await
        .unwrap()
}

/// The time of an event, as the database keeps it.
pub fn time(second: i64) -> OffsetDateTime {
    let at = at(second);
    OffsetDateTime::from_unix_timestamp(at.seconds).unwrap() + Duration::microseconds(123_456)
}

/// The scopes of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    Plain,
    Mail,
    Calendar,
    Both,
}

/// A sign-in with its grant and its choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub second: i64,
    pub width: Width,
    pub has_refresh_token: bool,
    pub intent: Intent,
    pub messages: MessageVisibility,
    pub calendar: CalendarVisibility,
}

impl Grant {
    pub fn new(second: i64, width: Width, has_refresh_token: bool) -> Self {
        Self {
            second,
            width,
            has_refresh_token,
            intent: Intent::SignIn,
            messages: MessageVisibility::Unspecified,
            calendar: CalendarVisibility::Unspecified,
        }
    }

    fn event(&self, person: &Person) -> UserAuthenticated {
        let mut event = person.sign_in(self.second);
        event.intent = self.intent.into();
        let identity = event.identity.as_mut().unwrap();
        identity.handle = format!("tim{}@apple.dev", self.second);
        let connection = event.connection.as_mut().unwrap();
        let (mail, calendar) = match self.width {
            Width::Plain => (false, false),
            Width::Mail => (true, false),
            Width::Calendar => (false, true),
            Width::Both => (true, true),
        };
        let access = |granted: bool| {
            let access = if granted {
                Access::Granted
            } else {
                Access::Denied
            };
            access.into()
        };
        connection.messages = access(mail);
        connection.calendar = access(calendar);
        connection.message_visibility = self.messages.into();
        connection.calendar_visibility = self.calendar.into();
        let grant = connection.grant.as_mut().unwrap();
        grant.granted_scopes.retain(|scope| match scope.as_str() {
            MAIL => mail,
            CALENDAR => calendar,
            _ => true,
        });
        if !self.has_refresh_token {
            grant.sealed_refresh_token.clear();
        }
        event
    }
}

/// An account under test.
pub struct TestAccount {
    pub person: Person,
}

impl TestAccount {
    pub fn new() -> Self {
        Self {
            person: Person::new(),
        }
    }

    pub async fn signs_in(&self, connection: &mut PgConnection, id: EventId, grant: &Grant) {
        let now = time(100_000);
        let event = grant.event(&self.person);
        let sign_in = SignIn::read(event, now).unwrap().unwrap();
        connect::apply_on(connection, ConnectMode::Automatic, id, &sign_in, now)
            .await
            .unwrap();
    }

    /// The id of the account, which must exist.
    pub async fn id(&self, connection: &mut PgConnection) -> Uuid {
        sqlx::query_scalar("SELECT id FROM sync.connected_account WHERE workspace_id = $1")
            .bind(self.person.workspace)
            .fetch_one(connection)
            .await
            .unwrap()
    }

    /// Disconnects as refresh-svc does: erases the tokens, or stores only the time if they
    /// are erased already. Returns the event, if one is published.
    pub async fn disconnects(
        &self,
        connection: &mut PgConnection,
        second: i64,
    ) -> Option<AccountDisconnected> {
        let account = self.id(connection).await;
        let erased = sqlx::query(
            "UPDATE vault.credential
             SET sealed_access_token = NULL, access_token_expires_at = NULL,
                 sealed_refresh_token = NULL, erased_at = $2, version = version + 1
             WHERE account_id = $1 AND erased_at IS NULL",
        )
        .bind(account)
        .bind(time(second))
        .execute(&mut *connection)
        .await
        .unwrap();
        if erased.rows_affected() == 0 {
            sqlx::query("UPDATE vault.credential SET not_before = $2 WHERE account_id = $1")
                .bind(account)
                .bind(time(second))
                .execute(connection)
                .await
                .unwrap();
            return None;
        }
        Some(AccountDisconnected {
            account_id: account.to_string(),
            disconnected_at: Some(at(second)),
            ..AccountDisconnected::default()
        })
    }

    /// The provider refuses the refresh token of the sign-in at `origin`. Marks the grant
    /// as refresh-svc does if that token is stored, and returns the event.
    pub async fn dies(
        &self,
        connection: &mut PgConnection,
        origin: i64,
        second: i64,
    ) -> Option<AccountReauthRequired> {
        let account = self.id(connection).await;
        let marked = sqlx::query(
            "UPDATE vault.credential SET auth_failed_at = $3
             WHERE account_id = $1 AND auth_failed_at IS NULL AND erased_at IS NULL
               AND sealed_refresh_token IS NOT NULL
               AND coalesce(refresh_authenticated_at, authenticated_at) = $2",
        )
        .bind(account)
        .bind(time(origin))
        .bind(time(second))
        .execute(connection)
        .await
        .unwrap();
        (marked.rows_affected() == 1).then(|| AccountReauthRequired {
            account_id: account.to_string(),
            reason: "INVALID_REFRESH_TOKEN".to_owned(),
            authenticated_at: Some(at(origin)),
            ..AccountReauthRequired::default()
        })
    }

    pub async fn receives_disconnect(
        &self,
        connection: &mut PgConnection,
        id: EventId,
        notification: &AccountDisconnected,
    ) {
        grant_events::disconnected_on(connection, id, notification, time(100_000))
            .await
            .unwrap();
    }

    pub async fn receives_death(
        &self,
        connection: &mut PgConnection,
        id: EventId,
        notification: &AccountReauthRequired,
    ) {
        grant_events::reauth_required_on(connection, id, notification, time(100_000))
            .await
            .unwrap();
    }

    /// The stored state that has to be equal in every order.
    pub async fn final_state(&self, connection: &mut PgConnection) -> FinalState {
        let row = sqlx::query(
            "SELECT a.handle, c.handle AS label, a.disconnected_at IS NOT NULL AS disconnected,
                    c.not_before,
                    c.auth_failed_at IS NOT NULL AND c.erased_at IS NULL AS dead,
                    c.erased_at IS NOT NULL AS erased,
                    convert_from(c.sealed_access_token, 'UTF8') AS access,
                    convert_from(c.sealed_refresh_token, 'UTF8') AS refresh,
                    c.granted_scopes, c.authenticated_at,
                    coalesce(c.refresh_scopes, c.granted_scopes) AS refresh_scopes,
                    coalesce(c.refresh_authenticated_at, c.authenticated_at) AS refresh_at,
                    m.sync_status::text AS messages, m.visibility AS message_visibility,
                    k.sync_status::text AS calendar, k.visibility AS calendar_visibility
             FROM sync.connected_account a
             JOIN vault.credential c ON c.account_id = a.id
             JOIN sync.channel m ON m.account_id = a.id AND m.kind = 'MESSAGE'
             JOIN sync.channel k ON k.account_id = a.id AND k.kind = 'CALENDAR'
             WHERE a.workspace_id = $1",
        )
        .bind(self.person.workspace)
        .fetch_one(connection)
        .await
        .unwrap();
        let (dead, erased): (bool, bool) = (row.get("dead"), row.get("erased"));
        let refresh: Option<String> = row.get("refresh");
        let tokens = (!dead && !erased).then(|| Tokens {
            access: row.get("access"),
            scopes: row.get("granted_scopes"),
            authenticated_at: row.get("authenticated_at"),
            refresh: refresh
                .map(|refresh| (refresh, row.get("refresh_scopes"), row.get("refresh_at"))),
        });
        FinalState {
            labels: [row.get("handle"), row.get("label")],
            disconnected: row.get("disconnected"),
            not_before: row.get("not_before"),
            dead,
            erased,
            tokens,
            channels: [row.get("messages"), row.get("calendar")],
            visibilities: [
                row.get("message_visibility"),
                row.get("calendar_visibility"),
            ],
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalState {
    labels: [String; 2],
    disconnected: bool,
    not_before: Option<OffsetDateTime>,
    pub dead: bool,
    pub erased: bool,
    pub tokens: Option<Tokens>,
    channels: [String; 2],
    visibilities: [String; 2],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    access: String,
    scopes: Vec<String>,
    authenticated_at: OffsetDateTime,
    pub refresh: Option<(String, Vec<String>, OffsetDateTime)>,
}
