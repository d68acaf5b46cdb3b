//! Clients of the other services for the account pages, over mutual TLS: accounts and
//! channels of sync-svc, and disconnecting at refresh-svc.
//!
//! They are optional. Without them, the account pages say so and everything else works.

use std::time::Duration;

use latchkey_config::{ConfigError, Environment};
use latchkey_domain::AccountId;
use latchkey_proto::account::account_service_client::AccountServiceClient;
use latchkey_proto::account::{
    Account, GetAccountRequest, ListAccountsRequest, StartChannelSyncRequest,
};
use latchkey_proto::token::account_selector::Selector;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use latchkey_proto::token::{AccountSelector, RevokeAccountRequest};
use latchkey_service::grpc::Outgoing;
use latchkey_service::telemetry;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::store::session::Session;

/// Timeout of the TCP and TLS handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Deadline of calls that read.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Deadline of a disconnect, which waits for the provider.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(20);

/// How often and how long a disconnect waits until sync-svc has received the event. After
/// that, the page says that the disconnect is in progress.
const SETTLE_STEPS: u32 = 15;
const SETTLE_STEP: Duration = Duration::from_millis(100);

/// Maximum number of accounts on a page.
const MOST_ACCOUNTS: i32 = 200;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum GrpcClientError {
    /// The address of the service is not configured.
    #[error("not configured")]
    NotConfigured,
    /// The account does not exist or belongs to another person.
    #[error("the person has no such account")]
    NotFound,
    /// The service returned another error or did not respond.
    #[error("gRPC: {:?} {}", .0.code(), .0.message())]
    Refused(Box<Status>),
}

impl From<Status> for GrpcClientError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::NotFound => Self::NotFound,
            _ => Self::Refused(Box::new(status)),
        }
    }
}

/// The clients of the services whose addresses are configured.
#[derive(Debug, Default)]
pub struct GrpcClients {
    accounts: Option<Outgoing>,
    tokens: Option<Outgoing>,
}

impl GrpcClients {
    /// Reads `SYNC_GRPC_URL`, `TOKEN_GRPC_URL` and `GRPC_CLIENT_{CERT,KEY,CA}`.
    ///
    /// # Errors
    /// Returns an error if an address or a certificate is wrong or missing.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            accounts: outgoing(environment, "SYNC_GRPC_URL")?,
            tokens: outgoing(environment, "TOKEN_GRPC_URL")?,
        })
    }

    /// Reloads renewed certificates until `stop` is cancelled.
    pub async fn follow_files(&self, stop: CancellationToken) {
        let follow = |way: &Option<Outgoing>| {
            let way = way.clone();
            let stop = stop.clone();
            async move {
                if let Some(way) = way {
                    way.follow_files(stop).await;
                }
            }
        };
        tokio::join!(follow(&self.accounts), follow(&self.tokens));
    }

    /// Returns `true` if accounts can be disconnected.
    pub fn can_disconnect(&self) -> bool {
        self.accounts.is_some() && self.tokens.is_some()
    }

    fn accounts(&self) -> Result<AccountServiceClient<Channel>, GrpcClientError> {
        let way = self
            .accounts
            .as_ref()
            .ok_or(GrpcClientError::NotConfigured)?;
        Ok(AccountServiceClient::new(way.channel()))
    }

    /// Returns the person's own accounts in the session's workspace, oldest first.
    ///
    /// # Errors
    /// See [`GrpcClientError`].
    pub async fn accounts_of(&self, session: &Session) -> Result<Vec<Account>, GrpcClientError> {
        let request = ListAccountsRequest {
            workspace_id: session.workspace.to_string(),
            user_id: session.user.to_string(),
            page_size: MOST_ACCOUNTS,
            page_token: String::new(),
        };
        let answer = self
            .accounts()?
            .list_accounts(with_deadline(request, READ_TIMEOUT))
            .await?;
        let mut accounts = answer.into_inner().accounts;
        accounts.retain(|account| is_own(account, session));
        Ok(accounts)
    }

    /// Returns an account if it is the person's own.
    ///
    /// # Errors
    /// See [`GrpcClientError`].
    pub async fn account_of(
        &self,
        session: &Session,
        id: AccountId,
    ) -> Result<Account, GrpcClientError> {
        let request = GetAccountRequest {
            account_id: id.to_string(),
        };
        let answer = self
            .accounts()?
            .get_account(with_deadline(request, READ_TIMEOUT))
            .await?;
        answer
            .into_inner()
            .account
            .filter(|account| is_own(account, session))
            .ok_or(GrpcClientError::NotFound)
    }

    /// Starts the pending channels of the person's own account (R24).
    ///
    /// # Errors
    /// See [`GrpcClientError`].
    pub async fn start(&self, session: &Session, id: AccountId) -> Result<(), GrpcClientError> {
        self.account_of(session, id).await?;
        let request = StartChannelSyncRequest {
            account_id: id.to_string(),
        };
        self.accounts()?
            .start_channel_sync(with_deadline(request, READ_TIMEOUT))
            .await?;
        Ok(())
    }

    /// Disconnects the person's own account (R37), and waits a moment until sync-svc has
    /// received the event, so that the next list is up to date.
    ///
    /// # Errors
    /// See [`GrpcClientError`].
    pub async fn disconnect(
        &self,
        session: &Session,
        id: AccountId,
    ) -> Result<(), GrpcClientError> {
        let tokens = self.tokens.as_ref().ok_or(GrpcClientError::NotConfigured)?;
        self.account_of(session, id).await?;
        let request = RevokeAccountRequest {
            account: Some(AccountSelector {
                selector: Some(Selector::AccountId(id.to_string())),
            }),
        };
        TokenServiceClient::new(tokens.channel())
            .revoke_account(with_deadline(request, REVOKE_TIMEOUT))
            .await?;
        for _ in 0..SETTLE_STEPS {
            if self.account_of(session, id).await.is_err() {
                break;
            }
            tokio::time::sleep(SETTLE_STEP).await;
        }
        Ok(())
    }
}

/// Checks again that the account is the person's own, although sync-svc filters the
/// accounts.
fn is_own(account: &Account, session: &Session) -> bool {
    account.user_id == session.user.to_string()
        && account.workspace_id == session.workspace.to_string()
}

/// Builds a request with a deadline, in the current trace.
fn with_deadline<T>(message: T, within: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(within);
    if let Some(value) =
        telemetry::current_traceparent().and_then(|text| text.parse::<MetadataValue<_>>().ok())
    {
        request.metadata_mut().insert("traceparent", value);
    }
    request
}

fn outgoing(environment: &Environment, name: &str) -> Result<Option<Outgoing>, ConfigError> {
    let Some(address) = environment.optional(name)? else {
        return Ok(None);
    };
    let wrong = |why: &str| ConfigError::new(name, format!("is wrong: {why}"));
    if !address.starts_with("https://") {
        return Err(wrong("must be https://<host>:<port>"));
    }
    let plain = Endpoint::from_shared(address)
        .map_err(|_| wrong("must be https://<host>:<port>"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(5))
        .tcp_nodelay(true);
    Outgoing::new(environment, plain).map(Some)
}
