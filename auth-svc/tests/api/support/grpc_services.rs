//! A fake of sync-svc and refresh-svc: one gRPC server that lists accounts and counts
//! changes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use latchkey_proto::account::account_service_server::{AccountService, AccountServiceServer};
use latchkey_proto::account::{
    Account, GetAccountRequest, GetAccountResponse, ListAccountsRequest, ListAccountsResponse,
    StartChannelSyncRequest, StartChannelSyncResponse,
};
use latchkey_proto::token::token_service_server::{TokenService, TokenServiceServer};
use latchkey_proto::token::{RevokeAccountRequest, RevokeAccountResponse};
use latchkey_testkit::TestCertificates;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// The accounts that the fake lists, and the number of changes.
#[derive(Clone, Default)]
pub struct FakeState {
    pub accounts: Arc<Mutex<Vec<Account>>>,
    changes: Arc<AtomicUsize>,
    /// The header `authorization` of the last call that listed accounts.
    pub authorization: Arc<Mutex<Option<String>>>,
    /// Calls that listed accounts.
    pub listed: Arc<AtomicUsize>,
    /// Number of these calls that are never answered.
    pub unanswered: Arc<AtomicUsize>,
}

impl FakeState {
    /// Number of accounts that were disconnected or started.
    pub fn changes(&self) -> usize {
        self.changes.load(Ordering::SeqCst)
    }
}

/// A running fake server.
pub struct FakeServices {
    pub port: u16,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

impl FakeServices {
    /// Serves with the certificate of `certificates`, for clients of the same CA.
    pub async fn start(certificates: &TestCertificates, fake: &FakeState) -> Self {
        Self::start_at(0, certificates, fake).await
    }

    /// Serves on a given port.
    pub async fn start_at(port: u16, certificates: &TestCertificates, fake: &FakeState) -> Self {
        let read = |path| std::fs::read(path).unwrap();
        let server = &certificates.server;
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(
                read(&server.certificate),
                read(&server.key),
            ))
            .client_ca_root(Certificate::from_pem(read(&certificates.authority)));
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        let server = Server::builder()
            .tls_config(tls)
            .unwrap()
            .add_service(AccountServiceServer::new(fake.clone()))
            .add_service(TokenServiceServer::new(fake.clone()))
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener),
                stop.clone().cancelled_owned(),
            );
        let ended = tokio::spawn(async move { server.await.unwrap() });
        Self { port, stop, ended }
    }

    /// Returns the URL of the server.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Stops the server and closes its connections.
    pub async fn stop(self) {
        self.stop.cancel();
        self.ended.await.unwrap();
    }
}

type RpcResult<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl AccountService for FakeState {
    async fn get_account(
        &self,
        asked: Request<GetAccountRequest>,
    ) -> RpcResult<GetAccountResponse> {
        let id = asked.into_inner().account_id;
        let accounts = self.accounts.lock().unwrap();
        let account = accounts.iter().find(|account| account.id == id).cloned();
        match account {
            Some(_) => Ok(Response::new(GetAccountResponse { account })),
            None => Err(Status::not_found("no such account")),
        }
    }

    /// Returns all accounts to every caller.
    async fn list_accounts(
        &self,
        asked: Request<ListAccountsRequest>,
    ) -> RpcResult<ListAccountsResponse> {
        let authorization = asked.metadata().get("authorization");
        *self.authorization.lock().unwrap() =
            authorization.map(|value| value.to_str().unwrap().to_owned());
        let listed = self.listed.fetch_add(1, Ordering::SeqCst);
        if listed < self.unanswered.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(ListAccountsResponse {
            accounts: self.accounts.lock().unwrap().clone(),
            ..ListAccountsResponse::default()
        }))
    }

    async fn start_channel_sync(
        &self,
        _: Request<StartChannelSyncRequest>,
    ) -> RpcResult<StartChannelSyncResponse> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(StartChannelSyncResponse::default()))
    }
}

#[tonic::async_trait]
impl TokenService for FakeState {
    async fn revoke_account(
        &self,
        _: Request<RevokeAccountRequest>,
    ) -> RpcResult<RevokeAccountResponse> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.accounts.lock().unwrap().clear();
        Ok(Response::new(RevokeAccountResponse::default()))
    }
}
