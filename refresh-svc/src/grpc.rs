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

use ::metrics::{Counter, Histogram};
use latchkey_domain::{AccountId, ScopeSet};
use latchkey_policy::{Authorizer, pad_response_time};
use latchkey_proto::token::token_service_server::{TokenService, TokenServiceServer};
use latchkey_proto::token::{
    AccessToken, AccountSelector, BatchGetAccessTokensRequest, BatchGetAccessTokensResponse,
    GetAccessTokenRequest, GetAccessTokenResponse, RefreshAccessTokenRequest,
    RefreshAccessTokenResponse, RevokeAccountRequest, RevokeAccountResponse, WatchAccountRequest,
    WatchAccountResponse,
};
use latchkey_service::StartError;
use latchkey_service::grpc::GrpcServer;
use tokio::time::Instant;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use crate::engine::{Engine, EngineError, Need, shortfall};
use crate::metrics;
use crate::snapshot::Snapshot;
use crate::store::PolicyAttributes;
use access_token::message;
use authorization::AuthorizedCall;
use caller_limits::{CallerLimiter, CallerPermit};
use deadline::within_deadline;
use request::Selected;
use status::status;

/// A request holds ids and scope names, a batch a hundred times: more is no
/// request.
const MAX_REQUEST_BYTES: usize = 256 * 1024;
/// The account of a watch is looked up within this time, or the watch is refused.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(10);

/// The gRPC server: tokens for authorized callers, health and reflection. A call has a deadline of
/// its own, and a watch has none.
pub(crate) fn server(
    engine: Engine,
    authorizer: Authorizer,
    limits: CallerLimits,
) -> Result<GrpcServer<Authorizer>, StartError> {
    let tokens = TokenServiceServer::new(Tokens::new(engine, limits))
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    GrpcServer::new(tokens, authorizer, None)
}

/// Creates the metrics of the service.
pub(crate) fn create_metrics(engine: &Engine) {
    let providers = engine.providers().iter();
    metrics::create(providers.map(|provider| provider.name()), status::reasons());
}

#[derive(Debug)]
pub(crate) struct Tokens {
    engine: Engine,
    waiting: CallerLimiter,
    watching: CallerLimiter,
    answered: Counter,
    age: Histogram,
}

impl Tokens {
    fn new(engine: Engine, limits: CallerLimits) -> Self {
        Self {
            engine,
            waiting: CallerLimiter::new(limits.waiting),
            watching: CallerLimiter::new(limits.watching),
            answered: metrics::answers(metrics::ANSWERED),
            age: metrics::token_age(),
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
        let now = self.engine.now();
        let reason = shortfall(&snapshot, need, now).unwrap_or_default();
        let token = AccessToken {
            reason: reason.to_owned(),
            ..message(&snapshot).ok_or_else(|| status(&EngineError::StillRefreshing))?
        };
        call.check_and_audit(&snapshot)?;
        self.answered.increment(1);
        if let Some(held) = &snapshot.token {
            self.age.record(held.age(now));
        }
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
