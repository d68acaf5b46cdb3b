//! `latchkey.token.v1.TokenService` over mutual TLS.

mod access_token;
mod authorization;
mod batch;
mod caller_limits;
mod deadline;
mod request;
mod status;
mod watch;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ::metrics::Counter;
use latchkey_domain::{AccountId, ScopeSet};
use latchkey_policy::{Authorizer, pad_response_time};
use latchkey_proto::token::token_service_server::{TokenService, TokenServiceServer};
use latchkey_proto::token::{
    AccessToken, AccountSelector, BatchGetAccessTokensRequest, BatchGetAccessTokensResponse,
    GetAccessTokenRequest, GetAccessTokenResponse, RefreshAccessTokenRequest,
    RefreshAccessTokenResponse, RevokeAccountRequest, RevokeAccountResponse, WatchAccountRequest,
    WatchAccountResponse,
};
use latchkey_service::{StartError, grpc, telemetry};
use tokio::time::Instant;
use tonic::codegen::BoxStream;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status};
use tonic_health::server::HealthReporter;
use tower::layer::util::{Identity, Stack};

use crate::engine::{Engine, EngineError, Need};
use crate::metrics;
use crate::snapshot::Snapshot;
use crate::store::PolicyAttributes;
use access_token::message;
use authorization::AuthorizedCall;
use caller_limits::{CallerLimiter, CallerPermit};
use deadline::within_deadline;
use request::Selected;
use status::status;

/// Limit of a request: it holds ids and scope names, and a batch a hundred of them.
const MAX_REQUEST_BYTES: usize = 256 * 1024;
/// Concurrent calls per connection; further calls wait.
const CALLS_PER_CONNECTION: u32 = 1024;
/// Limit of the headers of a call.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// Interval of keep-alive pings on an idle connection.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A connection that does not answer a ping within this time is closed.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections are closed after this time, so that callers spread over new replicas and
/// use new certificates.
const MAX_CONNECTION_AGE: Duration = Duration::from_mins(30);

/// Deadline for looking up the account of a watch.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(10);

/// Reports over gRPC whether tokens are served (`grpc.health.v1`).
pub(crate) struct Health(HealthReporter);

impl Health {
    /// Reports that calls are served. The database is reported by `/readyz`: a valid
    /// token is served without it.
    pub(crate) async fn set_serving(&self) {
        self.0.set_serving::<TokenServiceServer<Tokens>>().await;
    }

    /// Reports that calls should go to another replica.
    pub(crate) async fn set_not_serving(&self) {
        self.0.set_not_serving::<TokenServiceServer<Tokens>>().await;
    }
}

/// The gRPC server behind the authorization gate.
pub(crate) type AuthorizedRouter = Router<Stack<grpc::Gate<Authorizer>, Identity>>;

/// Builds the gRPC server: the token service behind the gate, health and reflection.
pub(crate) fn router(
    engine: Engine,
    authorizer: Authorizer,
    limits: CallerLimits,
) -> Result<(AuthorizedRouter, Health), StartError> {
    let tokens = TokenServiceServer::new(Tokens::new(engine, limits))
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(latchkey_proto::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(StartError::other)?;
    let (reporter, health) = tonic_health::server::health_reporter();
    let router = Server::builder()
        .max_concurrent_streams(CALLS_PER_CONNECTION)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .max_connection_age(MAX_CONNECTION_AGE)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .trace_fn(|request| {
            let span = tracing::info_span!(
                "grpc",
                otel.kind = "server",
                rpc.path = request.uri().path()
            );
            let traceparent = request.headers().get("traceparent");
            telemetry::follow(&span, traceparent.and_then(|value| value.to_str().ok()));
            span
        })
        .layer(grpc::Gate(authorizer))
        .add_service(tokens)
        .add_service(health)
        .add_service(reflection);
    Ok((router, Health(reporter)))
}

#[derive(Debug)]
pub(crate) struct Tokens {
    engine: Engine,
    waiting: CallerLimiter,
    watching: CallerLimiter,
    answered: Counter,
}

impl Tokens {
    fn new(engine: Engine, limits: CallerLimits) -> Self {
        Self {
            engine,
            waiting: CallerLimiter::new(limits.waiting),
            watching: CallerLimiter::new(limits.watching),
            answered: metrics::answers("answered"),
        }
    }

    /// Resolves a selector to an account of which the caller may have tokens with these
    /// scopes. Everything that can be refused is refused before further lookups.
    async fn account(
        &self,
        call: &AuthorizedCall,
        selector: Option<AccountSelector>,
        scopes: &ScopeSet,
    ) -> Result<AccountId, Status> {
        call.check_scopes(scopes)?;
        let account = match request::selected(selector)? {
            Selected::Account(account) => account,
            Selected::Handle {
                workspace,
                provider,
                handle,
            } => {
                call.check_location(workspace, &provider)?;
                let found = self
                    .engine
                    .resolve_handle(workspace, &provider, &handle)
                    .await;
                found.map_err(|error| status(&error))?
            }
        };
        self.check_account(call, account).await?;
        Ok(account)
    }

    /// Authorizes an account of which only the id is known. An account outside the
    /// policy and a missing account cause the same work (one cache lookup and one read)
    /// and the same answer after the same time.
    async fn check_account(&self, call: &AuthorizedCall, account: AccountId) -> Result<(), Status> {
        if call.allows_every_account() {
            return Ok(());
        }
        if let Some(cached) = self.engine.cached(account)
            && call.allows_account(cached.workspace, cached.provider(), &cached.granted_scopes)
        {
            return Ok(());
        }
        let begun = Instant::now();
        let attributes = self.engine.policy_attributes(account).await;
        match attributes.map_err(|error| status(&error))? {
            Some(PolicyAttributes {
                workspace,
                provider,
                granted_scopes,
            }) if call.allows_account(workspace, &provider, &granted_scopes) => Ok(()),
            attributes => {
                let refused = call.refuse_account(account, attributes);
                pad_response_time(begun).await;
                Err(refused)
            }
        }
    }

    /// Implements GetAccessToken.
    async fn get(
        &self,
        call: &AuthorizedCall,
        request: GetAccessTokenRequest,
    ) -> Result<AccessToken, Status> {
        let need = request::need(&request)?;
        let account = self.account(call, request.account, &need.scopes).await?;
        self.token(call, account, &need).await
    }

    /// Requests a token. A token that is available at once is answered regardless of how
    /// many calls of the caller are waiting.
    async fn ask(
        &self,
        call: &AuthorizedCall,
        account: AccountId,
        need: &Need,
    ) -> Result<Result<Arc<Snapshot>, EngineError>, Status> {
        let mut asking = std::pin::pin!(self.engine.token(account, need));
        if let Poll::Ready(answered) = futures::poll!(asking.as_mut()) {
            return Ok(answered);
        }
        let _permit = acquire_permit(&self.waiting, call, &EngineError::TooManyCalls)?;
        Ok(asking.await)
    }

    async fn token(
        &self,
        call: &AuthorizedCall,
        account: AccountId,
        need: &Need,
    ) -> Result<AccessToken, Status> {
        let answered = self.ask(call, account, need).await?;
        let snapshot = match answered {
            Ok(snapshot) => snapshot,
            Err(error) => {
                let reason = status::reason(&error);
                metrics::answers(reason).increment(1);
                tracing::info!(
                    account.id = %account,
                    outcome = "refused",
                    reason,
                    "access token"
                );
                return Err(status(&error));
            }
        };
        let reason = self.engine.shortfall(&snapshot, need).unwrap_or_default();
        let token = AccessToken {
            reason: reason.to_owned(),
            ..message(&snapshot).ok_or_else(|| status(&EngineError::StillRefreshing))?
        };
        call.check_and_audit(&snapshot)?;
        self.answered.increment(1);
        tracing::debug!(
            account.id = %account,
            provider = %snapshot.provider(),
            version = snapshot.version,
            outcome = "answered",
            "access token"
        );
        Ok(token)
    }
}

#[tonic::async_trait]
impl TokenService for Tokens {
    async fn get_access_token(
        &self,
        request: Request<GetAccessTokenRequest>,
    ) -> Result<Response<GetAccessTokenResponse>, Status> {
        let call = AuthorizedCall::of(&request)?;
        within_deadline(request, async |request| {
            let token = self.get(&call, request).await?;
            Ok(GetAccessTokenResponse { token: Some(token) })
        })
        .await
    }

    async fn batch_get_access_tokens(
        &self,
        request: Request<BatchGetAccessTokensRequest>,
    ) -> Result<Response<BatchGetAccessTokensResponse>, Status> {
        let call = AuthorizedCall::of(&request)?;
        let limit = deadline::limit(request.metadata());
        let requests = request.into_inner().requests;
        let results = batch::each(requests, limit, |request| self.get(&call, request)).await?;
        Ok(Response::new(BatchGetAccessTokensResponse { results }))
    }

    async fn watch_account(
        &self,
        request: Request<WatchAccountRequest>,
    ) -> Result<Response<BoxStream<WatchAccountResponse>>, Status> {
        let call = AuthorizedCall::of(&request)?;
        let selector = request.into_inner().account;
        // The call's own deadline applies to the whole stream.
        let no_scopes = ScopeSet::default();
        let found = self.account(&call, selector, &no_scopes);
        let account = tokio::time::timeout(LOOKUP_DEADLINE, found)
            .await
            .unwrap_or_else(|_| Err(status(&EngineError::StoreUnavailable)))?;
        let permit = acquire_permit(&self.watching, &call, &EngineError::TooManyWatchers)?;
        let watch = self.engine.watch(account).map_err(|error| status(&error))?;
        Ok(Response::new(watch::stream(call, watch, permit)))
    }

    async fn refresh_access_token(
        &self,
        request: Request<RefreshAccessTokenRequest>,
    ) -> Result<Response<RefreshAccessTokenResponse>, Status> {
        let call = AuthorizedCall::of(&request)?;
        within_deadline(request, async |request| {
            let need = request::need_after_refusal(&request)?;
            let account = self.account(&call, request.account, &need.scopes).await?;
            let token = self.token(&call, account, &need).await?;
            Ok(RefreshAccessTokenResponse { token: Some(token) })
        })
        .await
    }

    async fn revoke_account(
        &self,
        request: Request<RevokeAccountRequest>,
    ) -> Result<Response<RevokeAccountResponse>, Status> {
        let call = AuthorizedCall::of(&request)?;
        within_deadline(request, async |request| {
            let account = self
                .account(&call, request.account, &ScopeSet::default())
                .await?;
            // Audited by the task that revokes, because the caller may have left.
            let on_revoked = move || call.audit_revocation(account);
            let revoked = self.engine.revoke(account, on_revoked).await;
            revoked
                .map(|revoked| RevokeAccountResponse {
                    revoked_at_provider: revoked.at_provider,
                })
                .map_err(|error| status(&error))
        })
        .await
    }
}

/// Limits of one caller at a replica.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallerLimits {
    /// Calls that wait for a refresh or the database.
    pub waiting: usize,
    /// Open watches.
    pub watching: usize,
}

fn acquire_permit(
    limiter: &CallerLimiter,
    call: &AuthorizedCall,
    full: &EngineError,
) -> Result<CallerPermit, Status> {
    limiter.try_acquire(call.name()).ok_or_else(|| {
        let reason = status::reason(full);
        metrics::answers(reason).increment(1);
        tracing::warn!(
            caller = call.name(),
            reason,
            "a caller has reached its limit"
        );
        status(full)
    })
}
