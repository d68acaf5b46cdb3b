//! What the account pages ask of the other services, over mutual TLS:
//! sync-svc's accounts and channels, refresh-svc's disconnecting.
//!
//! Optional: without it the pages say so, and everything else works.

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
use latchkey_service::grpc::ClientChannel;
use latchkey_service::telemetry;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::store::session::Session;

/// TCP and TLS must stand within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A list that takes longer is not waited for by a person.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Disconnecting asks the provider.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(20);

/// sync-svc hears of a disconnection over the broker; a person who waits this
/// long is told that it is under way.
const SETTLE_STEPS: u32 = 15;
const SETTLE_STEP: Duration = Duration::from_millis(100);

/// Accounts that a page shows.
const MOST_ACCOUNTS: i32 = 200;

/// Why a neighbour gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum NeighbourError {
    /// The operator did not say where it is.
    #[error("not configured")]
    NotConfigured,
    /// There is no such account, or it is someone else's.
    #[error("no such account of this person")]
    NotFound,
    /// It answered otherwise, or not at all.
    #[error("gRPC: {:?} {}", .0.code(), .0.message())]
    Refused(Box<Status>),
}

impl From<Status> for NeighbourError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::NotFound => Self::NotFound,
            _ => Self::Refused(Box::new(status)),
        }
    }
}

/// The other services, as far as the operator said where they are.
#[derive(Debug, Default)]
pub struct Neighbours {
    accounts: Option<ClientChannel>,
    tokens: Option<ClientChannel>,
}

impl Neighbours {
    /// Reads `SYNC_GRPC_URL`, `TOKEN_GRPC_URL` and `GRPC_CLIENT_{CERT,KEY,CA}`.
    ///
    /// # Errors
    /// An address without certificates, or something that is none.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            accounts: way(environment, "SYNC_GRPC_URL")?,
            tokens: way(environment, "TOKEN_GRPC_URL")?,
        })
    }

    /// Takes certificates up that are renewed, until `stop` is cancelled.
    pub async fn watch_files(&self, stop: CancellationToken) {
        let follow = |way: &Option<ClientChannel>| {
            let way = way.clone();
            let stop = stop.clone();
            async move {
                if let Some(way) = way {
                    way.watch_files(stop).await;
                }
            }
        };
        tokio::join!(
            follow(&self.accounts),
            follow(&self.tokens),
            stop.cancelled()
        );
    }

    /// True where an account can be disconnected.
    pub fn can_disconnect(&self) -> bool {
        self.accounts.is_some() && self.tokens.is_some()
    }

    fn accounts(&self) -> Result<AccountServiceClient<Channel>, NeighbourError> {
        let way = self
            .accounts
            .as_ref()
            .ok_or(NeighbourError::NotConfigured)?;
        Ok(AccountServiceClient::new(way.channel()))
    }

    /// The person's own accounts in the session's workspace, oldest first.
    ///
    /// # Errors
    /// See [`NeighbourError`].
    pub async fn accounts_of(&self, session: &Session) -> Result<Vec<Account>, NeighbourError> {
        let request = ListAccountsRequest {
            workspace_id: session.workspace.to_string(),
            user_id: session.user.to_string(),
            page_size: MOST_ACCOUNTS,
            page_token: String::new(),
        };
        let answer = self
            .accounts()?
            .list_accounts(asked(request, READ_TIMEOUT))
            .await?;
        let mut accounts = answer.into_inner().accounts;
        accounts.retain(|account| is_own(account, session));
        Ok(accounts)
    }

    /// One account, if it is the person's own.
    ///
    /// # Errors
    /// See [`NeighbourError`].
    pub async fn account_of(
        &self,
        session: &Session,
        id: AccountId,
    ) -> Result<Account, NeighbourError> {
        let request = GetAccountRequest {
            account_id: id.to_string(),
        };
        let answer = self
            .accounts()?
            .get_account(asked(request, READ_TIMEOUT))
            .await?;
        answer
            .into_inner()
            .account
            .filter(|account| is_own(account, session))
            .ok_or(NeighbourError::NotFound)
    }

    /// Starts the channels of the person's own account that wait (R24).
    ///
    /// # Errors
    /// See [`NeighbourError`].
    pub async fn start(&self, session: &Session, id: AccountId) -> Result<(), NeighbourError> {
        self.account_of(session, id).await?;
        let request = StartChannelSyncRequest {
            account_id: id.to_string(),
        };
        self.accounts()?
            .start_channel_sync(asked(request, READ_TIMEOUT))
            .await?;
        Ok(())
    }

    /// Disconnects the person's own account (R37), and gives the news a moment
    /// to arrive, so that the list that is shown next is true.
    ///
    /// # Errors
    /// See [`NeighbourError`].
    pub async fn disconnect(&self, session: &Session, id: AccountId) -> Result<(), NeighbourError> {
        let tokens = self.tokens.as_ref().ok_or(NeighbourError::NotConfigured)?;
        self.account_of(session, id).await?;
        let request = RevokeAccountRequest {
            account: Some(AccountSelector {
                selector: Some(Selector::AccountId(id.to_string())),
            }),
        };
        TokenServiceClient::new(tokens.channel())
            .revoke_account(asked(request, REVOKE_TIMEOUT))
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

/// What sync-svc is trusted to filter is looked at again.
fn is_own(account: &Account, session: &Session) -> bool {
    account.user_id == session.user.to_string()
        && account.workspace_id == session.workspace.to_string()
}

/// A call with a deadline, in the trace of whatever runs now.
fn asked<T>(message: T, within: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(within);
    if let Some(value) =
        telemetry::current_traceparent().and_then(|text| text.parse::<MetadataValue<_>>().ok())
    {
        request.metadata_mut().insert("traceparent", value);
    }
    request
}

fn way(environment: &Environment, name: &str) -> Result<Option<ClientChannel>, ConfigError> {
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
    ClientChannel::new(environment, plain).map(Some)
}
