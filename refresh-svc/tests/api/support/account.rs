//! Connected accounts, written as sync-svc writes them.

use latchkey_demo_provider::{ACME_TENANT, Flavour};
use latchkey_domain::{
    AccessToken, AccountId, Clock as _, GrantBinding, RefreshToken, SystemClock, UserId,
    WorkspaceId,
};
use latchkey_messaging::outbox::Event;
use latchkey_proto::events::{AccountDisconnected, AccountReauthRequired};
use std::time::Duration;

use sqlx::types::time::OffsetDateTime;
use sync_svc::grant::{Grant, Intent, SealedGrant};
use uuid::Uuid;

use super::World;

pub const SCOPES: &[&str] = &["openid", "email", "mail.read"];

/// The initial access token of an account.
#[derive(Clone, Copy)]
pub enum Token {
    /// No access token.
    Absent,
    /// Expires in this many seconds; issued an hour before that.
    Expires(i64),
    /// The provider did not state the expiry; issued this many seconds ago.
    NotSaid(i64),
}

pub struct Account {
    pub id: AccountId,
    pub binding: GrantBinding,
    pub handle: String,
    pub access_token: String,
    pub refresh_token: String,
}

/// Columns of the row.
#[derive(Debug, sqlx::FromRow)]
pub struct Stored {
    pub version: i64,
    pub sealed_access_token: Option<Vec<u8>>,
    pub sealed_refresh_token: Option<Vec<u8>>,
    pub granted_scopes: Vec<String>,
    pub failure_class: Option<String>,
    pub failure_count: i32,
    pub auth_failed_at: Option<OffsetDateTime>,
    pub erased_at: Option<OffsetDateTime>,
    pub not_before: Option<OffsetDateTime>,
    pub refresh_scopes: Option<Vec<String>>,
    pub lease_holder: Option<Uuid>,
    pub lease_epoch: i64,
    pub intent_count: i32,
}

impl World {
    /// An account of `ada` whose access token has expired.
    pub async fn expired(&self, flavour: Flavour) -> Account {
        self.connect(flavour, "ada", Token::Expires(-10)).await
    }

    pub async fn connect(&self, flavour: Flavour, person: &str, token: Token) -> Account {
        let (access_token, refresh_token) = self.demo.grant(flavour, person, SCOPES).unwrap();
        let account = Account {
            id: AccountId::generate(),
            binding: self.binding(flavour),
            handle: format!("{person}@acme.example"),
            access_token,
            refresh_token,
        };
        self.insert(&account, token).await;
        account
    }

    fn binding(&self, flavour: Flavour) -> GrantBinding {
        let issuer = self.demo.issuer(flavour);
        let (provider, issuer, subject) = match flavour {
            Flavour::Google => ("google", issuer, "100000000000000000001".to_owned()),
            Flavour::Oidc => ("demo", issuer, "100000000000000000001".to_owned()),
            Flavour::Microsoft => (
                "microsoft",
                format!("{issuer}/{ACME_TENANT}/v2.0"),
                format!("{ACME_TENANT}/dddddddd-0000-4000-8000-000000000001"),
            ),
        };
        GrantBinding {
            workspace: WorkspaceId::generate(),
            user: UserId::generate(),
            provider: provider.parse().unwrap(),
            issuer: issuer.parse().unwrap(),
            subject: subject.parse().unwrap(),
        }
    }

    fn seal(&self, account: &Account) -> (Vec<u8>, Vec<u8>) {
        let key = self.key.sealing_key();
        let access = AccessToken::new(account.access_token.as_str());
        let refresh = RefreshToken::new(account.refresh_token.as_str());
        (
            key.seal_access_token(&access, &account.binding)
                .unwrap()
                .into_bytes(),
            key.seal_refresh_token(&refresh, &account.binding)
                .unwrap()
                .into_bytes(),
        )
    }

    pub async fn insert(&self, account: &Account, token: Token) {
        let (access, refresh) = self.seal(account);
        let (access, expires_in, age) = match token {
            Token::Absent => (None, None, 3600),
            Token::Expires(seconds) => (Some(access), Some(seconds), 3600 - seconds),
            Token::NotSaid(age) => (Some(access), None, age),
        };
        let binding = &account.binding;
        sqlx::query(
            "INSERT INTO vault.credential
                 (account_id, workspace_id, user_id, provider, issuer, subject, handle,
                  sealed_access_token, access_token_expires_at, sealed_refresh_token,
                  granted_scopes, authenticated_at, vouched_handle)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8,
                     now() + make_interval(secs => $9), $10, $11,
                     now() - make_interval(secs => $12), $7)",
        )
        .bind(account.id.as_uuid())
        .bind(binding.workspace.as_uuid())
        .bind(binding.user.as_uuid())
        .bind(binding.provider.as_str())
        .bind(binding.issuer.as_str())
        .bind(binding.subject.as_str())
        .bind(&account.handle)
        .bind(access)
        .bind(expires_in.map(seconds))
        .bind(refresh)
        .bind(SCOPES)
        .bind(seconds(age))
        .execute(self.pool())
        .await
        .unwrap();
    }

    /// The person signs in again: a new grant replaces the old one, as sync-svc stores
    /// it.
    pub async fn reconnect(&self, account: &mut Account, flavour: Flavour) {
        let (access_token, refresh_token) = self.demo.grant(flavour, "ada", SCOPES).unwrap();
        account.access_token = access_token;
        account.refresh_token = refresh_token;
        let (access, refresh) = self.seal(account);
        let now = SystemClock.now();
        let sealed = SealedGrant {
            access_token: access,
            access_token_expires_at: Some(now + Duration::from_hours(1)),
            refresh_token: Some(refresh),
            refresh_token_expires_at: None,
            client_id: None,
        };
        let grant = Grant {
            authenticated_at: now,
            scopes: SCOPES.iter().copied().collect(),
            has_refresh_token: true,
            intent: Intent::Connect,
        };
        let connected = sync_svc::store::account::Account {
            id: account.id,
            binding: account.binding.clone(),
            handle: account.handle.clone(),
            vouched_handle: Some(account.handle.clone()),
            display_name: String::new(),
            connected_at: now,
            disconnected_at: None,
        };
        let mut connection = self.pool().acquire().await.unwrap();
        sync_svc::store::credential::replace(&mut connection, &connected, &sealed, &grant)
            .await
            .unwrap();
    }

    /// Ends the back-off after a failure.
    pub async fn end_backoff(&self, account: &Account) {
        sqlx::query("UPDATE vault.credential SET retry_after = now() WHERE account_id = $1")
            .bind(account.id.as_uuid())
            .execute(self.pool())
            .await
            .unwrap();
    }

    /// Lets callers force a refresh again, as after a minute.
    pub async fn end_minute(&self) {
        sqlx::query("UPDATE vault.credential SET forced_at = NULL")
            .execute(self.pool())
            .await
            .unwrap();
    }

    /// Lets callers force any number of refreshes, for tests that count them.
    pub async fn callers_force_without_a_bound(&self) {
        sqlx::raw_sql(
            "CREATE FUNCTION vault.forget_forced() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN NEW.forced_at := NULL; RETURN NEW; END $$;
             CREATE TRIGGER forget_forced BEFORE UPDATE ON vault.credential
                 FOR EACH ROW EXECUTE FUNCTION vault.forget_forced();",
        )
        .execute(self.pool())
        .await
        .unwrap();
    }

    pub async fn stored(&self, account: &Account) -> Stored {
        sqlx::query_as("SELECT * FROM vault.credential WHERE account_id = $1")
            .bind(account.id.as_uuid())
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    pub async fn stored_refresh_token(&self, account: &Account) -> String {
        let sealed = self.stored(account).await.sealed_refresh_token.unwrap();
        let opened = self.keys().open_refresh_token(&sealed, &account.binding);
        opened.unwrap().expose().to_owned()
    }

    /// The events in the outbox about grants that died.
    pub async fn reauth_events(&self) -> Vec<AccountReauthRequired> {
        self.outbox_events().await
    }

    /// The events in the outbox about accounts that were disconnected.
    pub async fn disconnected_events(&self) -> Vec<AccountDisconnected> {
        self.outbox_events().await
    }

    async fn outbox_events<E: Event>(&self) -> Vec<E> {
        let payloads: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT payload FROM vault.outbox WHERE event_type = $1 ORDER BY seq",
        )
        .bind(E::ROUTING_KEY)
        .fetch_all(self.pool())
        .await
        .unwrap();
        let decode = |payload: &Vec<u8>| E::decode(payload.as_slice()).unwrap();
        payloads.iter().map(decode).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn seconds(number: i64) -> f64 {
    number as f64
}
