//! gRPC clients of the account pages, over mutual TLS: sync-svc lists accounts and starts
//! channels, and refresh-svc disconnects accounts.
//!
//! Both are optional. Without them the pages say so, and everything else works.

use std::time::Duration;

use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use latchkey_domain::AccountId;
use latchkey_proto::account::account_service_client::AccountServiceClient;
use latchkey_proto::account::{
    Account, GetAccountRequest, ListAccountsRequest, StartChannelSyncRequest,
};
use latchkey_proto::connection_ended;
use latchkey_proto::token::account_selector::Selector;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use latchkey_proto::token::{AccountSelector, RevokeAccountRequest};
use latchkey_service::grpc::{AuthorizedChannel, ClientChannel};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Response, Status};

use crate::store::session::Session;

/// Timeout for the TCP connection and the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Timeout for listing accounts.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout for disconnecting, which sends a request to the provider.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a disconnection waits until sync-svc has received it over the broker. After
/// this the page is shown anyway.
const SETTLE_STEPS: u32 = 15;
const SETTLE_STEP: Duration = Duration::from_millis(100);

/// Maximum number of accounts on the page.
const MOST_ACCOUNTS: i32 = 200;

/// Why a call to another service failed.
#[derive(Debug, thiserror::Error)]
pub enum GrpcClientError {
    /// The address of the service is not configured.
    #[error("not configured")]
    NotConfigured,
    /// There is no such account, or it belongs to somebody else.
    #[error("no such account of this person")]
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

/// Clients of the other services, as far as they are configured.
#[derive(Debug, Default)]
pub struct GrpcClients {
    accounts: Option<ClientChannel>,
    tokens: Option<ClientChannel>,
}

impl GrpcClients {
    /// Reads `SYNC_GRPC_URL`, `TOKEN_GRPC_URL` and `GRPC_CLIENT_{CERT,KEY,CA,TOKEN}`.
    ///
    /// # Errors
    /// Returns the variables of URLs, certificates and the token that are missing or invalid.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigErrors> {
        read_all! {
            let accounts = client_channel(environment, "SYNC_GRPC_URL", "https://sync-svc:50052");
            let tokens = client_channel(environment, "TOKEN_GRPC_URL", "https://refresh-svc:50051");
        }
        Ok(Self { accounts, tokens })
    }

    /// Reads renewed certificates and tokens until `stop` is cancelled.
    pub async fn watch_files(&self, stop: CancellationToken) {
        let watch = |channel: &Option<ClientChannel>| {
            let channel = channel.clone();
            let stop = stop.clone();
            async move {
                if let Some(channel) = channel {
                    channel.watch_files(stop).await;
                }
            }
        };
        tokio::join!(watch(&self.accounts), watch(&self.tokens), stop.cancelled());
    }

    /// Returns `true` if accounts can be disconnected: both services are configured.
    pub fn can_disconnect(&self) -> bool {
        self.accounts.is_some() && self.tokens.is_some()
    }

    fn accounts(&self) -> Result<AccountServiceClient<AuthorizedChannel>, GrpcClientError> {
        let channel = self
            .accounts
            .as_ref()
            .ok_or(GrpcClientError::NotConfigured)?;
        Ok(AccountServiceClient::new(channel.channel()))
    }

    /// Returns the person's own accounts in the session's workspace, oldest first.
    ///
    /// # Errors
    /// Returns [`GrpcClientError`].
    pub async fn accounts_of(&self, session: &Session) -> Result<Vec<Account>, GrpcClientError> {
        let request = ListAccountsRequest {
            workspace_id: session.workspace.to_string(),
            user_id: session.user.to_string(),
            page_size: MOST_ACCOUNTS,
            page_token: String::new(),
        };
        let client = self.accounts()?;
        let response = answer(request, READ_TIMEOUT, async |request| {
            client.clone().list_accounts(request).await
        });
        let mut accounts = response.await?.accounts;
        accounts.retain(|account| is_own(account, session));
        Ok(accounts)
    }

    /// Returns one account if it belongs to the person.
    ///
    /// # Errors
    /// Returns [`GrpcClientError`].
    pub async fn account_of(
        &self,
        session: &Session,
        id: AccountId,
    ) -> Result<Account, GrpcClientError> {
        let request = GetAccountRequest {
            account_id: id.to_string(),
        };
        let client = self.accounts()?;
        let response = answer(request, READ_TIMEOUT, async |request| {
            client.clone().get_account(request).await
        });
        response
            .await?
            .account
            .filter(|account| is_own(account, session))
            .ok_or(GrpcClientError::NotFound)
    }

    /// Starts the channels of the person's account that wait for the person (R24).
    ///
    /// # Errors
    /// Returns [`GrpcClientError`].
    pub async fn start(&self, session: &Session, id: AccountId) -> Result<(), GrpcClientError> {
        self.account_of(session, id).await?;
        let request = StartChannelSyncRequest {
            account_id: id.to_string(),
        };
        let client = self.accounts()?;
        let response = answer(request, READ_TIMEOUT, async |request| {
            client.clone().start_channel_sync(request).await
        });
        response.await?;
        Ok(())
    }

    /// Disconnects the person's account (R37), and waits a moment until sync-svc no longer
    /// lists it.
    ///
    /// # Errors
    /// Returns [`GrpcClientError`].
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
        let client = TokenServiceClient::new(tokens.channel());
        let response = answer(request, REVOKE_TIMEOUT, async |request| {
            client.clone().revoke_account(request).await
        });
        response.await?;
        for _ in 0..SETTLE_STEPS {
            if self.account_of(session, id).await.is_err() {
                break;
            }
            tokio::time::sleep(SETTLE_STEP).await;
        }
        Ok(())
    }
}

/// Returns `true` if the account belongs to the person and workspace of the session.
/// sync-svc filters by them too.
fn is_own(account: &Account, session: &Session) -> bool {
    account.user_id == session.user.to_string()
        && account.workspace_id == session.workspace.to_string()
}

/// Calls a service, and once more if the connection ends: a replica that is replaced ends its
/// connections, and another answers. Each call may take `within`.
async fn answer<M: Clone, T>(
    message: M,
    within: Duration,
    call: impl AsyncFn(Request<M>) -> Result<Response<T>, Status>,
) -> Result<T, Status> {
    match call(with_deadline(message.clone(), within)).await {
        Err(status) if connection_ended(&status) => call(with_deadline(message, within)).await,
        answered => answered,
    }
    .map(Response::into_inner)
}

/// Builds a request with a deadline.
fn with_deadline<T>(message: T, within: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(within);
    request
}

fn client_channel(
    environment: &Environment,
    name: &str,
    example: &str,
) -> Result<Option<ClientChannel>, ConfigErrors> {
    let Some(address) = environment.optional(name)? else {
        return Ok(None);
    };
    let plain = Some(address)
        .filter(|address| address.starts_with("https://"))
        .and_then(|address| Endpoint::from_shared(address).ok())
        .ok_or_else(|| ConfigError::new(name, format!("must be a URL such as {example}")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(5))
        .tcp_nodelay(true);
    ClientChannel::new(environment, plain).map(Some)
}
