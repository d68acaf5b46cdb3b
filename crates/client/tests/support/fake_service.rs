//! A fake TokenService whose replicas share one state.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use latchkey_proto::token::token_service_server::{TokenService, TokenServiceServer};
use latchkey_proto::token::{
    GetAccessTokenRequest, GetAccessTokenResponse, RefreshAccessTokenRequest,
    RefreshAccessTokenResponse, RevokeAccountRequest, RevokeAccountResponse, WatchAccountRequest,
    WatchAccountResponse,
};
use latchkey_testkit::TestCertificates;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::BoxStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::FakeState;
use super::fake_state::key;

/// One replica.
pub struct FakeService {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl FakeService {
    pub async fn start(certificates: &TestCertificates, state: Arc<FakeState>) -> Self {
        Self::start_on(certificates, state, "127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_on(
        certificates: &TestCertificates,
        state: Arc<FakeState>,
        address: SocketAddr,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let pem = |path| std::fs::read(path).unwrap();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(
                pem(&certificates.server.certificate),
                pem(&certificates.server.key),
            ))
            .client_ca_root(Certificate::from_pem(pem(&certificates.authority)));
        let calls = Arc::new(AtomicUsize::new(0));
        let replica = Replica {
            state,
            calls: Arc::clone(&calls),
        };
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            Server::builder()
                .tls_config(tls)
                .unwrap()
                .add_service(TokenServiceServer::new(replica))
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                    let _ = stopped.await;
                })
                .await
                .unwrap();
        });
        Self {
            address,
            calls,
            stop,
            served,
        }
    }

    pub fn address(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub fn socket(&self) -> SocketAddr {
        self.address
    }

    /// Number of calls to this replica.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Stops the replica and returns its address, to start it there again.
    pub async fn stop(self) -> SocketAddr {
        let _ = self.stop.send(());
        self.served.await.unwrap();
        self.address
    }
}

struct Replica {
    state: Arc<FakeState>,
    calls: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl TokenService for Replica {
    async fn get_access_token(
        &self,
        request: Request<GetAccessTokenRequest>,
    ) -> Result<Response<GetAccessTokenResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.state.count_get();
        let trace = request
            .metadata()
            .get("traceparent")
            .map(|value| value.to_str().unwrap().to_owned());
        let request = request.into_inner();
        self.state
            .requests
            .lock()
            .unwrap()
            .push((request.clone(), trace));
        self.state.scripted_failure().await?;
        let least = request.min_remaining.map_or(Duration::ZERO, |least| {
            Duration::from_secs(u64::try_from(least.seconds).unwrap())
        });
        let token = self.state.token(request.account, |_, left| left >= least);
        Ok(Response::new(GetAccessTokenResponse { token: Some(token) }))
    }

    async fn watch_account(
        &self,
        request: Request<WatchAccountRequest>,
    ) -> Result<Response<BoxStream<WatchAccountResponse>>, Status> {
        let account = key(request.into_inner().account);
        let state = Arc::clone(&self.state);
        Ok(Response::new(super::fake_watches::watch(state, account)?))
    }

    async fn refresh_access_token(
        &self,
        request: Request<RefreshAccessTokenRequest>,
    ) -> Result<Response<RefreshAccessTokenResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.state.count_refresh();
        self.state.scripted_failure().await?;
        let request = request.into_inner();
        let token = self.state.token(request.account, |token, _| {
            token.version > request.refused_version
        });
        Ok(Response::new(RefreshAccessTokenResponse {
            token: Some(token),
        }))
    }

    async fn revoke_account(
        &self,
        _request: Request<RevokeAccountRequest>,
    ) -> Result<Response<RevokeAccountResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.state.scripted_failure().await?;
        Ok(Response::new(RevokeAccountResponse {
            revoked_at_provider: true,
        }))
    }
}
