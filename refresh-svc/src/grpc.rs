//! `latchkey.token.v1.TokenService` over mutual TLS.

mod batch;
mod caller;
mod deadline;
mod request;
mod shares;
mod status;
mod watch;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

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
use metrics::Counter;
use tokio::time::Instant;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use crate::engine::{Engine, EngineError, Need};
use crate::numbers;
use crate::snapshot::Snapshot;
use crate::store::Facts;
use caller::Admitted;
use deadline::within_deadline;
use latchkey_proto::timestamp;
use request::Selected;
use shares::{Share, Shares};
use status::status;

/// A request holds ids and scope names, a batch a hundred times: more is no
/// request.
const LARGEST_REQUEST: usize = 256 * 1024;
/// The account of a watch is looked up within this time, or the watch is refused.
const LOOK_UP_DEADLINE: Duration = Duration::from_secs(10);

/// The gRPC server: tokens for authorized callers, health and reflection. A call has a deadline of
/// its own, and a watch has none.
pub(crate) fn server(
    engine: Engine,
    authorizer: Authorizer,
    bounds: CallerBounds,
) -> Result<GrpcServer<Authorizer>, StartError> {
    let tokens = TokenServiceServer::new(Tokens::new(engine, bounds))
        .max_decoding_message_size(LARGEST_REQUEST);
    GrpcServer::new(
        tokens,
        authorizer,
        None,
        latchkey_proto::FILE_DESCRIPTOR_SET,
    )
}

#[derive(Debug)]
pub(crate) struct Tokens {
    engine: Engine,
    waiting: Shares,
    watching: Shares,
    answered: Counter,
}

impl Tokens {
    fn new(engine: Engine, bounds: CallerBounds) -> Self {
        Self {
            engine,
            waiting: Shares::of(bounds.waiting),
            watching: Shares::of(bounds.watching),
            answered: numbers::answers("answered"),
        }
    }

    /// The account of a selector, where the caller may have tokens of it with
    /// these scopes. What is refused is refused before more is looked up.
    async fn account(
        &self,
        call: &Admitted,
        selector: Option<AccountSelector>,
        scopes: &ScopeSet,
    ) -> Result<AccountId, Status> {
        call.ask_for(scopes)?;
        let account = match request::selected(selector)? {
            Selected::Account(account) => account,
            Selected::Handle {
                workspace,
                provider,
                handle,
            } => {
                call.reach(workspace, &provider)?;
                let found = self.engine.find(workspace, &provider, &handle).await;
                found.map_err(|error| status(&error))?
            }
        };
        self.permit(call, account).await?;
        Ok(account)
    }

    /// Judges an account of which only the id is known. For an account outside
    /// the policy and for none at all the same is done, one look into the memory
    /// and one into the database, and the same is answered at the same moment.
    async fn permit(&self, call: &Admitted, account: AccountId) -> Result<(), Status> {
        if call.allows_every_account() {
            return Ok(());
        }
        if let Some(cached) = self.engine.cached(account)
            && call.may_have(cached.workspace, cached.provider(), &cached.granted_scopes)
        {
            return Ok(());
        }
        let begun = Instant::now();
        let facts = self.engine.facts(account).await;
        match facts.map_err(|error| status(&error))? {
            Some(Facts {
                workspace,
                provider,
                granted_scopes,
            }) if call.may_have(workspace, &provider, &granted_scopes) => Ok(()),
            facts => {
                let refused = call.refuse_account(account, facts);
                pad_response_time(begun).await;
                Err(refused)
            }
        }
    }

    /// What GetAccessToken answers.
    async fn get(
        &self,
        call: &Admitted,
        request: GetAccessTokenRequest,
    ) -> Result<AccessToken, Status> {
        let need = request::need(&request)?;
        let account = self.account(call, request.account, &need.scopes).await?;
        self.token(call, account, &need).await
    }

    /// Asks for a token. One that is at hand is answered whatever its caller waits for
    /// already.
    async fn ask(
        &self,
        call: &Admitted,
        account: AccountId,
        need: &Need,
    ) -> Result<Result<Arc<Snapshot>, EngineError>, Status> {
        let mut asking = std::pin::pin!(self.engine.token(account, need));
        if let Poll::Ready(answered) = futures::poll!(asking.as_mut()) {
            return Ok(answered);
        }
        let _share = share(&self.waiting, call, &EngineError::TooManyCalls)?;
        Ok(asking.await)
    }

    async fn token(
        &self,
        call: &Admitted,
        account: AccountId,
        need: &Need,
    ) -> Result<AccessToken, Status> {
        let answered = self.ask(call, account, need).await?;
        let snapshot = match answered {
            Ok(snapshot) => snapshot,
            Err(error) => {
                let reason = status::reason(&error);
                numbers::answers(reason).increment(1);
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
        call.give(&snapshot)?;
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
        let call = Admitted::of(&request)?;
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
        let call = Admitted::of(&request)?;
        let limit = deadline::limit(request.metadata());
        let requests = request.into_inner().requests;
        let results = batch::each(requests, limit, |request| self.get(&call, request)).await?;
        Ok(Response::new(BatchGetAccessTokensResponse { results }))
    }

    async fn watch_account(
        &self,
        request: Request<WatchAccountRequest>,
    ) -> Result<Response<BoxStream<WatchAccountResponse>>, Status> {
        let call = Admitted::of(&request)?;
        let selector = request.into_inner().account;
        // The call's own deadline is that of the whole stream.
        let no_scopes = ScopeSet::default();
        let found = self.account(&call, selector, &no_scopes);
        let account = tokio::time::timeout(LOOK_UP_DEADLINE, found)
            .await
            .unwrap_or_else(|_| Err(status(&EngineError::StoreUnavailable)))?;
        let share = share(&self.watching, &call, &EngineError::TooManyWatchers)?;
        let watch = self.engine.watch(account).map_err(|error| status(&error))?;
        Ok(Response::new(watch::stream(call, watch, share)))
    }

    async fn refresh_access_token(
        &self,
        request: Request<RefreshAccessTokenRequest>,
    ) -> Result<Response<RefreshAccessTokenResponse>, Status> {
        let call = Admitted::of(&request)?;
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
        let call = Admitted::of(&request)?;
        within_deadline(request, async |request| {
            let account = self
                .account(&call, request.account, &ScopeSet::default())
                .await?;
            // Written down by who revokes, and not by the caller, who may have left.
            let on_revoked = move || call.revoked(account);
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

/// What one caller may hold of a replica.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallerBounds {
    /// Calls that wait for a refresh or the database.
    pub waiting: usize,
    /// Watches.
    pub watching: usize,
}

fn share(shares: &Shares, call: &Admitted, full: &EngineError) -> Result<Share, Status> {
    shares.take(call.name()).ok_or_else(|| {
        let reason = status::reason(full);
        numbers::answers(reason).increment(1);
        tracing::warn!(
            caller = call.name(),
            reason,
            "a caller holds all that it may"
        );
        status(full)
    })
}

fn message(snapshot: &Snapshot) -> Option<AccessToken> {
    let held = snapshot.token.as_ref()?;
    Some(AccessToken {
        access_token: held.token.expose().to_owned(),
        token_type: "Bearer".to_owned(),
        expires_at: Some(timestamp(held.expires_at)),
        granted_scopes: snapshot.granted_scopes.to_vec(),
        account_id: snapshot.account.to_string(),
        version: snapshot.version,
        provider: snapshot.provider().to_string(),
        reason: String::new(),
    })
}
