//! The service's double: keeps one token per account in a book, counts calls,
//! and answers what a test puts in its mouth.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey_domain::{AccountId, Clock as _, ManualClock};
use latchkey_proto::token::account_selector::Selector;
use latchkey_proto::token::token_service_server::{TokenService, TokenServiceServer};
use latchkey_proto::token::{
    AccessToken, AccountSelector, GetAccessTokenRequest, GetAccessTokenResponse,
    RefreshAccessTokenRequest, RefreshAccessTokenResponse, RevokeAccountRequest,
    RevokeAccountResponse,
};
use latchkey_testkit::TestCertificates;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What all replicas know, and what a test sees and sets.
pub struct Book {
    clock: Arc<ManualClock>,
    tokens: Mutex<HashMap<String, AccessToken>>,
    scripted: Mutex<VecDeque<Status>>,
    standing: Mutex<Option<Status>>,
    life: Mutex<Duration>,
    delay: Mutex<Duration>,
    scopes: Mutex<Vec<String>>,
    /// Requests of GetAccessToken as they came, with their `traceparent`.
    pub seen: Mutex<Vec<(GetAccessTokenRequest, Option<String>)>>,
    gets: AtomicUsize,
    refreshes: AtomicUsize,
    minted: AtomicUsize,
}

impl Book {
    pub fn new(clock: Arc<ManualClock>) -> Self {
        Self {
            clock,
            tokens: Mutex::default(),
            scripted: Mutex::default(),
            standing: Mutex::default(),
            life: Mutex::new(Duration::from_hours(1)),
            delay: Mutex::default(),
            scopes: Mutex::new(vec!["mail.read".to_owned()]),
            seen: Mutex::default(),
            gets: AtomicUsize::new(0),
            refreshes: AtomicUsize::new(0),
            minted: AtomicUsize::new(0),
        }
    }

    /// Answers this once, before anything else.
    pub fn once(&self, status: Status) {
        self.scripted.lock().unwrap().push_back(status);
    }

    /// Answers this until told otherwise.
    pub fn always(&self, status: Option<Status>) {
        *self.standing.lock().unwrap() = status;
    }

    /// Life of tokens that are made from now on.
    pub fn life(&self, seconds: u64) {
        *self.life.lock().unwrap() = Duration::from_secs(seconds);
    }

    /// Answers only after this.
    pub fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    /// What the person grants from now on.
    pub fn grants(&self, scopes: &[&str]) {
        *self.scopes.lock().unwrap() = scopes.iter().map(|&scope| scope.to_owned()).collect();
    }

    /// Goes back to an older token, like a replica whose cache lags.
    pub fn lag(&self, account: AccountId, version: i64) {
        let mut tokens = self.tokens.lock().unwrap();
        tokens.get_mut(&account.to_string()).unwrap().version = version;
    }

    pub fn gets(&self) -> usize {
        self.gets.load(Ordering::SeqCst)
    }

    pub fn refreshes(&self) -> usize {
        self.refreshes.load(Ordering::SeqCst)
    }

    /// Tokens made: what would be requests at the provider.
    pub fn minted(&self) -> usize {
        self.minted.load(Ordering::SeqCst)
    }

    async fn gate(&self) -> Result<(), Status> {
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        if let Some(status) = self.scripted.lock().unwrap().pop_front() {
            return Err(status);
        }
        self.standing.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn token(
        &self,
        account: Option<AccountSelector>,
        will_do: impl Fn(&AccessToken, Duration) -> bool,
    ) -> AccessToken {
        let key = match account.unwrap().selector.unwrap() {
            Selector::AccountId(id) => id,
            Selector::Handle(handle) => handle.handle,
        };
        let now = self.clock.now();
        let mut tokens = self.tokens.lock().unwrap();
        if let Some(token) = tokens.get(&key) {
            let left = token.expires_at.unwrap().seconds - now.unix_timestamp();
            let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
            if will_do(token, left) {
                return token.clone();
            }
        }
        self.minted.fetch_add(1, Ordering::SeqCst);
        let version = tokens.get(&key).map_or(1, |token| token.version + 1);
        let expires_at = now + *self.life.lock().unwrap();
        let token = AccessToken {
            access_token: format!("secret-{version}"),
            token_type: "Bearer".to_owned(),
            expires_at: Some(prost_types::Timestamp {
                seconds: expires_at.unix_timestamp(),
                nanos: 0,
            }),
            granted_scopes: self.scopes.lock().unwrap().clone(),
            account_id: key
                .parse::<AccountId>()
                .unwrap_or_else(|_| AccountId::generate())
                .to_string(),
            version,
        };
        tokens.insert(key, token.clone());
        token
    }
}

/// A status as refresh-svc makes them.
pub fn status(
    code: Code,
    reason: &str,
    retry: Option<Duration>,
    metadata: &[(&str, &str)],
) -> Status {
    let metadata = metadata
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect::<HashMap<_, _>>();
    let mut details = ErrorDetails::with_error_info(reason, "latchkey", metadata);
    if retry.is_some() {
        details.set_retry_info(retry);
    }
    Status::with_error_details(code, format!("words about {reason}"), details)
}

/// One replica.
pub struct Double {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Double {
    pub async fn start(certificates: &TestCertificates, book: Arc<Book>) -> Self {
        Self::start_on(certificates, book, "127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_on(
        certificates: &TestCertificates,
        book: Arc<Book>,
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
            book,
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

    /// Calls that this replica got.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Stops it; answers where it was, to start it there again.
    pub async fn stop(self) -> SocketAddr {
        let _ = self.stop.send(());
        self.served.await.unwrap();
        self.address
    }
}

struct Replica {
    book: Arc<Book>,
    calls: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl TokenService for Replica {
    async fn get_access_token(
        &self,
        request: Request<GetAccessTokenRequest>,
    ) -> Result<Response<GetAccessTokenResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.book.gets.fetch_add(1, Ordering::SeqCst);
        let trace = request
            .metadata()
            .get("traceparent")
            .map(|value| value.to_str().unwrap().to_owned());
        let request = request.into_inner();
        self.book
            .seen
            .lock()
            .unwrap()
            .push((request.clone(), trace));
        self.book.gate().await?;
        let least = request.min_remaining.map_or(Duration::ZERO, |least| {
            Duration::from_secs(u64::try_from(least.seconds).unwrap())
        });
        let token = self.book.token(request.account, |_, left| left >= least);
        Ok(Response::new(GetAccessTokenResponse { token: Some(token) }))
    }

    async fn refresh_access_token(
        &self,
        request: Request<RefreshAccessTokenRequest>,
    ) -> Result<Response<RefreshAccessTokenResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.book.refreshes.fetch_add(1, Ordering::SeqCst);
        self.book.gate().await?;
        let request = request.into_inner();
        let token = self.book.token(request.account, |token, _| {
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
        self.book.gate().await?;
        Ok(Response::new(RevokeAccountResponse {
            revoked_at_provider: true,
        }))
    }
}
